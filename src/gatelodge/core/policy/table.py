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
from gatelodge.core.policy.compile import (
    CompiledGuardrails,
    WorkspaceRules,
    principal_class,
    subjects,
)
from gatelodge.core.policy.decision import Allow, Deny
from gatelodge.core.policy.evaluate import Outcome, PolicyQuestion, foresee
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


class ConditionalCell(Struct, frozen=True, eq=False, gc=False):
    """A cell that depends on time or circumstances.

    Some grant of `permits` (by id) must still last; then `fixed` answers, or else
    `questions` are judged in full.
    """

    permits: tuple[CompiledGrant, ...]
    fixed: Deny | None
    questions: tuple[PolicyQuestion, ...]


Cell = Allow | Deny | ConditionalCell
Watch = tuple[CompiledGuardrail, PolicyQuestion | None]
"""A watching guardrail that would forbid always, or else the question of each call."""


class GuardrailEffect(Struct, frozen=True, eq=False, gc=False):
    """What the guardrails mean for one entry and one class of principals, whatever is granted."""

    fixed: Deny | None
    questions: tuple[PolicyQuestion, ...]
    watches: tuple[Watch, ...]


class PolicyTable(Struct, frozen=True, eq=False, gc=False):
    """The decisions on one server; an entry that is not in `cells` is not granted.

    `listed` are the tools to show, None when that depends on the time.
    """

    server: ServerView
    grants: tuple[CompiledGrant, ...]
    cells: dict[Key, Cell]
    watches: dict[Key, tuple[Watch, ...]]
    listed: tuple[ToolEntry, ...] | None


class ClassAccess(Struct, frozen=True, eq=False, gc=False):
    """All that a class of principals may do in its workspace; tables in the order of aliases.

    The same object in two views means that nothing changed for these principals.
    """

    cells: dict[ServerId, dict[Key, Cell]]
    tables: tuple[PolicyTable, ...]
    listed: tuple[ToolEntry, ...] | None


NO_ACCESS: Final = ClassAccess({}, (), ())


Bearings = tuple[Outcome | PolicyQuestion, ...]
"""How each guardrail bears on one entry, or one guardrail on each entry."""

OutcomeKey = tuple[CompiledGuardrail, Hashable, Hashable]
Servers = dict[ServerId, ServerView]
Bearing = tuple[Hashable, ...]
TablesOfBearing = dict[Hashable, PolicyTable]


class CompileCache(Struct, frozen=True, eq=False, gc=False):
    """What one compilation leaves to the next: only what it used itself."""

    outcomes: dict[OutcomeKey, Outcome | PolicyQuestion]
    tables: dict[tuple[CompiledGuardrails, Bearing], TablesOfBearing]
    access: dict[Hashable, ClassAccess]
    inputs: dict[WorkspaceId, tuple[WorkspaceRules, Servers]]


NO_MEMORY: Final = CompileCache({}, {}, {}, {})


class TableCompiler:
    """The tables of one compilation, taken from the previous one where their inputs are the same.

    Owned by the one thread that compiles; what it made is shared, and never changed after.
    """

    def __init__(self, before: CompileCache = NO_MEMORY) -> None:
        self._before = before
        self._outcomes = dict(before.outcomes)
        self._rows: dict[Hashable, Bearings] = {}
        self._fates: dict[Hashable, tuple[GuardrailEffect, ...]] = {}
        self._tables: dict[tuple[CompiledGuardrails, Bearing], TablesOfBearing] = {}
        self._access: dict[Hashable, ClassAccess] = {}
        self._inputs: dict[WorkspaceId, tuple[WorkspaceRules, Servers]] = {}
        self._unchanged: set[WorkspaceId] = set()

    def begin(self, rules: WorkspaceRules, servers: Servers) -> None:
        """Take the inputs of a workspace; `servers` in the order of aliases."""
        self._inputs[rules.workspace] = (rules, servers)
        last = self._before.inputs.get(rules.workspace)
        # The order counts too, for lists show servers by their aliases.
        if last is not None and last[0] is rules and list(last[1].items()) == list(servers.items()):
            self._unchanged.add(rules.workspace)

    def memory(self, guards: Collection[CompiledGuardrail]) -> CompileCache:
        """What was used, and what was found out about `guards`, for the next compilation."""
        # Outcomes of guardrails that are gone would pile up with each edit of a text.
        outcomes = {key: told for key, told in self._outcomes.items() if key[0] in guards}
        return CompileCache(outcomes, self._tables, self._access, self._inputs)

    def access(self, principal: PrincipalEntry) -> ClassAccess:
        """What the principal's class may do in its workspace, which was begun before."""
        rules, servers = self._inputs[principal.workspace]
        key = principal_class(rules, principal)
        made = self._access.get(key)
        if made is not None:
            return made
        made = self._before.access.get(key)
        bearing = tuple(_principal_equivalence_key(guard, principal) for guard in rules.guards.all)
        if made is None or principal.workspace not in self._unchanged:
            last = made
            granted = _grants_by_server(rules, principal)
            tables = tuple(
                self._reuse_or_build_table(view, principal, rules.guards, bearing, granted[server])
                for server, view in servers.items()
                if server in granted
            )
            # Streams compare by identity first: new objects would have every list looked through.
            if last is not None and last.tables == tables:
                made = last
            else:
                cells = {table.server.id: table.cells for table in tables}
                made = ClassAccess(cells, tables, _all_listed(tables))
        # Tables that were taken over count as used too, else the next compilation lacks them.
        kept = self._tables.setdefault((rules.guards, bearing), {})
        for table in made.tables:
            kept[table.server, table.grants] = table
        self._access[key] = made
        return made

    def _reuse_or_build_table(
        self,
        view: ServerView,
        principal: PrincipalEntry,
        guards: CompiledGuardrails,
        bearing: Bearing,
        grants: tuple[CompiledGrant, ...],
    ) -> PolicyTable:
        key = (view, grants)
        made = self._tables.get((guards, bearing), {}).get(key)
        if made is None:
            made = self._before.tables.get((guards, bearing), {}).get(key)
        if made is None:
            made = _build_table(view, self._fates_of(view, principal, guards, bearing), grants)
        return made

    def _fates_of(
        self,
        view: ServerView,
        principal: PrincipalEntry,
        guards: CompiledGuardrails,
        bearing: Bearing,
    ) -> tuple[GuardrailEffect, ...]:
        key = (view, guards, bearing)
        made = self._fates.get(key)
        if made is None:
            rows = [
                self._outcomes_on_entries(view, guard, principal, facet)
                for guard, facet in zip(guards.all, bearing, strict=True)
            ]
            made = tuple(
                _fate_of_entry(entry, guards, tuple(row[place] for row in rows))
                for place, entry in enumerate(view.entries)
            )
            self._fates[key] = made
        return made

    def _outcomes_on_entries(
        self, view: ServerView, guard: CompiledGuardrail, principal: PrincipalEntry, facet: Hashable
    ) -> Bearings:
        """How the guardrail bears on each entry of the server, in order."""
        key = (view, guard, facet)
        row = self._rows.get(key)
        if row is None:
            row = tuple(
                self._outcome_on_entry(guard, principal, facet, entry) for entry in view.entries
            )
            self._rows[key] = row
        return row

    def _outcome_on_entry(
        self, guard: CompiledGuardrail, principal: PrincipalEntry, facet: Hashable, entry: Entry
    ) -> Outcome | PolicyQuestion:
        key = (guard, facet, _kind_of_entry(guard, entry))
        outcome = self._outcomes.get(key)
        if outcome is None:
            outcome = foresee(guard, principal, entry)
            self._outcomes[key] = outcome
        return outcome


def _grants_by_server(
    rules: WorkspaceRules, principal: PrincipalEntry
) -> dict[ServerId, tuple[CompiledGrant, ...]]:
    """The principal's grants on each server, by id."""
    found: dict[ServerId, tuple[CompiledGrant, ...]] = {}
    for subject in subjects(principal):
        for server, grants in rules.grants.get(subject, {}).items():
            found[server] = found[server] + grants if server in found else grants
    # The lowest id is the rule that a record names, whichever subject brought the grant.
    for server, grants in found.items():
        if len(grants) > 1:
            found[server] = tuple(sorted(grants, key=lambda compiled: compiled.grant.id))
    return found


def _principal_equivalence_key(guard: CompiledGuardrail, principal: PrincipalEntry) -> Hashable:
    """A key that two principals share only if this guardrail cannot tell them apart."""
    named = guard.named
    entity = "Member" if principal.kind == "member" else "Agent"
    return (
        entity,
        principal.id if (entity, principal.id) in named else "",
        tuple(group for group in principal.groups if ("Group", group) in named),
        principal.role if "role" in guard.reads else "",
        # Through an agent's owner a rule can ask for role and groups, so all of the owner counts.
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


def _fate_of_entry(entry: Entry, guards: CompiledGuardrails, outcomes: Bearings) -> GuardrailEffect:
    """Weigh the outcomes: a certain forbid hides, then the pin speaks, then a failure denies."""
    fixed: Deny | None = None
    failing: Deny | None = None
    questions: list[PolicyQuestion] = []
    count = len(guards.enforced)
    # The guardrails come by id, so every node records the same one as the rule.
    for guard, outcome in zip(guards.enforced, outcomes[:count], strict=True):
        if isinstance(outcome, PolicyQuestion):
            questions.append(outcome)
        elif outcome == "forbids":
            fixed = fixed or guard.hiding
        elif outcome == "fails":
            failing = failing or guard.failing
    if fixed is None and entry.standing != "pinned":
        fixed = NOT_APPROVED if entry.standing == "new" else CHANGED
    fixed = fixed or failing
    watches = tuple(
        (guard, outcome if isinstance(outcome, PolicyQuestion) else None)
        for guard, outcome in zip(guards.watching, outcomes[count:], strict=True)
        if outcome != "passes"
    )
    # Once a denial is certain no question can change it, and Cedar is not asked in the call.
    return GuardrailEffect(fixed, () if fixed else tuple(questions), watches)


def _build_table(
    view: ServerView, fates: tuple[GuardrailEffect, ...], grants: tuple[CompiledGrant, ...]
) -> PolicyTable:
    cells: dict[Key, Cell] = {}
    watches: dict[Key, tuple[Watch, ...]] = {}
    listed: list[ToolEntry] = []
    timed = False
    for entry, fate in zip(view.entries, fates, strict=True):
        permits = tuple(compiled for compiled in grants if compiled.covers(entry))
        if not permits:
            continue
        cell = _combine_permits_and_fate(permits, fate)
        cells[entry.key] = cell
        hidden = fate.fixed is not None and fate.fixed.hidden
        # A watching guardrail tells what it would change: nothing, where a call is denied anyway.
        if fate.watches and fate.fixed is None:
            watches[entry.key] = fate.watches
        if not hidden and isinstance(entry, ToolEntry):
            listed.append(entry)
            # One grant without an end keeps the tool in the list, whatever becomes of the others.
            timed = timed or all(permit.until != NEVER for permit in permits)
    return PolicyTable(view, grants, cells, watches, None if timed else tuple(listed))


def _combine_permits_and_fate(permits: tuple[CompiledGrant, ...], fate: GuardrailEffect) -> Cell:
    """The answer itself where it can never change, else what it depends on."""
    # A denial is the same whichever grant lasts, so any grant without an end settles it.
    if fate.fixed is not None and any(permit.until == NEVER for permit in permits):
        return fate.fixed
    # The first grant is the rule that is recorded: where it ends, the next one takes its place.
    if fate.fixed is None and not fate.questions and permits[0].until == NEVER:
        return permits[0].allow
    return ConditionalCell(permits, fate.fixed, fate.questions)


def _all_listed(tables: tuple[PolicyTable, ...]) -> tuple[ToolEntry, ...] | None:
    found: list[ToolEntry] = []
    for table in tables:
        if table.listed is None:
            return None
        found.extend(table.listed)
    return tuple(found)
