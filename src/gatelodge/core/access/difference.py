"""What differs between who could use what at two moments."""

from collections.abc import Collection, Iterator

from msgspec import Struct

from gatelodge.core.access.reach import AccessReach
from gatelodge.core.ids import Instant, PrincipalId, WorkspaceId
from gatelodge.core.state import GovernanceState
from gatelodge.core.view import PolicyView, compile_view

Place = tuple[str, str]


class AccessDifference(Struct, frozen=True, kw_only=True):
    """One principal and one tool that could be used at one moment and not, or not so, at the other.

    `before` and `after` are the rules that allowed it; empty = it was not allowed.
    """

    principal: PrincipalId
    server: str
    tool: str
    before: str
    after: str


def differences(
    earlier: tuple[PolicyView, Instant],
    later: tuple[PolicyView, Instant],
    workspace: WorkspaceId,
    principals: Collection[PrincipalId] | None = None,
) -> Iterator[AccessDifference]:
    """What came, what went, and what is allowed by another rule; by principal, server and tool.

    Of these principals only, where they are given.
    """
    before = _allowed(*earlier, workspace, principals)
    after = _allowed(*later, workspace, principals)
    for principal in sorted(before.keys() | after.keys()):
        was, now = before.get(principal, {}), after.get(principal, {})
        # Nearly everybody may do what they could: only whom something changed for is looked at.
        if was == now:
            continue
        for server, tool in sorted(was.keys() | now.keys()):
            one, other = was.get((server, tool), ""), now.get((server, tool), "")
            if one != other:
                yield AccessDifference(
                    principal=principal, server=server, tool=tool, before=one, after=other
                )


def foreseen(
    view: PolicyView, state: GovernanceState, workspace: WorkspaceId, at: Instant, longest: int
) -> tuple[AccessDifference, ...]:
    """What would differ in a workspace if the state were this one; `longest` is as for views."""
    later = compile_view(state, view, longest)
    # What a compilation takes over is the same object: whoever has one differs in nothing.
    touched = {
        ident
        for ident in view.access.keys() | later.access.keys()
        if view.access.get(ident) is not later.access.get(ident)
    }
    return tuple(differences((view, at), (later, at), workspace, touched))


def _allowed(
    view: PolicyView,
    at: Instant,
    workspace: WorkspaceId,
    principals: Collection[PrincipalId] | None,
) -> dict[PrincipalId, dict[Place, str]]:
    """The rule of each tool that each principal may use, by alias and name."""
    here = view.workspace(workspace)
    if here is None:
        return {}
    aliases = {server.id: server.alias for server in here.servers.values()}
    reach = AccessReach(view, here, at)
    shared: dict[int, dict[Place, str]] = {}
    found: dict[PrincipalId, dict[Place, str]] = {}
    for who in view.principals.values():
        if who.workspace != workspace or (principals is not None and who.id not in principals):
            continue
        allowed = reach.of(who)
        if id(allowed) not in shared:
            # By the alias: a server that was removed and added again is another one to its rules,
            # and the same to whoever asks.
            shared[id(allowed)] = {
                (aliases[server], tool): rule
                for server, tools in allowed.items()
                for tool, rule in tools.items()
            }
        found[who.id] = shared[id(allowed)]
    return found
