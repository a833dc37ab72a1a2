"""Members: list, let in, roles, suspend, resume, revoke."""

from litestar import get, post
from msgspec import Struct

from gatelodge.core.ids import MemberId
from gatelodge.core.people import Agent, Credential, Group, GroupMember, Member, Role
from gatelodge.flows.act import Act
from gatelodge.flows.admin import members
from gatelodge.flows.identity.revocation import Receipt
from gatelodge.ports.store import Tx
from gatelodge.web.api import named
from gatelodge.web.api.gate import Place, Rehearsal
from gatelodge.web.api.given import Asks, Flag, Here, JSONBody, Limits, Named
from gatelodge.web.api.pages import PAGE, Asked, Page, page
from gatelodge.web.api.people.shapes import MemberShape, Why, member_shape


class NewMember(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is to come in."""

    email: str
    name: str = ""
    role: Role = "member"


class NewName(Struct, frozen=True, forbid_unknown_fields=True):
    """What a member is called; empty takes the name away."""

    name: str


class NewRole(Struct, frozen=True, forbid_unknown_fields=True):
    """The role that a member is to have."""

    role: Role


class Leaving(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a member leaves: `hand_over_to` answers for their agents from now on."""

    why: str = ""
    hand_over_to: str = ""


class MemberDetail(Struct, frozen=True, kw_only=True):
    """A member with everything that ends when they are revoked."""

    id: str
    email: str
    name: str
    role: str
    status: str
    created_at: str
    groups: tuple[str, ...]
    agents: tuple[str, ...]
    tokens: tuple[str, ...]


@get("/members", opt={"act": "member.read"})
async def listed(place: Here, limit: Limits = PAGE, cursor: Asks = "") -> Page[MemberShape]:
    """List the members, those who left too, oldest first."""
    rows = await place.gate.read(lambda tx: members.listed(tx, place.id))
    return page(rows, lambda row: row.id, member_shape, Asked(limit, cursor))


@post("/members", opt={"act": "member.add"})
async def add(place: Here, data: JSONBody[NewMember]) -> MemberShape:
    """Let a person in."""
    who = members.Newcomer(email=data.email, display=data.name)
    row = await place.gate.change(
        place.caller, lambda act: members.add(act, place.id, who, data.role)
    )
    return member_shape(row)


@get("/members/{who:str}", opt={"act": "member.read"})
async def show(place: Here, who: Named) -> MemberDetail:
    """Show one member, by id or e-mail address."""
    return await place.gate.read(lambda tx: _detail(tx, named.member(tx, place.id, who)))


@post("/members/{who:str}/rename", opt={"act": "member.role"}, status_code=200)
async def rename(place: Here, who: Named, data: JSONBody[NewName]) -> MemberShape:
    """Call a member something else."""
    row = await _named(place, who)
    changed = await place.gate.change(
        place.caller, lambda act: members.rename(act, place.id, row.id, data.name)
    )
    return member_shape(changed)


@post("/members/{who:str}/role", opt={"act": "member.role"}, status_code=200)
async def set_role(place: Here, who: Named, data: JSONBody[NewRole]) -> MemberShape:
    """Give a member another role."""
    row = await _named(place, who)
    changed = await place.gate.change(
        place.caller, lambda act: members.set_role(act, place.id, row.id, data.role)
    )
    return member_shape(changed)


@post("/members/{who:str}/suspend", opt={"act": "member.suspend"}, status_code=200)
async def suspend(place: Here, who: Named, data: JSONBody[Why]) -> Receipt:
    """Shut a member out until resumed; answers when it holds on every node."""
    row = await _named(place, who)

    def work(act: Act) -> tuple[str, ...]:
        members.suspend(act, place.id, row.id)
        return ()

    return await place.gate.end(place.caller, ("suspend", row.id, place.id), data.why, work)


@post("/members/{who:str}/resume", opt={"act": "member.resume"}, status_code=200)
async def resume(place: Here, who: Named, data: JSONBody[Why]) -> MemberShape:
    """Let a suspended member in again."""
    row = await _named(place, who)
    changed = await place.gate.change(
        place.caller, lambda act: members.resume(act, place.id, row.id), data.why
    )
    return member_shape(changed)


@post("/members/{who:str}/revoke", opt={"act": "member.revoke"}, status_code=200)
async def revoke(
    place: Here, who: Named, data: JSONBody[Leaving], *, dry_run: Flag = False
) -> Receipt | Rehearsal:
    """End a member's access for good; answers when it holds on every node."""
    row = await _named(place, who)
    heir = (await _named(place, data.hand_over_to)).id if data.hand_over_to else None

    def work(act: Act) -> tuple[str, ...]:
        return members.leave(act, place.id, row.id, heir).ids

    if dry_run:
        return await place.gate.rehearse(place.caller, work, data.why)
    return await place.gate.end(place.caller, ("member", row.id, place.id), data.why, work)


async def _named(place: Place, who: str) -> Member:
    return await place.gate.read(lambda tx: named.member(tx, place.id, who))


def _detail(tx: Tx, row: Member) -> MemberDetail:
    here, ident = row.workspace, row.id
    groups = {group.id: group.name for group in tx.find(Group, workspace=here)}
    places = tx.find(GroupMember, workspace=here, principal=ident)
    agents = tx.find(Agent, workspace=here, owner=MemberId(ident))
    tokens = tx.find(Credential, workspace=here, principal=ident, revoked_at=None)
    shape = member_shape(row)
    return MemberDetail(
        id=shape.id,
        email=shape.email,
        name=shape.name,
        role=shape.role,
        status=shape.status,
        created_at=shape.created_at,
        groups=tuple(groups[each.group] for each in places),
        agents=tuple(each.name for each in agents if each.status != "left"),
        tokens=tuple(each.id for each in tokens),
    )


ROUTES = (listed, add, show, rename, set_role, suspend, resume, revoke)
