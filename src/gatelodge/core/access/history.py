"""What one principal could use, from when until when, and which change of the log said so."""

from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.access.explain import depends
from gatelodge.core.access.fold import GovFold
from gatelodge.core.access.folded_rows import GovLeaf
from gatelodge.core.ids import Instant, PrincipalId, ServerId, WorkspaceId
from gatelodge.core.policy.decision import Allow
from gatelodge.core.policy.rules import Grant
from gatelodge.core.state import GovernanceState
from gatelodge.core.view import PolicyView, decide

_COMES: Final = ("member.added", "agent.added")
_ABOUT_PEOPLE: Final = ("member.", "agent.", "group.", "grant.")
_ABOUT_ALL: Final = ("workspace.", "server.", "catalog.", "tool.", "guardrail.")


class HistoryEdge(Struct, frozen=True, kw_only=True):
    """Why access began or ended: the leaf at `index` of the gov log, or that time went by.

    `kind` is the leaf's type; or `expiry` of a grant; or `time`, where a guardrail depends on it
    and the next leaf found another decision. Of these two `index` is -1 and nobody did it.
    """

    at: Instant
    kind: str
    index: int = -1
    by: str = ""
    why: str = ""


class AccessInterval(Struct, frozen=True, kw_only=True):
    """A tool that could be used, by `rule`, from `began` on until `ended` (None = it still can)."""

    server: ServerId
    alias: str
    tool: str
    rule: str
    began: HistoryEdge
    ended: HistoryEdge | None = None


class AccessHistory:
    """Told each leaf of the gov log in its order, it knows the intervals of one principal.

    What a guardrail makes depend on the time of day is told as it was at each change in the
    principal's workspace.
    """

    def __init__(self, principal: PrincipalId, compiled: Callable[..., PolicyView]) -> None:
        """`compiled(state, previous)` makes a view, with the names of this gate's length."""
        self.closed: list[AccessInterval] = []
        self._principal = principal
        self._home = WorkspaceId("")
        self._owner = ""
        self._grants: dict[str, dict[str, Grant]] = {}
        self._grantees: dict[str, str] = {}
        self._compiled = compiled
        self._fold = GovFold()
        self._open: dict[tuple[str, str], AccessInterval] = {}
        self._view: PolicyView | None = None
        self._state: GovernanceState | None = None
        self._timely = False
        self._expiries: list[Instant] = []

    def take(self, leaf: GovLeaf, index: int, at: Instant) -> None:
        """Take in the next leaf; `at` is the latest time of a leaf so far. Raises Invalid."""
        self.pass_time(at)
        self._fold.apply(leaf)
        concerned = self._concerns(leaf)
        self._note_grant(leaf)
        if not concerned:
            return
        # By the view before it: what time alone changed is nobody's doing.
        if self._timely:
            self._settle(HistoryEdge(at=at, kind="time"))
        state = self._narrowed()
        # Most leaves that may concern somebody change nothing for them: only a change is compiled.
        if state == self._state:
            return
        self._state = state
        # Without a grant there is nothing that could be used, whatever else the rules say.
        self._view = self._compiled(state, self._view) if state.grants else None
        self._timely = self._depends_on_time()
        # What expired before is past: with the view of now it would be decided anew.
        ends = (each.expires_at for each in state.grants)
        self._expiries = sorted(each for each in ends if each is not None and each > at)
        self._settle(HistoryEdge(at=at, kind=leaf.t, index=index, by=leaf.by, why=leaf.why))

    def pass_time(self, until: Instant) -> None:
        """End what expires until then."""
        while self._expiries and self._expiries[0] <= until:
            self._settle(HistoryEdge(at=self._expiries.pop(0), kind="expiry"))

    def intervals(self, now: Instant) -> list[AccessInterval]:
        """All of them by now, in the order of their beginning; later leaves may still be taken in.

        `now` is the end of the log where the clock is behind it.
        """
        kept = self.closed, self._open, self._expiries
        self.closed, self._open, self._expiries = list(kept[0]), dict(kept[1]), list(kept[2])
        try:
            end = max(now, self._fold.at)
            self.pass_time(end)
            self._settle(HistoryEdge(at=end, kind="time"))
            found = [*self.closed, *self._open.values()]
        finally:
            # What time did until now is found again with the next leaf: so the answer is the same
            # whether somebody asked before or not.
            self.closed, self._open, self._expiries = kept
        return sorted(found, key=lambda each: (each.began.at, each.alias, each.tool))

    def _concerns(self, leaf: GovLeaf) -> bool:
        """Say whether a leaf can change what this principal may use."""
        told = leaf.subject
        if leaf.t in _COMES and self._principal in (told.get("member"), told.get("agent")):
            self._home = leaf.home
        # Another workspace's leaf changes nothing here, nor is anybody here told of it.
        if not self._home or leaf.workspace not in ("", self._home):
            return False
        if leaf.t.startswith(_ABOUT_ALL):
            return True
        if not leaf.t.startswith(_ABOUT_PEOPLE):
            return False
        # A leaf that ends a group names it alone, so it may be anybody's.
        if leaf.t == "group.removed":
            return True
        if leaf.t.startswith("grant."):
            return self._is_grant_in_reach(leaf)
        if self._principal == told.get("agent") and "owner" in told:
            self._owner = told["owner"]
        named = {told.get("member"), told.get("agent"), told.get("principal")}
        return not named.isdisjoint({self._principal, self._owner})

    def _is_grant_in_reach(self, leaf: GovLeaf) -> bool:
        """Say whether a grant that comes or goes is for this principal now: a group is one's own.

        Whoever joins a group later comes to its grants by that leaf.
        """
        if leaf.t == "grant.created":
            to = leaf.subject["grantee"] if self._may_be_theirs(leaf) else None
        else:
            to = self._grantees.get(leaf.subject["grant"])
        return to in ("", self._principal) or (to, self._principal) in self._fold.rows.places

    def _may_be_theirs(self, leaf: GovLeaf) -> bool:
        """Say whether a grant that comes may ever be this principal's: theirs or a group's."""
        if leaf.t != "grant.created":
            return False
        told = leaf.subject
        return told["grantee_kind"] not in ("member", "agent") or told["grantee"] == self._principal

    def _note_grant(self, leaf: GovLeaf) -> None:
        """Keep the grants that may be theirs apart: a large house has thousands of others."""
        if leaf.t == "grant.revoked":
            grantee = self._grantees.pop(leaf.subject["grant"], None)
            if grantee is not None:
                self._grants[grantee].pop(leaf.subject["grant"], None)
        elif self._may_be_theirs(leaf):
            grant = self._fold.rows.grants[leaf.subject["grant"]]
            self._grantees[grant.id] = grant.grantee
            self._grants.setdefault(grant.grantee, {})[grant.id] = grant

    def _narrowed(self) -> GovernanceState:
        """What decides about this principal: a large house is compiled for one alone."""
        rows, home = self._fold.rows, self._home
        agent = rows.agents.get(self._principal)
        whose = (self._principal, "" if agent is None else agent.owner)
        groups = tuple(each for each in rows.groups.values() if each.workspace == home)
        places = (rows.places.get((each.id, self._principal)) for each in groups)
        mine = tuple(each for each in places if each is not None)
        grants = tuple(
            grant
            for grantee in ("", self._principal, *(each.group for each in mine))
            for grant in self._grants.get(grantee, {}).values()
            if grant.workspace == home
        )
        granted = {grant.server for grant in grants}
        # Of an alias the oldest server decides, so whoever shares it is looked at too.
        aliases = {rows.servers[each].alias for each in granted if each in rows.servers}
        servers = tuple(
            each
            for each in rows.servers.values()
            if each.alias in aliases and each.workspace == home
        )
        return GovernanceState(
            # Nothing but the rows: a state that says no more than the one before is the same.
            gov=0,
            epoch="",
            workspaces=tuple(each for each in rows.workspaces.values() if each.id == home),
            members=tuple(rows.members[each] for each in whose if each in rows.members),
            agents=() if agent is None else (agent,),
            groups=groups,
            group_members=mine,
            servers=servers,
            tools=tuple(tool for each in servers for tool in rows.tools.get(each.id, {}).values()),
            grants=grants,
            guardrails=tuple(
                each for each in rows.guardrails.values() if each.workspace in ("", home)
            ),
        )

    def _depends_on_time(self) -> bool:
        """Say whether time alone can change what this principal may use."""
        view, who = self._view, None
        if view is not None:
            who = view.principals.get(self._principal)
        if view is None or who is None:
            return False
        here = view.workspace(who.workspace)
        servers = () if here is None else here.servers.values()
        return any(depends(view, who, tool) for each in servers for tool in each.tools.values())

    def _settle(self, edge: HistoryEdge) -> None:
        now = dict(_usable(self._view, self._principal, edge.at))
        for place, was in list(self._open.items()):
            if place not in now or now[place].rule != was.rule:
                # Leaves of one transaction have one time: what held between them held never.
                if was.began.at < edge.at:
                    self.closed.append(replace(was, ended=edge))
                del self._open[place]
        for place, found in now.items():
            if place not in self._open:
                self._open[place] = replace(found, began=edge)


def _usable(
    view: PolicyView | None, principal: PrincipalId, at: Instant
) -> Iterator[tuple[tuple[str, str], AccessInterval]]:
    who = None if view is None else view.principals.get(principal)
    if view is None or who is None:
        return
    workspace = view.workspace(who.workspace)
    for server in () if workspace is None else workspace.servers.values():
        for tool in server.tools.values():
            decision = decide(view, who, tool, at, who.context)
            if isinstance(decision, Allow):
                edge = HistoryEdge(at=at, kind="")
                found = AccessInterval(
                    server=server.id,
                    alias=server.alias,
                    tool=tool.name,
                    rule=decision.rule,
                    began=edge,
                )
                yield (server.id, tool.name), found
