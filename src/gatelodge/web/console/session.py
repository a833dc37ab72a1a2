"""Sign-in and sign-out. A token is sent in a header and never in a form, a URL or a body."""

from typing import Any

from litestar import Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.response import Redirect

from gatelodge.core.errors import NotFound
from gatelodge.core.ids import CredentialId, MemberId, WorkspaceId
from gatelodge.core.people import Credential
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.identity import tokens
from gatelodge.flows.identity.console import SESSION_SECONDS, ConsoleLinks, open_session
from gatelodge.web.api.authentication import OPEN
from gatelodge.web.api.context import AdminCaller
from gatelodge.web.api.parameters import TheCaller, TheGate
from gatelodge.web.console.face import COOKIE, ROOT, SESSION_PATH
from gatelodge.web.console.rendering import rendered

_CODE = "x-gatelodge-code"
Asked = Request[Any, Any, Any]


@get("/enter", opt={"act": OPEN})
async def enter() -> Response[str]:
    """The page of a link: its code stands behind the #, which no browser sends."""
    return rendered("enter.html")


@post("/enter", opt={"act": OPEN}, status_code=204)
async def take_link(gate: TheGate, request: Asked) -> Response[None]:
    """Open the session of a link."""
    links = ConsoleLinks(gate.ephemeral, gate.ids, gate.peppers)
    holder = await links.take(request.headers.get(_CODE, ""))
    # In the name of the operator who made the link: so the log says who opened it.
    made = await gate.change(
        AdminCaller(by=holder.by),
        lambda act: open_session(act, gate.peppers, holder.workspace, holder.member),
    )
    return _signed_in(made.token)


@post("/session", opt={"act": "access.own"}, status_code=204)
async def sign_in(gate: TheGate, caller: TheCaller, request: Asked) -> Response[None]:
    """Open a session with the token in the request's header; it ends with that token."""
    # Anything else that the router takes for this path bears the cookie (`ConsoleFace`).
    if request.scope["raw_path"] != SESSION_PATH.encode():
        raise NotFound("there is no such page")
    place, member = WorkspaceId(caller.workspace), MemberId(caller.by)
    made = await gate.change(caller, lambda act: open_session(act, gate.peppers, place, member))
    return _signed_in(made.token)


@post("/sign-out", opt={"act": "access.own", "ends": True}, status_code=200)
async def sign_out(gate: TheGate, caller: TheCaller, request: Asked) -> Response[Any]:
    """End the session: its token is revoked. A form is led on to the sign-in."""

    def end(act: GovernanceAct) -> None:
        own = CredentialId(caller.credential)
        tokens.end(act, act.the(Credential, workspace=WorkspaceId(caller.workspace), id=own))

    await gate.change(caller, end)
    if await request.body():
        return Redirect(f"{ROOT}/", status_code=303, cookies=[_cookie("", 0)])
    return Response(None, status_code=204, cookies=[_cookie("", 0)])


def _signed_in(token: str) -> Response[None]:
    return Response(None, status_code=204, cookies=[_cookie(token, SESSION_SECONDS)])


def _cookie(value: str, seconds: int) -> Cookie:
    # Browsers take a Secure cookie over plain HTTP from a loopback address too.
    return Cookie(
        key=COOKIE,
        value=value,
        max_age=seconds,
        path="/",
        secure=True,
        httponly=True,
        samesite="strict",
    )


ROUTES = (enter, take_link, sign_in, sign_out)
