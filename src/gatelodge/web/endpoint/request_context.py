"""One request at the endpoint: what is known of it so far, filled in as it is read."""

import re
from collections.abc import Callable

from msgspec import Struct

from gatelodge.core.protocol.capabilities import NOTHING, declared
from gatelodge.core.protocol.envelope import ClientMessage, Era, Members
from gatelodge.core.protocol.session import LegacySession
from gatelodge.core.protocol.shown.names import ALIAS
from gatelodge.core.protocol.version import META_CLIENT_CAPABILITIES
from gatelodge.core.records.origin import UNROUTED
from gatelodge.core.view import PolicyView
from gatelodge.core.view_entry import CredentialEntry, PrincipalEntry, WorkspaceView
from gatelodge.flows.audit.recorder import RecordedCaller
from gatelodge.flows.gateway.request import RequestOrigin
from gatelodge.flows.gateway.targets import TargetFinder
from gatelodge.ports.upstream import OnBehalfOf
from gatelodge.web.endpoint.http.answer import HttpAnswer
from gatelodge.web.endpoint.http.connection import ClientConnection
from gatelodge.web.endpoint.http.request import HttpRequest

_TARGET = re.compile(rb"/k/([a-z0-9][a-z0-9-]{0,62})(?:/s/(%b))?/mcp/?(?:\?|$)" % ALIAS.encode())


class EndpointRoute(Struct, frozen=True):
    """A workspace's endpoint; an `alias` narrows it to one server with bare names."""

    workspace: str
    alias: str


def route_of(target: bytes) -> EndpointRoute | None:
    """The endpoint of `/k/{workspace}/mcp` or `/k/{workspace}/s/{alias}/mcp`; None for no such."""
    found = _TARGET.match(target)
    if found is None:
        return None
    return EndpointRoute(found[1].decode(), (found[2] or b"").decode())


class BatchPart(HttpAnswer):
    """The answer to one message of a batch: kept until all are there."""

    __slots__ = ("body", "status", "still")

    def __init__(self, connection: ClientConnection, request: HttpRequest) -> None:
        super().__init__(connection, request)
        self.body = b""
        self.status = 0
        self.still: Callable[[PolicyView], bool] | None = None
        """Says whether it would be given under this view too; None where who asks decides alone.

        It waits for the other parts, and what let it be given may end meanwhile.
        """

    def end(self, status: int, body: bytes) -> None:
        """Keep the body."""
        if not self.ended:
            self.ended, self.status, self.body = True, status, body
            self.bytes_out = len(body)


class AdmissionCache:
    """Who a connection's last request was let in as, good while nothing of it differs.

    It holds no more than the request itself did, and no longer than its connection.
    """

    __slots__ = (
        "asker",
        "authorization",
        "caller",
        "client",
        "credential",
        "headers",
        "host",
        "log",
        "meta",
        "origin",
        "passing",
        "route",
        "target",
        "targets",
        "version",
        "view",
        "who",
        "workspace",
    )

    def __init__(self, visit: "RequestContext") -> None:
        headers = visit.request.headers
        self.target = visit.request.target
        # Only a repeated head comes as the very same object, so others would be kept in vain.
        self.headers = headers if visit.request.repeats else None
        self.authorization = headers.get(b"authorization")
        self.host = headers.get(b"host")
        self.origin = headers.get(b"origin")
        self.view = visit.view
        self.route = visit.route
        self.workspace = visit.workspace
        self.log = visit.log
        self.credential = visit.credential
        self.who = visit.who
        self.client = b""
        self.caller = visit.caller
        self.targets, self.asker = visit.targets, visit.asker
        self.meta: Members | None = None
        """Of the last modern request which said what it must; `caller` is who it said it was."""
        self.version: bytes | None = None
        self.passing: Members = {}

    def fits(self, request: HttpRequest, view: PolicyView) -> bool:
        """Say whether this request is let in exactly as the last one was."""
        headers = request.headers
        # A new view may be the end of this credential; a field that stands twice was never let in.
        if self.view is not view or self.target != request.target or request.repeated:
            return False
        return headers is self.headers or (
            self.authorization == headers.get(b"authorization")
            and self.host == headers.get(b"host")
            and self.origin == headers.get(b"origin")
        )

    def speaks(self, message: ClientMessage, version: bytes | None) -> bool:
        """Say whether this request says the same of itself as the last modern one did."""
        return (
            # The same short `_meta` is one object (`envelope`), so no bytes are compared.
            message.meta is self.meta
            and version == self.version
            and bool(message.id)
            and "clientInfo" not in message.params
        )

    def lend(self, visit: "RequestContext") -> None:
        """Fill in the visit."""
        visit.admission = self
        if visit.request.repeats:
            self.headers = visit.request.headers
        visit.route, visit.log, visit.view = self.route, self.log, self.view
        visit.workspace, visit.credential, visit.who = self.workspace, self.credential, self.who
        visit.caller, visit.targets, visit.asker = self.caller, self.targets, self.asker


class RequestContext:
    """Grows while a request is read; what is still None is not known yet.

    `log` is where the request is recorded: the log `unrouted` until the workspace is known.
    """

    __slots__ = (
        "admission",
        "answer",
        "asker",
        "bytes_in",
        "caller",
        "connection",
        "credential",
        "era",
        "log",
        "message",
        "method",
        "passing",
        "proto",
        "raw_id",
        "request",
        "route",
        "session",
        "started",
        "targets",
        "task",
        "view",
        "who",
        "workspace",
    )

    def __init__(self, connection: ClientConnection, request: HttpRequest, started: float) -> None:
        self.connection = connection
        self.request = request
        self.answer: HttpAnswer = HttpAnswer(connection, request)
        self.bytes_in = request.size
        """Size of the request's body, or of its part of a batch."""
        self.started = started
        self.admission: AdmissionCache
        """As what it was let in: the connection keeps that of a later request, which may wait."""
        self.log = UNROUTED
        self.era: Era = "legacy"
        self.proto = ""
        self.route: EndpointRoute
        self.view: PolicyView
        self.workspace: WorkspaceView
        self.who: PrincipalEntry
        self.credential: CredentialEntry
        self.caller: RecordedCaller | None = None
        self.targets: TargetFinder
        self.asker: OnBehalfOf
        """The caller, as one whom nothing can be asked."""
        self.message: ClientMessage
        self.passing: Members
        """Of the message's `_meta` what may go on to a server."""
        self.method = ""
        self.raw_id = b"null"
        self.session: LegacySession | None = None
        self.task = ""
        """The sealed id of the task that the request is about."""

    def said(self) -> RequestOrigin:
        """Who says what, for servers that are told of it."""
        assert self.caller is not None
        return RequestOrigin(
            who=self.who,
            credential=self.credential,
            caller=self.caller,
            slug=self.route.workspace,
            log=self.log,
            method=self.method,
            proto=self.proto,
            bytes_in=self.bytes_in,
        )

    def look_again(self, view: PolicyView) -> bool:
        """Take this view for the rest; false when the caller or the workspace is not in it."""
        workspace = view.workspaces.get(self.route.workspace)
        who = view.principals.get(self.who.id)
        if workspace is None or who is None or workspace.id != who.workspace:
            return False
        self.view, self.workspace, self.who = view, workspace, who
        return True

    def forget(self) -> None:
        """Let go of what a long stream does not need: a view that will be old, and the body."""
        # The memo holds the old view too, for as long as the connection is open.
        self.connection.memo = None
        self.connection.let_go(self.request)
        self.message = ClientMessage("", self.raw_id, {}, {})
        del self.view, self.workspace, self.who, self.credential, self.targets, self.asker
        del self.admission
        self.caller = None

    @property
    def answerable(self) -> str:
        """The member who answers for the caller; their data key seals the opening."""
        assert self.caller is not None
        return self.caller.member

    @property
    def capabilities(self) -> bytes:
        """What this client can be asked on this very request (`core.protocol.capabilities`)."""
        if self.session is None:
            return declared(self.message.meta.get(META_CLIENT_CAPABILITIES))
        # On an answer that is no stream a legacy client cannot be asked anything.
        return self.session.capabilities if self.answer.may_stream else NOTHING

    @property
    def invalid_status(self) -> int:
        """The HTTP status of an error that is the client's own; a legacy one reads the body."""
        return 400 if self.era == "modern" else 200
