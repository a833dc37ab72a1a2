"""Access ends here: one transaction, then the proof that every node has acted on it.

The receipt is complete when each live node has applied the change or its lease must have run out
(commit + lease). It is written to the gov log itself, so the evidence of an end is as durable and
as provable as the end. Source: decision 0007 (guarantee revoke:under-a-second).
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

from gatelodge.core.ids import Instant
from gatelodge.core.records.governance import GovFact
from gatelodge.ports.store import Nodes, NodeSeen, Store, Tx
from gatelodge.ports.world import Clock

T = TypeVar("T")

_LOOK_SECONDS = 0.01
_NODE_IS_LIVE_MS = 5_000


class NodeCut(Struct, frozen=True, kw_only=True):
    """What one node did. `how` is "acknowledged", or "lease_expired" when it did not answer."""

    node: str
    how: str
    after_ms: int
    streams: int = 0
    calls: int = 0


class Receipt(Struct, frozen=True, kw_only=True):
    """What was ended, and when it was certain on every node. Times in ms after the commit."""

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
    """What ended with it: credentials, agents, group places, by id."""


class Ending(Struct, frozen=True, kw_only=True):
    """What is to end, for the receipt."""

    kind: str
    subject: str
    workspace: str
    by: str
    why: str = ""


class Revocation:
    """Ends access and waits for the proof. Holds no state of its own."""

    def __init__(self, store: Store, nodes: Nodes, clock: Clock, lease_ms: int) -> None:
        self._store = store
        self._nodes = nodes
        self._clock = clock
        self._lease_ms = lease_ms

    async def end(self, ending: Ending, work: Callable[[Tx], tuple[str, ...]]) -> Receipt:
        """Commit `work` (which returns the cascade's ids) and return once it holds everywhere.

        Never later than the lease after the commit. Raises what `work` raises, or StoreDown (then
        ask again: whether it was committed is in the gov log).
        """
        before = {n.node: n for n in await self._nodes.live(_NODE_IS_LIVE_MS)}
        cascade, committed = await self._store.change(work, "first")
        passed = self._clock.boottime() - committed.at
        committed_at = Instant(self._clock.now() - int(passed * 1_000_000))
        nodes = await self._gather(committed.gov, committed.at, before)
        receipt = Receipt(
            kind=ending.kind,
            subject=ending.subject,
            by=ending.by,
            why=ending.why,
            gov=committed.gov,
            committed_at=committed_at,
            completed_ms=self._ms_since(committed.at),
            bound_ms=max((n.lease_ms for n in before.values()), default=self._lease_ms),
            nodes=nodes,
            cascade=cascade,
        )
        await self._store.change(lambda tx: tx.record(_fact(ending, receipt)), "first")
        return receipt

    async def _gather(
        self, gov: int, since: float, before: dict[str, NodeSeen]
    ) -> tuple[NodeCut, ...]:
        waiting = dict(before)
        done: list[NodeCut] = []
        lease = max((n.lease_ms for n in before.values()), default=self._lease_ms) / 1000
        while waiting and self._clock.boottime() < since + lease:
            for seen in await self._nodes.live(_NODE_IS_LIVE_MS):
                if seen.node in waiting and seen.applied >= gov:
                    was = waiting.pop(seen.node)
                    done.append(
                        NodeCut(
                            node=seen.node,
                            how="acknowledged",
                            after_ms=self._ms_since(since),
                            streams=seen.cut_streams - was.cut_streams,
                            calls=seen.cut_calls - was.cut_calls,
                        )
                    )
            if waiting:
                await asyncio.sleep(_LOOK_SECONDS)
        done += [
            NodeCut(node=node, how="lease_expired", after_ms=self._ms_since(since))
            for node in waiting
        ]
        return tuple(done)

    def _ms_since(self, at: float) -> int:
        return int((self._clock.boottime() - at) * 1000)


def _fact(ending: Ending, receipt: Receipt) -> GovFact:
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
