"""Workspaces: list, show, found. Founding one is the operator's on the gate's own machine."""

from litestar import Response, get, post
from msgspec import Struct

from gatelodge.core.people import Workspace
from gatelodge.flows.admin import workspaces
from gatelodge.flows.nouns.shown import shown_as
from gatelodge.web.api.authentication import LOCAL_ONLY
from gatelodge.web.api.pages import PAGE, ItemPage, PageRequest, page
from gatelodge.web.api.parameters import Asks, Here, JSONBody, Limits, TheCaller, TheGate


class WorkspaceShape(Struct, frozen=True, kw_only=True):
    """A workspace; `path` is where clients find its endpoint."""

    id: str
    slug: str
    name: str
    path: str
    created_at: str


class NewWorkspace(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A workspace and its first owner (e-mail address)."""

    slug: str
    owner: str
    name: str = ""


class FoundedWorkspace(Struct, frozen=True, kw_only=True):
    """A new workspace, its owner, and the owner's token, which is shown here and never again."""

    id: str
    slug: str
    path: str
    owner: str
    token: str


@get("/workspaces", opt={"act": "workspace.read"})
async def listed(
    gate: TheGate, caller: TheCaller, limit: Limits = PAGE, cursor: Asks = ""
) -> ItemPage[WorkspaceShape]:
    """List the workspaces that the caller belongs to; the local operator sees all."""
    rows = await gate.read(lambda tx: tx.find(Workspace))
    mine = [row for row in rows if caller.local or row.id == caller.workspace]
    return page(mine, lambda row: row.id, _workspace_shape, PageRequest(limit, cursor))


@post("/workspaces", opt={"act": LOCAL_ONLY})
async def found(
    gate: TheGate, caller: TheCaller, data: JSONBody[NewWorkspace]
) -> Response[FoundedWorkspace]:
    """Found a workspace with its owner."""
    made = await gate.change(
        caller,
        lambda act: workspaces.create(
            act, gate.peppers, data.slug, data.name or data.slug, data.owner
        ),
    )
    founded = FoundedWorkspace(
        id=made.workspace.id,
        slug=made.workspace.slug,
        path=f"/k/{made.workspace.slug}/mcp",
        owner=made.owner.email,
        token=made.token,
    )
    # It holds the owner's token, which no cache on the way may keep.
    return Response(founded, headers={"cache-control": "no-store"})


@get("/", opt={"act": "workspace.read"})
async def show(place: Here) -> WorkspaceShape:
    """Show the workspace."""
    return _workspace_shape(place.workspace)


def _workspace_shape(row: Workspace) -> WorkspaceShape:
    return shown_as(WorkspaceShape, row, path=f"/k/{row.slug}/mcp")


ROUTES = (listed, found)
IN_WORKSPACE = (show,)
