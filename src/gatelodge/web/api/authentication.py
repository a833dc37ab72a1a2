"""The door of the admin API: where a request comes from, who sends it, whether they may.

It stands before every route. A route says with `opt={"act": "member.revoke"}` what it does; one
that says nothing is open to the local operator alone, so that forgetting fails safe. There are no
cookies, so a foreign page can send nothing that counts; a foreign Origin is refused all the same.
"""

import contextlib
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec import Struct

from gatelodge.core.errors import Forbidden, HouseError, Invalid, LimitReached, Unauthenticated
from gatelodge.core.people import Role
from gatelodge.core.records.leaves import RequestRefused
from gatelodge.core.records.origin import UNROUTED
from gatelodge.core.roles import may
from gatelodge.flows.activity.turns import ASKING
from gatelodge.flows.audit.recorder import AuditRecorder
from gatelodge.flows.identity.authenticate import AuthFailure
from gatelodge.web.api.context import LOCAL, AdminCaller, AdminContext
from gatelodge.web.api.known_queries import KnownQueries
from gatelodge.web.api.parameters import path_values
from gatelodge.web.endpoint.http.request import HttpRequest
from gatelodge.web.endpoint.origins import AllowedOrigins

OPEN = "open"
"""The act of a route that anybody may ask: health, and the description of the API."""
OPENAPI_PATH = "/api/openapi.json"
PROBES = frozenset((b"/healthz", b"/readyz"))
"""Paths that say nothing but whether the node lives and serves: they are answered under any Host,
since what runs containers asks by address."""
LOCAL_ONLY = "local"
"""The act of a route that no role may: it is the operator's on the gate's own machine."""
LOCAL_EXTENSION = "gatelodge.local"
"""The ASGI scope extension by which the local socket says that it is one, and `by` whom."""
_ON_THE_SPOT = "No role may: run it on the gate's own machine, without --url."
UNPROVEN = "no valid token was sent"
_LEAST: Role = "member"
"""The role whose acts are everybody's."""
READING = frozenset({"GET", "HEAD", "OPTIONS"})
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


class AuthMiddleware(Struct, frozen=True):
    """An ASGI middleware; puts the `AdminCaller` into the scope's state, or raises a HouseError."""

    app: ASGIApp
    gate: AdminContext
    origins: AllowedOrigins
    known: KnownQueries
    local: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or raise the reason why not."""
        if scope["type"] == ScopeType.HTTP:
            headers = dict(scope["headers"])
            # A foreign page learns nothing, not even whether the token that it was given is good.
            self.check_origin(scope, headers)
            self.check_form(scope["method"], headers)
            acts = _acts_of_route(scope)
            if acts != (OPEN,):
                # Before anything is refused: a refusal is recorded with its caller.
                caller = scope["state"]["caller"] = self._authenticate_caller(scope, headers)
                ASKING.set(caller.by)
                if not caller.local:
                    self._check_role(caller, acts)
                    self._check_rate(caller, acts, scope)
            # Asked after the role: who may not use a route need not learn what it can be asked.
            self.known.check(scope["route_handler"], scope["query_string"])
            scope["path_params"] = path_values(scope["path_params"])
        await self.app(scope, receive, send)

    def _check_role(self, caller: AdminCaller, acts: tuple[str, ...]) -> None:
        """The role opens the route."""
        if not any(may(caller.role, act) for act in acts):
            asked = next((act for act in acts if act != LOCAL_ONLY), LOCAL_ONLY)
            raise forbidden_to(caller.role, asked)

    def _check_rate(self, caller: AdminCaller, acts: tuple[str, ...], scope: Any) -> None:
        """What a role opens to anybody is not changed too often.

        Whoever may do it for others too, such as to end a leaver's access, is never too early; nor
        is anybody who ends the very token that they ask with, which nobody does twice.
        """
        open_to = [act for act in acts if may(caller.role, act)]
        if scope["method"] in READING or not all(may(_LEAST, act) for act in open_to):
            return
        if scope["route_handler"].opt.get("ends"):
            return
        now = self.gate.clock.boottime()
        early = self.gate.own_changes.too_early(caller.by, now)
        if early:
            text = "you changed too much of your own within a minute"
            remedy = "Try again later; limits.own_changes_per_minute says how often."
            raise LimitReached(text, remedy=remedy, retry_after=early)
        # Counted only when it goes on: tries in vain would put off the next good one.
        self.gate.own_changes.count(caller.by, now)

    def check_origin(self, scope: Any, headers: dict[bytes, bytes]) -> None:
        """Raise Forbidden for a page that is not allowed to ask."""
        if not self.origins.origin_allowed(headers.get(b"origin")):
            # The face names nobody in this record: a page may send what its reader never meant.
            scope["state"]["foreign"] = True
            raise Forbidden(
                "this Origin is not allowed",
                remedy="Add it to listen.allowed_origins if the page is yours.",
            )

    def check_form(self, method: str, headers: dict[bytes, bytes]) -> None:
        """Raise Invalid for a body that is not JSON."""
        if is_body_of_another_type(method, headers, b"application/json"):
            raise Invalid("the body must be JSON", remedy="Send Content-Type: application/json.")

    def _authenticate_caller(self, scope: Any, headers: dict[bytes, bytes]) -> AdminCaller:
        told = (scope.get("extensions") or {}).get(LOCAL_EXTENSION)
        if self.local or told is not None:
            return AdminCaller(by=(told or {}).get("by", LOCAL))
        found = identify(self.gate, headers)
        if isinstance(found, str):
            scope["state"]["auth_failed"] = found
            raise Unauthenticated(UNPROVEN)
        return found


def is_body_of_another_type(method: str, headers: dict[bytes, bytes], kind: bytes) -> bool:
    """Say whether a request has a body that is not of this type."""
    given = headers.get(b"content-type", b"").split(b";", 1)[0].strip().lower()
    # Both are asked for: a body in chunks has no length.
    bodiless = headers.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in headers
    return method in WITH_BODY and not bodiless and given != kind


def forbidden_to(role: str, act: str) -> Forbidden:
    """The error for a role that may not do the act; what no role may is not sent to an owner."""
    remedy = _ON_THE_SPOT if act == LOCAL_ONLY else ""
    return Forbidden(f"the role {role} may not do this ({act})", remedy=remedy)


def identify(gate: AdminContext, headers: dict[bytes, bytes]) -> AdminCaller | AuthFailure:
    """The member whose personal token this is, or why none was found. Raises Stale, Forbidden."""
    found = gate.authenticator.authenticate(headers.get(b"authorization"))
    if isinstance(found, str):
        return found
    credential, who = found.credential, found.who
    if credential.kind != "personal":
        raise Forbidden(
            "an agent's token opens the MCP endpoint only",
            remedy="Use a member's personal token.",
        )
    return AdminCaller(
        by=who.id, role=who.role, workspace=credential.workspace, credential=credential.id
    )


class ReaderLeave:
    """Under which what was read leaves (`Permit`): its reader is still who the token said."""

    def __init__(
        self, gate: AdminContext, recorder: AuditRecorder, request: HttpRequest, who: AdminCaller
    ) -> None:
        self._gate = gate
        self._recorder = recorder
        self._headers = request.headers
        self._who = who

    def holds(self) -> bool:
        """Say whether this node may answer them now."""
        with contextlib.suppress(HouseError):
            return identify(self._gate, self._headers) == self._who
        return False

    def withheld(self) -> None:
        """Record that what was read did not leave."""
        refusal = RequestRefused(reason="stale", http=0, bytes_in=0)
        self._recorder.refused(UNROUTED, None, refusal, None)


def _acts_of_route(scope: Any) -> tuple[str, ...]:
    """What the route does: any of these verbs of `core.roles` opens it."""
    if scope["path"].rstrip("/") == OPENAPI_PATH:
        return (OPEN,)
    said = scope["route_handler"].opt.get("act", LOCAL_ONLY)
    return (said,) if isinstance(said, str) else tuple(said)
