"""Routes, door and the rendering of errors, put together. Imports the web framework."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

from litestar import Litestar, Request, Response, Router
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import ASGIApp
from msgspec.structs import replace

import gatelodge
from gatelodge.core.errors import (
    Forbidden,
    HouseError,
    Invalid,
    LimitReached,
    NotFound,
    Unauthenticated,
)
from gatelodge.core.people import Workspace
from gatelodge.flows.admin import agents, grants, groups, members
from gatelodge.flows.admin.pins import tool
from gatelodge.flows.admin.servers import server
from gatelodge.flows.admin.tokens import token
from gatelodge.flows.trust.cards import card
from gatelodge.flows.vault.secrets import secret
from gatelodge.ports.store import StoreTx
from gatelodge.web import problems
from gatelodge.web.api import nouns
from gatelodge.web.api.authentication import OPENAPI_PATH, AuthMiddleware
from gatelodge.web.api.context import AdminCaller, AdminContext, WorkspaceContext
from gatelodge.web.api.house import (
    apply,
    console_links,
    debug,
    health,
    jobs,
    probes,
    settings,
)
from gatelodge.web.api.known_queries import KnownQueries
from gatelodge.web.api.parameters import Named, TheCaller, TheGate, malformed
from gatelodge.web.api.people import recorded, tokens, whoami, workspaces
from gatelodge.web.api.record import (
    activity,
    audit,
    changes,
    growth,
    index,
    keeping,
    replay,
    simulation,
)
from gatelodge.web.api.rules import (
    access,
    artifacts,
    cards,
    guardrails,
    instances,
    past,
    secrets,
    servers,
    unused,
)
from gatelodge.web.endpoint.origins import origins

Asked = Request[Any, Any, Any]

NOUNS: Final = (
    members.member,
    agents.agent,
    groups.group,
    token,
    server,
    secret,
    card,
    grants.grant,
    tool,
)
"""The nouns that are declared, in the order of the API's description."""

IN_WORKSPACE: tuple[HTTPRouteHandler, ...] = (
    *workspaces.IN_WORKSPACE,
    *(route for noun in NOUNS for route in nouns.routes(noun)),
    *tokens.ROUTES,
    *whoami.ROUTES,
    *recorded.ROUTES,
    *servers.ROUTES,
    *instances.ROUTES,
    *artifacts.ROUTES,
    *cards.ROUTES,
    *secrets.ROUTES,
    *guardrails.ROUTES,
    *simulation.ROUTES,
    *access.ROUTES,
    *past.ROUTES,
    *unused.ROUTES,
    *audit.ROUTES,
    *growth.ROUTES,
    *index.ROUTES,
    *keeping.ROUTES,
    *activity.ROUTES,
    *replay.ROUTES,
    *changes.ROUTES,
    *apply.ROUTES,
    *console_links.ROUTES,
)
OF_HOUSE: tuple[HTTPRouteHandler, ...] = (
    *workspaces.ROUTES,
    *health.ROUTES,
    *settings.ROUTES,
    *jobs.ROUTES,
    *debug.ROUTES,
)
AT_ROOT: tuple[HTTPRouteHandler, ...] = probes.ROUTES
"""What stands beside the API; the settings choose one of two ways to be scraped."""

PROBLEMS: Final[dict[int, ResponseSpec]] = dict.fromkeys(
    (400, 401, 403, 404, 409, 429, 500, 503),
    ResponseSpec(
        problems.ProblemDocument,
        description="A problem document (RFC 9457).",
        media_type=problems.MEDIA_TYPE,
        generate_examples=False,
    ),
)
"""What every route may answer besides, in the description of the API."""

BEARER: Final = "token"
"""The name of the one way to prove who asks, in the description of the API."""


def _noun_of_route(route: HTTPRouteHandler) -> str:
    """The noun that a route is about: as it is declared, or the name of its file."""
    return route.opt.get("noun") or route.fn.__module__.rpartition(".")[2]


def _operation_id(route: HTTPRouteHandler, _method: object, _path: object) -> str:
    """The name of an operation for generated clients: its noun and its verb."""
    verb = route.opt.get("operation") or route.fn.__name__.removesuffix("_route")
    return f"{_noun_of_route(route)}_{'list' if verb == 'listed' else verb}"


def describe_routes(routes: Iterable[HTTPRouteHandler]) -> None:
    """Give each route what the description of the API says besides: its noun, its refusals."""
    for route in routes:
        route.responses = PROBLEMS
        route.tags = [_noun_of_route(route)]


describe_routes((*IN_WORKSPACE, *OF_HOUSE, *AT_ROOT))


def assembled(gate: AdminContext, *, local: bool) -> Litestar:
    """The whole admin API over this gate."""
    listen = gate.settings.listen
    allowed = origins(listen.host, listen.public_url, listen.allowed_hosts, listen.allowed_origins)

    # Made outside of `door`, which is called for each route.
    known = KnownQueries()

    def door(app: ASGIApp) -> ASGIApp:
        return AuthMiddleware(app, gate, allowed, known, local)

    async def the_gate() -> AdminContext:
        return gate

    def unexpected(_request: Asked, error: Exception) -> Response[bytes]:
        return _problem_response(problems.unexpected(error, gate.ids.new("inc")))

    made = Litestar(
        route_handlers=[
            Router("/api/v1/workspaces/{workspace:str}", route_handlers=IN_WORKSPACE),
            Router("/api/v1", route_handlers=OF_HOUSE),
            Router("/", route_handlers=probes.at_root(gate)),
        ],
        middleware=[door],
        dependencies={
            "gate": Provide(the_gate),
            "caller": Provide(admitted_caller),
            "place": Provide(workspace_of_path),
        },
        exception_handlers={
            HouseError: _respond_to_error,
            HTTPException: _told_by_framework,
            Exception: unexpected,
        },
        openapi_config=OpenAPIConfig(
            title="gatelodge admin API",
            version=gatelodge.__version__,
            path=OPENAPI_PATH,
            render_plugins=[JsonRenderPlugin(path="/")],
            use_handler_docstrings=True,
            operation_id_creator=_operation_id,
            components=Components(
                security_schemes={BEARER: SecurityScheme(type="http", scheme="bearer")}
            ),
            security=[{BEARER: []}],
        ),
        request_max_body_size=gate.settings.limits.body_bytes,
        logging_config=None,
    )
    known.learn(made)
    return made


async def admitted_caller(request: Asked) -> AdminCaller:
    """Whom the door let in."""
    caller = request.scope["state"]["caller"]
    assert isinstance(caller, AdminCaller)
    return caller


async def workspace_of_path(gate: TheGate, caller: TheCaller, workspace: Named) -> WorkspaceContext:
    """The workspace that the path names, by slug or id; one that is not the caller's is unknown."""

    def find(tx: StoreTx) -> list[Workspace]:
        return tx.find(Workspace, slug=workspace) or tx.find(Workspace, id=workspace)

    found = await gate.read(find)
    if not found or not (caller.local or found[0].id == caller.workspace):
        raise NotFound(
            f"there is no workspace {workspace!r} here",
            remedy="See `gatelodge workspace list`, or choose one with --workspace.",
        )
    return WorkspaceContext(gate, caller, found[0])


def _respond_to_error(_request: Asked, error: HouseError) -> Response[bytes]:
    return _problem_response(problems.problem(error))


_REFUSALS: Final[dict[int, HouseError]] = {
    401: Unauthenticated("no valid token was sent"),
    403: Forbidden("this is not allowed"),
    404: NotFound("there is no such route", remedy=f"See {OPENAPI_PATH}."),
    405: Invalid("this route does not take that method", remedy=f"See {OPENAPI_PATH}."),
    413: LimitReached("the body is too large", remedy="The limit is limits.body_bytes."),
}
"""What the framework refuses, in our words."""


def _told_by_framework(request: Asked, error: HTTPException) -> Response[bytes]:
    """The framework's status with our code; the places that were wrong, and no value."""
    refusal = _REFUSALS.get(error.status_code)
    if refusal is None:
        extra = error.extra if isinstance(error.extra, list) else []
        return _problem_response(problems.problem(malformed(extra, bodiless=_has_no_body(request))))
    told = replace(
        problems.problem(refusal),
        status=error.status_code,
        title=HTTPStatus(error.status_code).phrase,
    )
    return _problem_response(told)


def _has_no_body(request: Asked) -> bool:
    fields = request.headers
    return fields.get("content-length", "0") == "0" and "transfer-encoding" not in fields


def _problem_response(told: problems.ProblemDocument) -> Response[bytes]:
    fields = dict(problems.headers(told))
    return Response(
        problems.body(told),
        status_code=told.status,
        media_type=fields.pop("content-type"),
        headers=fields,
    )
