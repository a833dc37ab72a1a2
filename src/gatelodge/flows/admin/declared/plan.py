"""What has to change so that a workspace is as its file says. Pure: rows in, changes out.

What the file does not name is left alone, unless it is pruned: then grants, places in the file's
groups and guardrails that it does not name end. People and servers never end by a file, who has
left never comes back by one, and what was disabled or suspended by hand stays so.
"""

from collections.abc import Iterator

from msgspec import Struct

from gatelodge.core.catalog.server import Server
from gatelodge.core.errors import Invalid
from gatelodge.core.ids import Instant
from gatelodge.core.instant import parse_rfc3339
from gatelodge.core.people import Agent, Group, GroupMember, Member
from gatelodge.core.policy.naming import Bearers, bind
from gatelodge.core.policy.rules import Grant, Guardrail
from gatelodge.flows.admin.declared.changes import (
    AddAgent,
    AddMember,
    Approve,
    Change,
    CreateGroup,
    Give,
    HandOver,
    Join,
    Part,
    Publish,
    Register,
    Rename,
    Retime,
    Retire,
    Revise,
    Revoke,
    SetRole,
)
from gatelodge.flows.admin.declared.wanted import Wanted, WantedGrant
from gatelodge.flows.admin.definitions.proposals import Proposal
from gatelodge.flows.admin.members import email_of


class Present(Struct, frozen=True, kw_only=True):
    """The rows of one workspace, and the present time."""

    at: Instant
    members: tuple[Member, ...] = ()
    agents: tuple[Agent, ...] = ()
    groups: tuple[Group, ...] = ()
    places: tuple[GroupMember, ...] = ()
    servers: tuple[Server, ...] = ()
    grants: tuple[Grant, ...] = ()
    guardrails: tuple[Guardrail, ...] = ()
    bearers: Bearers


def plan(wanted: Wanted, present: Present, *, prune: bool = False) -> tuple[Change, ...]:
    """The changes in the order in which they can be made; none when all is as the file says.

    Raises Invalid with every name that is neither in the file nor in the workspace, and everyone
    in the file who has left.
    """
    names = _Names(wanted, present)
    faults = list(names.faults())
    if faults:
        raise Invalid("; ".join(faults))
    return (
        *_members(wanted, names),
        *_agents(wanted, names),
        *_groups(wanted, names, prune=prune),
        *_servers(wanted, names),
        *_guardrails(wanted, present, prune=prune),
        *_grants(wanted, names, prune=prune),
    )


class _Names:
    """What each name of the file stands for among the rows."""

    def __init__(self, wanted: Wanted, present: Present) -> None:
        self.wanted = wanted
        self.at = present.at
        self.grants = present.grants
        self.places = present.places
        # Who left and came back has two rows; the later one, who is here, counts.
        rows = sorted(present.members, key=lambda row: row.status != "left")
        self.members = {row.email: row for row in rows}
        agents = sorted(present.agents, key=lambda row: row.status != "left")
        self.agents = {row.name: row for row in agents}
        self.groups = {row.name: row for row in present.groups}
        self.servers = {row.alias: row for row in present.servers}
        self._names: dict[str, str] = {
            **{row.id: f"member:{row.email}" for row in present.members},
            **{row.id: f"agent:{row.name}" for row in present.agents},
            **{row.id: f"group:{row.name}" for row in present.groups},
            **{row.id: row.alias for row in present.servers},
        }

    def name(self, ident: str) -> str:
        """The name by which the file would call that id."""
        return self._names.get(ident, ident)

    def faults(self) -> Iterator[str]:
        """What the file names that is not there, or not any more."""
        wanted = self.wanted
        known = {f"member:{email_of(each.email)}" for each in wanted.members}
        known |= {f"agent:{each.name}" for each in wanted.agents}
        known |= {f"group:{each.name}" for each in wanted.groups}
        known |= {f"member:{e}" for e, row in self.members.items() if row.status != "left"}
        known |= {f"agent:{n}" for n, row in self.agents.items() if row.status != "left"}
        known |= {"everyone", *(f"group:{name}" for name in self.groups)}
        named = [reference(who) for group in wanted.groups for who in group.members]
        named += [reference(grant.to) for grant in wanted.grants]
        named += [f"member:{email_of(agent.owner)}" for agent in wanted.agents]
        yield from (f"there is no {each}" for each in sorted(set(named) - known))
        aliases = {each.alias for each in wanted.servers} | self.servers.keys()
        on = {grant.server for grant in wanted.grants}
        yield from (f"there is no server {each}" for each in sorted(on - aliases))
        for each in wanted.members:
            row = self.members.get(email_of(each.email))
            if row is not None and row.status == "left":
                yield f"{row.email} has left: take them out of the file, or add them by hand first"
        for agent in wanted.agents:
            gone = self.agents.get(agent.name)
            if gone is not None and gone.status == "left":
                yield f"the agent {agent.name} has left: choose another name"


def reference(text: str) -> str:
    """A principal or grantee of the file in the form in which it is compared."""
    kind, _, name = text.partition(":")
    return f"member:{email_of(name)}" if kind == "member" else text


def _members(wanted: Wanted, names: _Names) -> Iterator[Change]:
    for each in wanted.members:
        row = names.members.get(email_of(each.email))
        if row is None:
            yield AddMember(email_of(each.email), each.name, each.role)
            continue
        if each.name and row.display != each.name:
            yield Rename(row.email, each.name)
        if row.role != each.role:
            yield SetRole(row.email, each.role)


def _agents(wanted: Wanted, names: _Names) -> Iterator[Change]:
    for each in wanted.agents:
        row, email = names.agents.get(each.name), email_of(each.owner)
        owner = names.members.get(email)
        if row is None:
            yield AddAgent(each.name, email)
        elif owner is None or row.owner != owner.id:
            yield HandOver(each.name, email)


def _groups(wanted: Wanted, names: _Names, *, prune: bool) -> Iterator[Change]:
    for each in wanted.groups:
        row = names.groups.get(each.name)
        if row is None:
            yield CreateGroup(each.name)
        inside = [names.name(p.principal) for p in names.places if row and p.group == row.id]
        should = list(dict.fromkeys(map(reference, each.members)))
        yield from (Join(each.name, who) for who in should if who not in inside)
        if prune:
            yield from (Part(each.name, who) for who in inside if who not in should)


def _servers(wanted: Wanted, names: _Names) -> Iterator[Change]:
    for each in wanted.servers:
        row, proposal = names.servers.get(each.alias), each.proposal
        differing = {
            name
            for name in Proposal.__struct_fields__
            if row is not None and getattr(row, name) != getattr(proposal, name)
        }
        changed = bool(differing - {"timing"})
        if row is None:
            yield Register(each.alias, proposal)
        elif changed:
            yield Revise(each.alias, proposal)
        elif differing:
            yield Retime(each.alias, proposal)
        if each.approved and (row is None or changed or row.status == "proposed"):
            yield Approve(each.alias)


def _guardrails(wanted: Wanted, present: Present, *, prune: bool) -> Iterator[Change]:
    standing = {row.name: row for row in present.guardrails if row.mode != "retired"}
    for each in wanted.guardrails:
        row = standing.pop(each.name, None)
        if row is None or (row.text, row.mode) != (
            bind(each.text, present.bearers).text,
            each.mode,
        ):
            yield Publish(each.name, each.text, each.mode)
    if prune:
        yield from (Retire(row.id, name) for name, row in standing.items())


def _grants(wanted: Wanted, names: _Names, *, prune: bool) -> Iterator[Change]:
    live = [row for row in names.grants if row.expires_at is None or row.expires_at > names.at]
    standing = {_key(row, names): row for row in live}
    for each in wanted.grants:
        expires = expiry(each)
        if expires is not None and expires <= names.at:
            continue
        row = standing.pop((reference(each.to), each.server, each.tool, each.level), None)
        if row is not None and row.expires_at == expires:
            continue
        if row is not None:
            yield Revoke(row.id, _told(row, names))
        yield Give(each)
    if prune:
        yield from (Revoke(row.id, _told(row, names)) for row in standing.values())


def expiry(grant: WantedGrant) -> Instant | None:
    """When a wanted grant ends, in microseconds."""
    return None if grant.expires is None else parse_rfc3339(grant.expires.isoformat())


def _key(row: Grant, names: _Names) -> tuple[str, str, str, str]:
    to = "everyone" if row.grantee_kind == "everyone" else names.name(row.grantee)
    return to, names.name(row.server), row.tool, row.level


def _told(row: Grant, names: _Names) -> str:
    to, server, tool, level = _key(row, names)
    return f"{to} may {level} {server}/{tool or '*'}"
