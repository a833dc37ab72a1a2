"""Groups: list, make, join, part, remove."""

from litestar import delete, get, post
from msgspec import Struct

from gatelodge.core.ids import PrincipalId, WorkspaceId
from gatelodge.core.people import Agent, Group, Member
from gatelodge.flows.act import Act
from gatelodge.flows.admin import groups
from gatelodge.ports.store import Tx
from gatelodge.web.api import named
from gatelodge.web.api.gate import Rehearsal
from gatelodge.web.api.given import Asks, Flag, Here, JSONBody, Limits, Named
from gatelodge.web.api.pages import PAGE, Asked, Page, page
from gatelodge.web.api.people.shapes import GroupShape, group_shape, principal_name


class NewGroup(Struct, frozen=True, forbid_unknown_fields=True):
    """How the group is to be called."""

    name: str


class Principal(Struct, frozen=True, forbid_unknown_fields=True):
    """A member (e-mail address) or an agent (name)."""

    principal: str


class GoneGroup(Struct, frozen=True):
    """A group that is no more, and the grants that went with it."""

    removed: str
    grants: tuple[str, ...]


@get("/groups", opt={"act": "group.read"})
async def listed(place: Here, limit: Limits = PAGE, cursor: Asks = "") -> Page[GroupShape]:
    """List the groups and who is in them."""

    def look(tx: Tx) -> Page[GroupShape]:
        names = _names(tx, place.id)
        return page(
            groups.listed(tx, place.id),
            lambda row: row.id,
            lambda row: _shape(tx, row, names),
            Asked(limit, cursor),
        )

    return await place.gate.read(look)


@post("/groups", opt={"act": "group.create"})
async def create(place: Here, data: JSONBody[NewGroup]) -> GroupShape:
    """Make an empty group."""
    row = await place.gate.change(place.caller, lambda act: groups.create(act, place.id, data.name))
    return group_shape(row, ())


@get("/groups/{name:str}", opt={"act": "group.read"})
async def show(place: Here, name: Named) -> GroupShape:
    """Show one group."""
    return await place.gate.read(
        lambda tx: _shape(tx, named.group(tx, place.id, name), _names(tx, place.id))
    )


@post("/groups/{name:str}/join", opt={"act": "group.join"}, status_code=200)
async def join(place: Here, name: Named, data: JSONBody[Principal]) -> GroupShape:
    """Put a member or an agent into the group."""

    def work(act: Act) -> GroupShape:
        group = named.group(act.tx, place.id, name)
        who = named.principal(act.tx, place.id, data.principal)
        groups.join(act, place.id, group.id, PrincipalId(who.id))
        return _shape(act.tx, group, _names(act.tx, place.id))

    return await place.gate.change(place.caller, work)


@post("/groups/{name:str}/part", opt={"act": "group.part"}, status_code=200)
async def part(place: Here, name: Named, data: JSONBody[Principal]) -> GroupShape:
    """Take a member or an agent out of the group."""

    def work(act: Act) -> GroupShape:
        group = named.group(act.tx, place.id, name)
        who = named.principal(act.tx, place.id, data.principal)
        groups.part(act, place.id, group.id, PrincipalId(who.id))
        return _shape(act.tx, group, _names(act.tx, place.id))

    return await place.gate.change(place.caller, work)


@delete("/groups/{name:str}", opt={"act": "group.remove"}, status_code=200)
async def remove(place: Here, name: Named, *, dry_run: Flag = False) -> GoneGroup | Rehearsal:
    """Remove a group with its places and the grants made to it."""

    def work(act: Act) -> GoneGroup:
        gone = groups.remove(act, place.id, named.group(act.tx, place.id, name).id)
        return GoneGroup(gone.group.name, tuple(gone.grants))

    if dry_run:
        return await place.gate.rehearse(place.caller, work, "")
    return await place.gate.change(place.caller, work)


def _names(tx: Tx, workspace: WorkspaceId) -> dict[str, str]:
    people: list[Member | Agent] = [*tx.find(Member, workspace=workspace)]
    people += tx.find(Agent, workspace=workspace)
    return {row.id: principal_name(row) for row in people}


def _shape(tx: Tx, row: Group, names: dict[str, str]) -> GroupShape:
    inside = groups.places(tx, row.workspace, row.id)
    return group_shape(row, tuple(sorted(names[each.principal] for each in inside)))


ROUTES = (listed, create, show, join, part, remove)
