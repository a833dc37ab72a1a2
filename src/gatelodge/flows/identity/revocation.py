"""Access ends here: one transaction, then the proof that every node has acted on it.

The receipt is complete when each node that has not left has applied the change, or when no lease
from before the commit can last any more (commit + lease). That a node was not heard of lately is no
sign that it holds no lease: to be heard of it has to write, to serve it has to read. The receipt is
written to the gov log itself, so the evidence of an end is as durable and as provable as the end.
Source: decision 0007 (guarantee revoke:under-a-second).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.ids import Instant
from gatelodge.core.records.governance import GovFact
from gatelodge.ports.store import CommittedChange, NodeRegistry, NodeSeen, Store, StoreTx
from gatelodge.ports.world import Clock

T = TypeVar("T")

_LOOK_SECONDS = 0.01
_KINDS = {
    "agt_": "agents, who rest or have another owner now",
    "crd_": "tokens that ended",
    "grp_": "groups left",
    "grn_": "grants that ended",
}


class NodeCut(Struct, frozen=True, kw_only=True):
    """What one node did. `how` is "acknowledged", "left" (it stopped), or "lease_expired"."""

    node: str
    how: str
    after_ms: int
    streams: int = 0
    calls: int = 0


class RevocationReceipt(Struct, frozen=True, kw_only=True):
    """What was ended, and when it was certain on every node. Times in ms after the commit.

    None of them is more than `bound_ms`: by then no lease from before the commit lasts.
    """

    kind: str
    subject: str
    by: str
    why: str
    gov: int
    committed_at: Instant
    completed_ms: int
    bound_ms: int
    nodes: tuple[NodeCut, ...]
    cascade: tuple[str, ...] = ()
    """What ended with it, by id: credentials, group places, agents (those who moved on too)."""
    leaf: int = 0
    """Where the receipt itself stands in the gov log."""
    named: dict[str, str] = {}
    """What people call those of them that have a name, and what became of an agent."""


class EndedKind(Struct, frozen=True, kw_only=True):
    """What of one kind ended with something: each by its name and its id; `kind` may be empty."""

    kind: str
    names: tuple[str, ...]


def ended_kinds(cascade: Sequence[str], named: Mapping[str, str]) -> list[EndedKind]:
    """The cascade of a receipt, kind by kind, as commands and pages tell it."""

    def kind_of(says: str, idents: list[str]) -> EndedKind:
        names = (f"{named[each]} ({each})" if each in named else each for each in idents)
        return EndedKind(kind=says, names=tuple(names))

    found = [
        kind_of(says, [each for each in cascade if each.startswith(prefix)])
        for prefix, says in _KINDS.items()
    ]
    # A newer gate may end what an older command has no word for: it is told all the same.
    found.append(kind_of("", [each for each in cascade if not each.startswith(tuple(_KINDS))]))
    return [each for each in found if each.names]


class AccessEnd(Struct, frozen=True, kw_only=True):
    """What is to end, for the receipt."""

    kind: str
    subject: str
    workspace: str
    by: str
    why: str = ""


Told = Callable[[tuple[str, ...], int, tuple[NodeCut, ...]], None]
"""Hears how an end of access goes: nodes that are waited for, the bound, what each other one did.

It must not raise: the end does not wait for whoever listens.
"""


class AccessRevocation:
    """Ends access and waits for the proof. Holds no state of its own.

    `here` tells how far this node is, without asking the store.
    """

    def __init__(
        self, store: Store, nodes: NodeRegistry, clock: Clock, here: Callable[[], NodeSeen]
    ) -> None:
        self._store = store
        self._nodes = nodes
        self._clock = clock
        self._here = here

    async def end(
        self,
        ending: AccessEnd,
        work: Callable[[StoreTx], tuple[str, ...]],
        told: Told | None = None,
    ) -> RevocationReceipt:
        """Commit `work` (which returns the cascade's ids) and return once it holds everywhere.

        Never later than the lease after the commit. Raises what `work` raises, or StoreDown (then
        ask again: whether it was committed is in the gov log).
        """
        # The list of before is kept: a node that leaves meanwhile is named in the receipt too.
        before = await self._known_nodes_by_id()
        cascade, committed = await self._store.change(work, "first")
        # The commit bears the clock that never steps; the wall clock is put back by what passed.
        passed = self._clock.boottime() - committed.at
        committed_at = Instant(self._clock.now() - int(passed * 1_000_000))
        gathering = _Gathering(committed, before)
        certain = False
        while not certain:
            certain = gathering.take(await self._known_nodes_by_id(), self._clock.boottime())
            if told is not None:
                told(gathering.waiting, gathering.bound_ms, tuple(gathering.done))
            if not certain:
                await asyncio.sleep(_LOOK_SECONDS)
        receipt = RevocationReceipt(
            kind=ending.kind,
            subject=ending.subject,
            by=ending.by,
            why=ending.why,
            gov=committed.gov,
            committed_at=committed_at,
            completed_ms=max((each.after_ms for each in gathering.done), default=0),
            bound_ms=gathering.bound_ms,
            nodes=tuple(gathering.done),
            cascade=cascade,
        )
        # A crash before this line leaves an end without a receipt: the end itself is committed.
        fact = _receipt_fact(ending, receipt)
        _, kept = await self._store.change(lambda tx: tx.record(fact), "first")
        return replace(receipt, leaf=kept.gov - 1)

    async def _known_nodes_by_id(self) -> dict[str, NodeSeen]:
        """Every node that may hold a lease; of this one what is true now."""
        here = self._here()
        return {each.node: each for each in (*await self._nodes.known(), here)}


class _Gathering:
    """What is known of each node since the commit.

    A node that comes in later than a first look after the commit has read a state that holds it:
    it is known before it reads (`Follower.start`).
    """

    def __init__(self, committed: CommittedChange, before: dict[str, NodeSeen]) -> None:
        self._committed = committed
        self._before = before
        self._waiting: dict[str, NodeSeen] | None = None
        self.bound_ms = max(each.lease_ms for each in before.values())
        self.done: list[NodeCut] = []

    @property
    def waiting(self) -> tuple[str, ...]:
        """The nodes that have not said that it holds."""
        return tuple(self._waiting or ())

    def take(self, now: dict[str, NodeSeen], at: float) -> bool:
        """Take a look at all of them; true when it is certain for each."""
        if self._waiting is None:
            # The entry of before the commit wins: what it had cut by then is no part of this end.
            self._waiting = now | self._before
            self.bound_ms = max(each.lease_ms for each in self._waiting.values())
        # By the bound no lease of before the commit lasts, however late this look comes.
        after = min(int((at - self._committed.at) * 1000), self.bound_ms)
        for name in list(self._waiting):
            seen = now.get(name)
            if seen is None:
                # Whoever left the list stopped, or was silent for longer than a node may act.
                self._settle_node(name, "left", after, None)
            elif seen.applied >= self._committed.gov:
                self._settle_node(name, "acknowledged", after, seen)
            elif after >= self.bound_ms:
                self._settle_node(name, "lease_expired", after, None)
        return not self._waiting

    def _settle_node(self, name: str, how: str, after: int, seen: NodeSeen | None) -> None:
        assert self._waiting is not None
        was = self._waiting.pop(name)
        self.done.append(
            NodeCut(
                node=name,
                how=how,
                after_ms=after,
                streams=0 if seen is None else seen.cut_streams - was.cut_streams,
                calls=0 if seen is None else seen.cut_calls - was.cut_calls,
            )
        )


def _receipt_fact(ending: AccessEnd, receipt: RevocationReceipt) -> GovFact:
    return GovFact(
        t="revocation.receipt",
        by=ending.by,
        workspace=ending.workspace,
        subject={
            "kind": receipt.kind,
            "subject": receipt.subject,
            "gov": receipt.gov,
            "completed_ms": receipt.completed_ms,
            "bound_ms": receipt.bound_ms,
            "nodes": {n.node: f"{n.how}:{n.after_ms}" for n in receipt.nodes},
            "streams": sum(n.streams for n in receipt.nodes),
            "calls": sum(n.calls for n in receipt.nodes),
        },
    )
