"""Decision tables: for each class of principals and each server, entry → decision, made ahead.

A table is shared by every class with the same grants on the server and the same bearing of the
guardrails, and by every view in which its inputs did not change. Grants are set arithmetic here;
guardrails are asked of Cedar once for each kind of entry they can tell apart. A property test holds
every cell against the full evaluation of the full text.
"""

from collections.abc import Collection, Hashable
from typing import Final

from msgspec import Struct

from gatelodge.core.ids import ServerId, WorkspaceId
from gatelodge.core.policy.compile import Guards, Rules, principal_class, subjects
from gatelodge.core.policy.decision import Allow, Deny
from gatelodge.core.policy.evaluate import Outcome, Question, foresee
from gatelodge.core.policy.grants import NEVER, CompiledGrant
from gatelodge.core.policy.guardrails import PINNED, CompiledGuardrail
from gatelodge.core.policy.schema import resource_kind
from gatelodge.core.view_entry import Entry, Key, PrincipalEntry, ServerView, ToolEntry

NO_GRANT: Final = Deny("no_grant", hidden=True)
NOT_APPROVED: Final = Deny("tool_unknown", PINNED, "This tool is not approved.", hidden=True)
CHANGED: Final = Deny(
    "tool_changed",
    PINNED,
    "This tool changed since it was approved.",
    "Ask an admin to review the change.",
)


class Depends(Struct, frozen=True, eq=False, gc=False):
    """A cell that depends on time or circumstances.

    Some grant of `permits` (by id) must still last; then `fixed` answers, or else
    `questions` are judged in full.
    """

    permits: tuple[CompiledGrant, ...]
    fixed: Deny | None
    questions: tuple[Question, ...]


Cell = Allow | Deny | Depends
Watch = tuple[CompiledGuardrail, Question | None]
"""A watching guardrail that would forbid always, or else the question of each call."""


class Fate(Struct, frozen=True, eq=False, gc=False):
    """What the guardrails mean for one entry and one class of principals, whatever is granted."""

    fixed: Deny | None
    questions: tuple[Question, ...]
    watches: tuple[Watch, ...]


class Table(Struct, frozen=True, eq=False, gc=False):
    """The decisions on one server; an entry that is not in `cells` is not granted.

    `listed` are the tools to show, None when that depends on the time.
    """

    server: ServerView
    grants: tuple[CompiledGrant, ...]
    cells: dict[Key, Cell]
    watches: dict[Key, tuple[Watch, ...]]
    listed: tuple[ToolEntry, ...] | None


class Access(Struct, frozen=True, eq=False, gc=False):
    """All that a class of principals may do in its workspace; tables in the order of aliases.

    The same object in two views means that nothing changed for these principals.
    """

    cells: dict[ServerId, dict[Key, Cell]]
    tables: tuple[Table, ...]
    listed: tuple[ToolEntry, ...] | None


NO_ACCESS: Final = Access({}, (), ())


Bearings = tuple[Outcome | Question, ...]
"""How each guardrail bears on one entry, or one guardrail on each entry."""

OutcomeKey = tuple[CompiledGuardrail, Hashable, Hashable]
Servers = dict[ServerId, ServerView]
Bearing = tuple[Hashable, ...]
TablesOfBearing = dict[Hashable, Table]


class Memory(Struct, frozen=True, eq=False, gc=False):
    """What one compilation leaves to the next: only what it used itself."""

    outcomes: dict[OutcomeKey, Outcome | Question]
    tables: dict[tuple[Guards, Bearing], TablesOfBearing]
    access: dict[Hashable, Access]
    inputs: dict[WorkspaceId, tuple[Rules, Servers]]


NO_MEMORY: Final = Memory({}, {}, {}, {})


class Tables:
    """The tables of one compilation, taken from the previous one where their inputs are the same.

    Owned by the one thread that compiles; what it made is shared, and never changed after.
    """

    def __init__(self, before: Memory = NO_MEMORY) -> None:
        self._before = before
        self._outcomes = dict(before.outcomes)
        self._rows: dict[Hashable, Bearings] = {}
        self._fates: dict[Hashable, tuple[Fate, ...]] = {}
        self._tables: dict[tuple[Guards, Bearing], TablesOfBearing] = {}
        self._access: dict[Hashable, Access] = {}
        self._inputs: dict[WorkspaceId, tuple[Rules, Servers]] = {}
        self._unchanged: set[WorkspaceId] = set()

    def begin(self, rules: Rules, servers: Servers) -> None:
        """Take the inputs of a workspace; `servers` in the order of aliases."""
        self._inputs[rules.workspace] = (rules, servers)
        last = self._before.inputs.get(rules.workspace)
        if last is not None and last[0] is rules and list(last[1].items()) == list(servers.items()):
            self._unchanged.add(rules.workspace)

    def memory(self, guards: Collection[CompiledGuardrail]) -> Memory:
        """What was used, and what was found out about `guards`, for the next compilation."""
        outcomes = {key: told for key, told in self._outcomes.items() if key[0] in guards}
        return Memory(outcomes, self._tables, self._access, self._inputs)

    def access(self, principal: PrincipalEntry) -> Access:
        """What the principal's class may do in its workspace, which was begun before."""
        rules, servers = self._inputs[principal.workspace]
        key = principal_class(rules, principal)
        made = self._access.get(key)
        if made is not None:
            return made
        made = self._before.access.get(key)
        bearing = tuple(_bearing(guard, principal) for guard in rules.guards.all)
        if made is None or principal.workspace not in self._unchanged:
            last = made
            granted = _granted(rules, principal)
            tables = tuple(
                self._table(view, principal, rules.guards, bearing, granted[server])
                for server, view in servers.items()
                if server in granted
            )
            if last is not None and last.tables == tables:
                made = last
            else:
                cells = {table.server.id: table.cells for table in tables}
                made = Access(cells, tables, _all_listed(tables))
        kept = self._tables.setdefault((rules.guards, bearing), {})
        for table in made.tables:
            kept[table.server, table.grants] = table
        self._access[key] = made
        return made

    def _table(
        self,
        view: ServerView,
        principal: PrincipalEntry,
        guards: Guards,
        bearing: Bearing,
        grants: tuple[CompiledGrant, ...],
    ) -> Table:
        key = (view, grants)
        made = self._tables.get((guards, bearing), {}).get(key)
        if made is None:
            made = self._before.tables.get((guards, bearing), {}).get(key)
        if made is None:
            made = _fill(view, self._fates_of(view, principal, guards, bearing), grants)
        return made

    def _fates_of(
        self,
        view: ServerView,
        principal: PrincipalEntry,
        guards: Guards,
        bearing: Bearing,
    ) -> tuple[Fate, ...]:
        key = (view, guards, bearing)
        made = self._fates.get(key)
        if made is None:
            rows = [
                self._row(view, guard, principal, facet)
                for guard, facet in zip(guards.all, bearing, strict=True)
            ]
            made = tuple(
                _fate(entry, guards, tuple(row[place] for row in rows))
                for place, entry in enumerate(view.entries)
            )
            self._fates[key] = made
        return made

    def _row(
        self, view: ServerView, guard: CompiledGuardrail, principal: PrincipalEntry, facet: Hashable
    ) -> Bearings:
        """How the guardrail bears on each entry of the server, in order."""
        key = (view, guard, facet)
        row = self._rows.get(key)
        if row is None:
            row = tuple(self._outcome(guard, principal, facet, entry) for entry in view.entries)
            self._rows[key] = row
        return row

    def _outcome(
        self, guard: CompiledGuardrail, principal: PrincipalEntry, facet: Hashable, entry: Entry
    ) -> Outcome | Question:
        key = (guard, facet, _kind_of_entry(guard, entry))
        outcome = self._outcomes.get(key)
        if outcome is None:
            outcome = foresee(guard, principal, entry)
            self._outcomes[key] = outcome
        return outcome


def _granted(rules: Rules, principal: PrincipalEntry) -> dict[ServerId, tuple[CompiledGrant, ...]]:
    """The principal's grants on each server, by id."""
    found: dict[ServerId, tuple[CompiledGrant, ...]] = {}
    for subject in subjects(principal):
        for server, grants in rules.grants.get(subject, {}).items():
            found[server] = found[server] + grants if server in found else grants
    for server, grants in found.items():
        if len(grants) > 1:
            found[server] = tuple(sorted(grants, key=_by_id))
    return found


def _by_id(compiled: CompiledGrant) -> str:
    return compiled.grant.id


def _bearing(guard: CompiledGuardrail, principal: PrincipalEntry) -> Hashable:
    """A key that two principals share only if this guardrail cannot tell them apart."""
    named = guard.named
    entity = "Member" if principal.kind == "member" else "Agent"
    return (
        entity,
        principal.id if (entity, principal.id) in named else "",
        tuple(group for group in principal.groups if ("Group", group) in named),
        principal.role if "role" in guard.reads else "",
        principal.owner if "owner" in guard.reads else None,
    )


def _kind_of_entry(guard: CompiledGuardrail, entry: Entry) -> Hashable:
    """A key that two entries share only if this guardrail cannot tell them apart.

    Its type settles the action too: tools are called, prompts and resources are got.
    """
    named, kind = guard.named, resource_kind(entry)
    if not named:
        itself: Hashable = entry.workspace
    else:
        itself = (
            entry.workspace,
            entry.server if ("Server", entry.server) in named else "",
            tuple(tag for tag in entry.tags if ("Tag", tag) in named),
            entry.uid if (kind, entry.uid) in named else "",
        )
    pinned = entry.standing == "pinned"
    return (kind, itself, entry.read_only, entry.destructive, entry.open_world, pinned)


def _fate(entry: Entry, guards: Guards, outcomes: Bearings) -> Fate:
    """Weigh the outcomes: a certain forbid hides, then the pin speaks, then a failure denies."""
    fixed: Deny | None = None
    failing: Deny | None = None
    questions: list[Question] = []
    count = len(guards.enforced)
    for guard, outcome in zip(guards.enforced, outcomes[:count], strict=True):
        if isinstance(outcome, Question):
            questions.append(outcome)
        elif outcome == "forbids":
            fixed = fixed or guard.hiding
        elif outcome == "fails":
            failing = failing or guard.failing
    if fixed is None and entry.standing != "pinned":
        fixed = NOT_APPROVED if entry.standing == "new" else CHANGED
    fixed = fixed or failing
    watches = tuple(
        (guard, outcome if isinstance(outcome, Question) else None)
        for guard, outcome in zip(guards.watching, outcomes[count:], strict=True)
        if outcome != "passes"
    )
    return Fate(fixed, () if fixed else tuple(questions), watches)


def _fill(view: ServerView, fates: tuple[Fate, ...], grants: tuple[CompiledGrant, ...]) -> Table:
    cells: dict[Key, Cell] = {}
    watches: dict[Key, tuple[Watch, ...]] = {}
    listed: list[ToolEntry] = []
    timed = False
    for entry, fate in zip(view.entries, fates, strict=True):
        permits = tuple(compiled for compiled in grants if compiled.covers(entry))
        if not permits:
            continue
        cell = _cell(permits, fate)
        cells[entry.key] = cell
        hidden = fate.fixed is not None and fate.fixed.hidden
        if fate.watches and fate.fixed is None:
            watches[entry.key] = fate.watches
        if not hidden and isinstance(entry, ToolEntry):
            listed.append(entry)
            timed = timed or all(permit.until != NEVER for permit in permits)
    return Table(view, grants, cells, watches, None if timed else tuple(listed))


def _cell(permits: tuple[CompiledGrant, ...], fate: Fate) -> Cell:
    """The answer itself where it can never change, else what it depends on."""
    if fate.fixed is not None and any(permit.until == NEVER for permit in permits):
        return fate.fixed
    if fate.fixed is None and not fate.questions and permits[0].until == NEVER:
        return permits[0].allow
    return Depends(permits, fate.fixed, fate.questions)


def _all_listed(tables: tuple[Table, ...]) -> tuple[ToolEntry, ...] | None:
    found: list[ToolEntry] = []
    for table in tables:
        if table.listed is None:
            return None
        found.extend(table.listed)
    return tuple(found)
