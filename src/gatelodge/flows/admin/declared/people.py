"""Members, agents and groups in the file: what they may hold, and what makes them so.

People never end by a file: who was revoked never comes back by one, and who was suspended by hand
stays so.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec.structs import replace

from gatelodge.core.people import Agent, Group, GroupMember, Member, Role, folded
from gatelodge.flows.admin import agents, groups, members
from gatelodge.flows.admin.declared.spelling import PrincipalReference, address, name, principal
from gatelodge.flows.nouns.file_table import (
    Entry,
    FileEntry,
    FileNames,
    FilePlan,
    FileTable,
    NounChange,
    WorkspaceRows,
    folded_reference,
)


class WantedMember(FileEntry, frozen=True, kw_only=True):
    """A person and their role. `suspended` stops them; only `member resume` lets them in again."""

    email: str
    name: str = ""
    role: Role = "member"
    suspended: bool = False


class WantedAgent(FileEntry, frozen=True, kw_only=True):
    """An agent and the e-mail address of the member who answers for it. `suspended` stops it."""

    name: str
    owner: str
    suspended: bool = False


class WantedGroup(FileEntry, frozen=True, kw_only=True):
    """A group and who is in it."""

    name: str
    members: tuple[PrincipalReference, ...] = ()


def _members(rows: WorkspaceRows) -> dict[str, Member]:
    """Members by address; of two, the later one, who has access, counts."""
    found = sorted(rows.of(Member), key=lambda row: row.status != "revoked")
    return {row.email: row for row in found}


def _agents(rows: WorkspaceRows) -> dict[str, Agent]:
    """Agents by folded name; of two, the one that has access counts."""
    found = sorted(rows.of(Agent), key=lambda row: row.status != "revoked")
    return {folded(row.name): row for row in found}


class NamedTable(FileTable[Entry]):
    """The tables of those whom others name as `member:EMAIL`, `agent:NAME` or `group:NAME`."""

    called = "name"
    """The field of entry and row that holds it."""

    def key(self, entry: Entry) -> str:
        """What it is called, in the form in which names are compared."""
        return folded(getattr(entry, self.called))

    def reference(self, entry: Entry) -> str:
        """Its kind and what it is called."""
        return f"{self.kind}:{getattr(entry, self.called)}"

    def names(self, rows: WorkspaceRows) -> dict[str, str]:
        """Each but what was revoked."""
        found: tuple[Any, ...] = rows.of(self.noun.row)
        live = (row for row in found if getattr(row, "status", "") != "revoked")
        return {row.id: f"{self.kind}:{getattr(row, self.called)}" for row in live}


class MemberTable(NamedTable[WantedMember]):
    """`[[members]]`. They are suspended last: an agent is given to an active member only."""

    noun, entry, reads, called = members.member, WantedMember, (Member,), "email"

    def kept(self, entry: WantedMember) -> WantedMember:
        """With address and name as they are kept."""
        called = name("members: name", entry.name, 120) if entry.name else ""
        return replace(entry, email=address("members", entry.email), name=called)

    def gone(self, entry: WantedMember, rows: WorkspaceRows) -> Iterator[str]:
        """Who was revoked is added by hand, if at all."""
        row = _members(rows).get(entry.email)
        # A fault of the file: a leaver who is passed over in silence would look let in by it.
        if row is not None and row.status == "revoked":
            yield f"{row.email} is revoked: take them out of the file, or add them by hand"

    def exported(self, rows: WorkspaceRows, names: FileNames) -> Iterator[WantedMember]:
        """Everyone but who was revoked."""
        for row in rows.of(Member):
            if names.exported(row.id):
                yield WantedMember(
                    email=row.email,
                    name=row.display,
                    role=row.role,
                    suspended=row.status == "suspended",
                )

    def changes(self, plan: FilePlan) -> Iterator[NounChange]:
        """Who comes in, who is called otherwise, who gets another role.

        Owners get another role last: a workspace has one at each moment.
        """
        known, owners = _members(plan.rows), []
        for each in self.entries_of(plan.file):
            email, row = each.email, known.get(each.email)
            if row is None:
                line = f"+ member {email} as {each.role}"
                yield self.change("add", line, email=email, name=each.name, role=each.role)
                continue
            # A file that says no name leaves the one that was given by hand.
            if each.name and row.display != each.name:
                line = f"~ member {email} is called {each.name!r}"
                yield self.change("rename", line, email, name=each.name)
            if row.role != each.role:
                change = self.change(
                    "role", f"~ member {email} becomes {each.role}", email, role=each.role
                )
                # The new owner may stand behind the old one in the file, and come in too late.
                if row.role == "owner":
                    owners.append(change)
                else:
                    yield change
        yield from owners

    def late_changes(self, plan: FilePlan) -> Iterator[NounChange]:
        """Who is suspended."""
        known = _members(plan.rows)
        for each in self.entries_of(plan.file):
            row = known.get(each.email)
            # Only in this direction: a file must not let in whom somebody stopped by hand.
            if each.suspended and (row is None or row.status == "active"):
                yield self.change("suspend", f"~ member:{each.email} is suspended", each.email)


class AgentTable(NamedTable[WantedAgent]):
    """`[[agents]]`. One whose owner was revoked rests: no file can name it, so none ends."""

    noun, entry, reads = agents.agent, WantedAgent, (Agent,)

    def kept(self, entry: WantedAgent) -> WantedAgent:
        """With its name and its owner's address as they are kept."""
        owner = address("agents: owner", entry.owner)
        return replace(entry, name=name("agents", entry.name), owner=owner)

    def named(self, entry: WantedAgent) -> Iterable[str]:
        """Its owner."""
        return (f"member:{entry.owner}",)

    def gone(self, entry: WantedAgent, rows: WorkspaceRows) -> Iterator[str]:
        """What was revoked keeps its name."""
        row = _agents(rows).get(folded(entry.name))
        if row is not None and row.status == "revoked":
            yield f"the agent {row.name} is revoked: choose another name"

    def nameless(self, rows: WorkspaceRows) -> set[str]:
        """Those that rest since their owner was revoked."""
        gone = {row.id for row in rows.of(Member) if row.status == "revoked"}
        return {row.id for row in rows.of(Agent) if row.owner in gone}

    def exported(self, rows: WorkspaceRows, names: FileNames) -> Iterator[WantedAgent]:
        """Each that somebody answers for."""
        for row in rows.of(Agent):
            if names.exported(row.id):
                owner = names.exported(row.owner).removeprefix("member:")
                suspended = row.status == "suspended"
                yield WantedAgent(name=row.name, owner=owner, suspended=suspended)

    def changes(self, plan: FilePlan) -> Iterator[NounChange]:
        """What comes in, what goes to another owner, what is suspended."""
        known, owners = _agents(plan.rows), _members(plan.rows)
        for each in self.entries_of(plan.file):
            row, owner = known.get(folded(each.name)), owners.get(each.owner)
            called = each.name if row is None else row.name
            if row is None:
                line = f"+ agent {called}, owned by {each.owner}"
                yield self.change("add", line, name=each.name, owner=each.owner)
            # The new owner may come in by this very file, and has no row before it is applied.
            elif owner is None or row.owner != owner.id:
                line = f"~ agent {called} goes to {each.owner}; its tokens end"
                yield self.change("transfer", line, called, owner=each.owner)
            if each.suspended and (row is None or row.status == "active"):
                yield self.change("suspend", f"~ agent:{called} is suspended", called)


class GroupTable(NamedTable[WantedGroup]):
    """`[[groups]]`. Pruned are places in the groups that the file names, no groups."""

    noun, entry, reads = groups.group, WantedGroup, (Group, GroupMember)

    def kept(self, entry: WantedGroup) -> WantedGroup:
        """With its name and those of its members as they are kept."""
        inside = tuple(principal("groups: members", who) for who in entry.members)
        return replace(entry, name=name("groups", entry.name), members=inside)

    def named(self, entry: WantedGroup) -> Iterable[str]:
        """Who is in it."""
        return entry.members

    def exported(self, rows: WorkspaceRows, names: FileNames) -> Iterator[WantedGroup]:
        """Each with whom an export names."""
        for row in rows.of(Group):
            inside = (each.principal for each in rows.of(GroupMember) if each.group == row.id)
            called = sorted(filter(None, map(names.exported, inside)))
            yield WantedGroup(name=row.name, members=tuple(called))

    def changes(self, plan: FilePlan) -> Iterator[NounChange]:
        """What is made, who joins, and who parts when it is pruned."""
        known = {folded(row.name): row for row in plan.rows.of(Group)}
        for each in self.entries_of(plan.file):
            row = known.get(folded(each.name))
            called = each.name if row is None else row.name
            if row is None:
                yield self.change("create", f"+ group {called}", name=called)
            places = plan.rows.of(GroupMember) if row is not None else ()
            ids = [place.principal for place in places if row and place.group == row.id]
            inside = {folded_reference(plan.names.by_id.get(one, one)): one for one in ids}
            should = {folded_reference(who): who for who in each.members}
            for who in (who for key, who in should.items() if key not in inside):
                line = f"+ {who} joins group {called}"
                yield self.change("add-member", line, called, principal=who)
            if plan.prune:
                ended = (one for key, one in inside.items() if key not in should)
                # An agent that no export names cannot stand in a file: its absence says nothing.
                for who in filter(None, map(plan.names.exported, ended)):
                    line = f"- {who} parts from group {called}"
                    yield self.change("remove-member", line, called, principal=who)
