"""The view: all that serving calls needs to know, immutable, and swapped as a whole.

It is compiled from governance state at one size of the gov log, and whatever did not change since
the previous view is that view's own object. No call is ever decided by anything else.
"""

from collections.abc import Collection, Iterable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.ids import (
    CredentialId,
    GuardrailId,
    Instant,
    PrincipalId,
    ServerId,
    WorkspaceId,
)
from gatelodge.core.people import Credential, Workspace
from gatelodge.core.policy.compile import (
    CompiledGuardrails,
    WorkspaceRules,
    compile_grants,
    compile_guardrails,
    compile_rules,
)
from gatelodge.core.policy.decide import settle, shows, watched
from gatelodge.core.policy.decision import Decision
from gatelodge.core.policy.grants import CompiledGrant
from gatelodge.core.policy.guardrails import CompiledGuardrail
from gatelodge.core.policy.table import (
    NO_ACCESS,
    NO_GRANT,
    NO_MEMORY,
    ClassAccess,
    CompileCache,
    ConditionalCell,
    TableCompiler,
)
from gatelodge.core.protocol.shown.names import LONGEST
from gatelodge.core.state import GovernanceState
from gatelodge.core.view_catalog import Servers, by_shown_name, servers
from gatelodge.core.view_entry import (
    CallContext,
    CredentialEntry,
    Entry,
    PrincipalEntry,
    ReadKind,
    ServerView,
    ToolEntry,
    WorkspaceView,
)
from gatelodge.core.view_people import credentials, places, principals

_NOBODY: Final[frozenset[ServerId]] = frozenset()


class PolicyView(Struct, frozen=True, kw_only=True, eq=False):
    """Who may do what, as of `gov`; nothing in it ever changes.

    `credentials` is keyed by the hex digest of the token, and so are those that ended (`former`):
    nobody is let in by them, but whose they were can be told; `workspaces` by slug. `access` has
    exactly the principals of `principals`; two of them share an object when no rule tells them
    apart. `gone` are servers cut since the compilation (`without`). `left_out` is what each
    workspace has that cannot be used, and why, for the health page.
    """

    gov: int
    epoch: str
    credentials: dict[str, CredentialEntry]
    former: dict[str, Credential]
    principals: dict[PrincipalId, PrincipalEntry]
    workspaces: dict[str, WorkspaceView]
    access: dict[PrincipalId, ClassAccess]
    rules: dict[WorkspaceId, WorkspaceRules]
    state: GovernanceState
    left_out: dict[WorkspaceId, tuple[str, ...]] = {}
    gone: frozenset[ServerId] = _NOBODY
    compiled: "CompiledParts"

    @property
    def faults(self) -> tuple[str, ...]:
        """Why something is left out, of every workspace: for whoever may see them all."""
        return tuple(fault for faults in self.left_out.values() for fault in faults)

    def workspace(self, workspace: WorkspaceId) -> WorkspaceView | None:
        """The workspace of that id."""
        return next((found for found in self.workspaces.values() if found.id == workspace), None)

    @staticmethod
    def empty() -> "PolicyView":
        """A view that admits nobody; what a node holds until it has loaded the state."""
        return compile_view(GovernanceState(gov=0, epoch=""), None)

    def admits(self, credential: CredentialEntry, server: str) -> bool:
        """Say whether this credential is still good here, and the server (if named) not cut."""
        return credential.digest in self.credentials and server not in self.gone

    def without(
        self,
        *,
        credentials: Collection[CredentialId] = (),
        principals: Collection[PrincipalId] = (),
        servers: Collection[ServerId] = (),
    ) -> "PolicyView":
        """This view with these denied at once, everything else untouched.

        Their credentials, and agents they own, go with principals. It is what revocation swaps
        in before the next compilation is there; `gov` stays what it was.
        """
        cut = frozenset(principals)
        # An agent acts for its owner, so it must not outlast them until the next compilation.
        cut |= {
            entry.id
            for entry in self.principals.values()
            if cut and entry.owner is not None and entry.owner.id in cut
        }
        ended, closed = frozenset(credentials), frozenset(servers)
        return replace(
            self,
            credentials={
                digest: entry
                for digest, entry in self.credentials.items()
                if entry.id not in ended and entry.principal not in cut
            },
            principals={ident: was for ident, was in self.principals.items() if ident not in cut},
            access={ident: was for ident, was in self.access.items() if ident not in cut},
            workspaces={slug: _cut_servers(was, closed) for slug, was in self.workspaces.items()},
            # Cuts add up: the view from which this one is made may itself be cut already.
            gone=self.gone | closed,
        )


class CompiledParts(Struct, frozen=True, eq=False):
    """What the next compilation can take over."""

    grants: dict[str, CompiledGrant]
    guardrails: dict[str, CompiledGuardrail]
    servers: Servers
    guards: dict[WorkspaceId, CompiledGuardrails]
    memory: CompileCache


_NOTHING: Final = CompiledParts({}, {}, {}, {}, NO_MEMORY)


def decide(
    view: PolicyView, principal: PrincipalEntry, entry: Entry, at: Instant, context: CallContext
) -> Decision:
    """Whether the principal may use this tool, or these prompts or resources, and by which rule.

    A forbid beats a grant, silence is a deny, and so is an error in a policy. Nearly always three
    look-ups in tables made ahead. A principal or server that this view does not hold is denied,
    whatever view its entry came from.
    """
    access = view.access.get(principal.id)
    if access is None or (view.gone and entry.server in view.gone):
        return NO_GRANT
    cells = access.cells.get(entry.server)
    if cells is None:
        return NO_GRANT
    # The entry may be of an older view: what this one does not know is denied.
    cell = cells.get(entry.key, NO_GRANT)
    # Only the time and the credential are left to ask: all else was decided with the tables.
    if type(cell) is ConditionalCell:
        return settle(cell, at, context)
    return cell  # type: ignore[return-value] # mypy does not narrow by `type() is`


def visible(
    view: PolicyView,
    principal: PrincipalEntry,
    workspace: WorkspaceView,
    at: Instant,
    server: ServerView | None = None,
) -> tuple[ToolEntry, ...]:
    """The tools to list: those whose decision is not a hidden deny, by alias and position.

    With `server` only that server's. The same tuple object for all alike, unless time matters.
    """
    access = view.access.get(principal.id)
    # The path of the request names the workspace; the token may be of another one.
    if access is None or workspace.id != view.principals[principal.id].workspace:
        return ()
    # The shared list was made before the cut, and may hold tools of a server that is gone.
    if server is None and access.listed is not None and not view.gone:
        return access.listed
    found: list[ToolEntry] = []
    for table in access.tables:
        owner = table.server.id
        if owner in view.gone or (server is not None and owner != server.id):
            continue
        if table.listed is not None:
            if server is not None:
                return table.listed
            found.extend(table.listed)
            continue
        found.extend(
            tool
            for tool in table.server.tools.values()
            if tool.name in table.cells and shows(table.cells[tool.name], at)
        )
    return tuple(found)


def reachable(
    view: PolicyView,
    principal: PrincipalEntry,
    workspace: WorkspaceView,
    at: Instant,
    kind: ReadKind,
    alias: str = "",
) -> tuple[ServerView, ...]:
    """The servers whose prompts (or resources) to list, by alias: as `visible` is for tools.

    With `alias` that server at most.
    """
    access = view.access.get(principal.id)
    if access is None or workspace.id != view.principals[principal.id].workspace:
        return ()
    found: list[ServerView] = []
    for table in access.tables:
        server = table.server
        if server.id in view.gone or (alias and server.alias != alias):
            continue
        cell = table.cells.get(server.reading(kind).key)
        if cell is not None and shows(cell, at):
            found.append(server)
    return tuple(found)


def would_stop(
    view: PolicyView, principal: PrincipalEntry, entry: Entry, at: Instant, context: CallContext
) -> tuple[GuardrailId, ...]:
    """The guardrails in mode observe that would have stopped this allowed call."""
    for table in view.access.get(principal.id, NO_ACCESS).tables:
        if table.server.id == entry.server and table.watches:
            return watched(table.watches.get(entry.key, ()), at, context)
    return ()


def compile_view(
    state: GovernanceState, previous: PolicyView | None, longest: int = LONGEST
) -> PolicyView:
    """The view of that state. Whatever equals the previous view's is taken from it.

    `longest` is how many characters a shown name may have, the same for each view of a process.
    Plain Python in short steps, so that it can run in a thread beside an event loop. Never raises
    for what a row holds: a row that cannot be used permits nothing and is named in `faults`.
    """
    last = _NOTHING if previous is None else previous.compiled
    people = principals(
        state.members,
        state.agents,
        places(state.groups, state.group_members),
        {} if previous is None else previous.principals,
    )
    catalog, server_faults = servers(state.servers, state.tools, last.servers, longest)
    grants, grant_faults = compile_grants(state.grants, last.grants)
    guardrails = compile_guardrails(state.guardrails, last.guardrails)
    guards = {
        row.id: _guards_of_workspace(row.id, guardrails.values(), last.guards.get(row.id))
        for row in state.workspaces
    }
    rules = _all_rules(state.workspaces, grants.values(), guards, previous)
    tables = TableCompiler(last.memory)
    for found in rules.values():
        tables.begin(found, catalog.get(found.workspace, {}))
    access = {
        ident: tables.access(entry) for ident, entry in people.items() if entry.workspace in rules
    }
    # A principal whose workspace is not there has no rules to be judged by.
    people = {ident: entry for ident, entry in people.items() if ident in access}
    good = credentials(state.credentials, people, {} if previous is None else previous.credentials)
    return PolicyView(
        gov=state.gov,
        epoch=state.epoch,
        credentials=good,
        # A request with an ended token is recorded with whose it was: a leaked one shows up so.
        former={row.digest: row for row in state.credentials if row.digest not in good},
        principals=people,
        workspaces={
            row.slug: _workspace_view(row, catalog.get(row.id, {}), rules[row.id], previous)
            for row in state.workspaces
        },
        access=access,
        rules=rules,
        state=state,
        left_out=_by_workspace(
            *server_faults,
            *grant_faults,
            *((found.workspace, fault) for found in rules.values() for fault in found.faults),
        ),
        compiled=CompiledParts(
            grants,
            guardrails,
            {ident: view for views in catalog.values() for ident, view in views.items()},
            guards,
            tables.memory(frozenset(guardrails.values())),
        ),
    )


def _by_workspace(*faults: tuple[WorkspaceId, str]) -> dict[WorkspaceId, tuple[str, ...]]:
    found: dict[WorkspaceId, tuple[str, ...]] = {}
    for workspace, fault in faults:
        found[workspace] = (*found.get(workspace, ()), fault)
    return found


def _all_rules(
    workspaces: Iterable[Workspace],
    grants: Iterable[CompiledGrant],
    guards: dict[WorkspaceId, CompiledGuardrails],
    previous: PolicyView | None,
) -> dict[WorkspaceId, WorkspaceRules]:
    by_workspace: dict[WorkspaceId, list[CompiledGrant]] = {}
    for compiled in grants:
        by_workspace.setdefault(compiled.grant.workspace, []).append(compiled)
    return {
        row.id: compile_rules(
            row.id,
            by_workspace.get(row.id, []),
            guards[row.id],
            None if previous is None else previous.rules.get(row.id),
        )
        for row in workspaces
    }


def _guards_of_workspace(
    workspace: WorkspaceId, known: Iterable[CompiledGuardrail], last: CompiledGuardrails | None
) -> CompiledGuardrails:
    """The guardrails that hold in a workspace; `last` itself when they are the same."""
    # A guardrail of the organization holds here too, whoever administers the workspace.
    here = [guard for guard in known if guard.guardrail.workspace in {"", workspace}]
    enforced = tuple(guard for guard in here if guard.guardrail.mode == "enforce")
    watching = tuple(guard for guard in here if guard.guardrail.mode == "observe")
    if last is not None and (last.enforced, last.watching) == (enforced, watching):
        return last
    return CompiledGuardrails(enforced, watching)


def _workspace_view(
    row: Workspace, found: Servers, rules: WorkspaceRules, previous: PolicyView | None
) -> WorkspaceView:
    last = None if previous is None else previous.workspaces.get(row.slug)
    by_alias = {view.alias: view for view in found.values()}
    unchanged = (
        last is not None
        and (last.id, last.name, last.policy) == (row.id, row.name, rules.digest)
        # Views of servers compare by identity, so this is cheap, and one that was rebuilt counts.
        and last.servers == by_alias
    )
    if last is not None and unchanged:
        return last
    return WorkspaceView(
        id=row.id,
        slug=row.slug,
        name=row.name,
        servers=by_alias,
        tools=by_shown_name(found.values()),
        policy=rules.digest,
        policy_text=rules.text,
    )


def _cut_servers(was: WorkspaceView, closed: frozenset[ServerId]) -> WorkspaceView:
    if not any(view.id in closed for view in was.servers.values()):
        return was
    return replace(
        was,
        servers={alias: view for alias, view in was.servers.items() if view.id not in closed},
        tools={shown: tool for shown, tool in was.tools.items() if tool.server not in closed},
    )
