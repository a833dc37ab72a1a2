"""Pages, door and the page of an error, put together. Imports the web framework."""

from http import HTTPStatus
from typing import Any, Final

from litestar import Litestar, Request, Response, Router, get
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.response import Redirect
from litestar.types import ASGIApp
from msgspec.structs import replace

from gatelodge.core.errors import HouseError, Invalid, NotFound, Unauthenticated
from gatelodge.core.people import Workspace
from gatelodge.web import problems
from gatelodge.web.api.authentication import OPEN, identify
from gatelodge.web.api.context import AdminContext
from gatelodge.web.api.known_queries import KnownQueries
from gatelodge.web.api.parameters import Named, TheCaller, TheGate
from gatelodge.web.api.routes import admitted_caller, workspace_of_path
from gatelodge.web.console import session
from gatelodge.web.console.door import ConsoleDoor
from gatelodge.web.console.face import ROOT
from gatelodge.web.console.rendering import (
    HEADERS,
    navigated,
    rendered,
    static_bytes,
    static_names,
    static_path,
)
from gatelodge.web.console.screens import lists, overview, rows, secrets, settings
from gatelodge.web.console.screens.people import leaving, members, recorded, tokens
from gatelodge.web.console.screens.record import audit, changes, live, logs, proofs
from gatelodge.web.console.screens.rules import (
    access,
    guardrails,
    instances,
    past,
    unused,
)
from gatelodge.web.console.screens.serving import (
    adding,
    builds,
    cards,
    editing,
    ending,
    servers,
    tools,
)
from gatelodge.web.endpoint.origins import origins

_TYPES: Final = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
Asked = Request[Any, Any, Any]


@get("/static/{digest:str}/{name:str}", opt={"act": OPEN})
async def static(digest: Named, name: Named) -> Response[bytes]:
    """A file of the console itself: it holds nothing of anybody."""
    kind = _TYPES.get(name.rpartition(".")[2])
    # What a stranger names reaches no file system: the files are known.
    if kind is None or name not in static_names() or static_path(name).split("/")[-2] != digest:
        raise NotFound("there is no such file")
    # Its path holds the digest of what is in it, so it never changes.
    fresh = {"cache-control": "public, max-age=31536000, immutable"}
    return Response(static_bytes(name), media_type=kind, headers=fresh)


@get("/", opt={"act": "access.own"})
async def home(gate: TheGate, caller: TheCaller) -> Redirect:
    """Lead to the reader's workspace."""
    (found,) = await gate.read(lambda tx: tx.find(Workspace, id=caller.workspace))
    return Redirect(f"{ROOT}/w/{found.slug}/", status_code=303)


SCREENS: Final = (
    *overview.ROUTES,
    *access.ROUTES,
    *past.ROUTES,
    *unused.ROUTES,
    *members.ROUTES,
    *leaving.ROUTES,
    *recorded.ROUTES,
    *servers.ROUTES,
    *adding.ROUTES,
    *builds.ROUTES,
    *editing.ROUTES,
    *ending.ROUTES,
    *tools.ROUTES,
    *cards.ROUTES,
    *guardrails.ROUTES,
    *audit.ROUTES,
    *changes.ROUTES,
    *live.ROUTES,
    *proofs.ROUTES,
    *lists.ROUTES,
    *rows.ROUTES,
    *secrets.ROUTES,
    *tokens.ROUTES,
    *instances.ROUTES,
    *logs.ROUTES,
    *settings.ROUTES,
)


def assembled(gate: AdminContext) -> Litestar:
    """The whole console over this gate."""
    listen = gate.settings.listen
    allowed = origins(listen.host, listen.public_url, listen.allowed_hosts, listen.allowed_origins)
    known = KnownQueries()

    def door(app: ASGIApp) -> ASGIApp:
        return ConsoleDoor(app, gate, allowed, known, local=False)

    async def the_gate() -> AdminContext:
        return gate

    def unexpected(request: Asked, error: Exception) -> Response[str]:
        return _told(gate, request, problems.unexpected(error, gate.ids.new("inc")))

    def refused(request: Asked, error: HouseError) -> Response[str]:
        return _respond_to_error(gate, request, error)

    def unfit(request: Asked, error: HTTPException) -> Response[str]:
        return _told_by_framework(gate, request, error)

    made = Litestar(
        route_handlers=[
            Router(f"{ROOT}/w/{{workspace:str}}", route_handlers=SCREENS),
            Router(ROOT, route_handlers=[home, static, *session.ROUTES]),
        ],
        middleware=[door],
        dependencies={
            "gate": Provide(the_gate),
            "caller": Provide(admitted_caller),
            "place": Provide(workspace_of_path),
        },
        exception_handlers={
            HouseError: refused,
            HTTPException: unfit,
            Exception: unexpected,
        },
        after_request=_with_headers,
        openapi_config=None,
        request_max_body_size=gate.settings.limits.body_bytes,
        logging_config=None,
    )
    known.learn(made)
    return made


async def _with_headers(response: Response[Any]) -> Response[Any]:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _respond_to_error(gate: AdminContext, request: Asked, error: HouseError) -> Response[str]:
    if isinstance(error, Unauthenticated) and request.method == "GET":
        # At the place that was asked for: once signed in, the page is loaded again.
        answer = rendered("sign_in.html", status=401)
        return _headed(answer)
    return _told(gate, request, problems.problem(error))


def _told_by_framework(gate: AdminContext, request: Asked, error: HTTPException) -> Response[str]:
    told: HouseError = Invalid("the page does not take that", remedy="Go back, and try again.")
    if error.status_code == HTTPStatus.NOT_FOUND:
        told = NotFound("there is no such page", remedy="See the navigation.")
    problem = problems.problem(told)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        status = HTTPStatus.METHOD_NOT_ALLOWED
        problem = replace(problem, status=status.value, title=status.phrase)
    return _told(gate, request, problem)


def _told(gate: AdminContext, request: Asked, told: problems.ProblemDocument) -> Response[str]:
    """The page of an error, with the way on for whoever is signed in."""
    frame = _frame_of_reader(gate, request)
    if frame is None:
        return _headed(rendered("problem.html", status=told.status, told=told))
    return _headed(rendered("problem_inside.html", status=told.status, told=told, **frame))


def _frame_of_reader(gate: AdminContext, request: Asked) -> dict[str, Any] | None:
    """The navigation of their own workspace; None for whoever is not signed in, or came from afar.

    For a page that is not there nobody was asked who they are yet.
    """
    if request.scope["state"].get("foreign"):
        return None
    try:
        caller = identify(gate, dict(request.scope["headers"]))
    except HouseError:
        return None
    if isinstance(caller, str):
        return None
    rows = gate.view().state.workspaces
    found = next((row for row in rows if row.id == caller.workspace), None)
    return None if found is None else navigated(caller, found, "-")


def _headed(response: Response[str]) -> Response[str]:
    response.headers.update(HEADERS)
    return response
