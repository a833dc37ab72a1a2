"""The sequencer: moves records from the journal into the Merkle logs, and closes what was left.

One task owns it. Commit order of a batch, and what a crash on each line leaves behind:

    journal.read       nothing
    open_log           an empty log; it gets its first leaf with the first record that comes
    ledger.append      the batch is in its logs and marked as used, or neither
    pairs.settle       memory only; the next start reads it from the logs again
    journal.forget     a used segment that stays until the next one is forgotten
    checkpoints.sign   see there
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import attrgetter

import anyio
import anyio.lowlevel
from msgspec import Struct

from gatelodge.config.schema import AuditSettings
from gatelodge.core.errors import (
    Conflict,
    KeyUnreachable,
    LedgerDown,
    LogForked,
    StoreDown,
)
from gatelodge.core.instant import rfc3339
from gatelodge.core.records.leaves import LogOpened, encode
from gatelodge.core.records.origin import GOV, is_past
from gatelodge.core.records.orphans import OrphanReason, closer_of_orphan
from gatelodge.core.records.pairs import OpenPairs, StagedLeaves
from gatelodge.flows.audit.checkpoints import CheckpointPublisher
from gatelodge.flows.health import NodeHealth
from gatelodge.ports.journal import (
    HeadGuard,
    Journal,
    JournalBatch,
    JournalEntry,
    LeaderElection,
    LeafPlace,
    Ledger,
    LedgerHead,
)
from gatelodge.ports.store import NodeRegistry
from gatelodge.ports.world import CheckpointSigner, Clock

_BATCH = 4096
"""Leaves in one append, so that its one commit is shared by many."""
_FRAME = 256
"""A journal gives fewer than were asked for only by less than this, or at its end."""
_PIECE = 128
"""Leaves looked at without a pause: about 0.1 ms."""
_SCAN = 2048
_LOST_SECONDS = 30.0
_PAUSE_AFTER_FAULT = 1.0


class SequencerPorts(Struct, frozen=True, kw_only=True):
    """The ports that the sequencer works with; `nodes` where several share one database."""

    journal: Journal
    ledger: Ledger
    signer: CheckpointSigner
    guard: HeadGuard
    leader: LeaderElection
    clock: Clock
    nodes: NodeRegistry | None = None
    origin: Callable[[str], str]
    """The origin under which a new log is opened."""
    health: NodeHealth


class _Log(Struct):
    """What is known of one log while this node leads."""

    size: int
    pairs: OpenPairs


_log_of = attrgetter("log")
_Staged = dict[str, tuple[StagedLeaves, list[bytes]]]


class LogSequencer:
    """Sequences, signs and closes orphans while this node leads. `_lock` guards everything here."""

    def __init__(self, ports: SequencerPorts, settings: AuditSettings, node: str) -> None:
        self._ports = ports
        self._journal, self._ledger = ports.journal, ports.ledger
        self._settings = settings
        self._node = node
        self.checkpoints = CheckpointPublisher(ports.ledger, ports.signer, ports.guard)
        self._logs: dict[str, _Log] | None = None
        self._forked = self._leading = False
        self._lock = asyncio.Lock()
        self.signed_at = ports.clock.boottime()
        """When all that stood in the logs was last found signed, or was made so, on a clock that
        never steps; where another node signs, when what it signed was kept. At first: now."""

    async def recover(self, live_nodes: frozenset[str]) -> None:
        """Make the logs whole before the first request is served.

        Checks every head against its tiles, its last leaves, the newest checkpoint and the guard;
        sequences what the journal held; closes once every call and stream of nodes that are not
        live. Raises LogForked when the log is not what was signed: nothing is written then.
        """
        # A node that does not lead serves reads and proofs from these logs too.
        with self._remembering_fork():
            await self.checkpoints.check_all(alone=self._ports.nodes is None)
        if not await self._is_leader():
            return
        async with self._lock:
            with self._remembering_fork():
                # The journal may hold the ends of calls that are still open in the logs.
                await self._drain_journal()
                await self._close_orphans(live_nodes | {self._node}, "gateway_restart")

    async def run(self) -> None:
        """Work until cancelled. Raises LogForked; everything else is tried again.

        While the store is away the journal keeps the records, and checkpoints are late.
        """
        clock = self._ports.clock
        signed = looked = clock.boottime()
        while True:
            pause = self._settings.sequence_ms / 1000
            try:
                leads = await self._is_leader()
                if leads:
                    await self._run_watched("moving records into the logs", self.drain())
                now = clock.boottime()
                if now - signed >= self._settings.checkpoint_ms / 1000:
                    # A signing that fails is due again after the same time, and not in each round.
                    signed = now
                    signing = self.sign() if leads else self.remember()
                    await self._run_watched("signing the logs", signing)
                    # This is the time of before the work: what came during it may be unsigned yet.
                    self.signed_at = now
                nodes = self._ports.nodes
                if leads and nodes is not None and now - looked >= _LOST_SECONDS / 3:
                    looked = now
                    await self._run_watched("closing what lost nodes left", self._close_lost(nodes))
            except (StoreDown, LedgerDown, KeyUnreachable, Conflict):
                pause = max(pause, _PAUSE_AFTER_FAULT)
            await anyio.sleep(pause)

    async def _run_watched(self, work: str, doing: Awaitable[None]) -> None:
        """Do it, and let it be known how it went."""
        with self._ports.health.watched(work):
            await doing

    async def drain(self) -> None:
        """Sequence everything that is durable now. Raises StoreDown, LedgerDown, LogForked."""
        async with self._lock:
            with self._remembering_fork():
                await self._drain_journal()

    async def examine(self) -> list[str]:
        """What is wrong with the records that are durable and not in the logs yet."""
        async with self._lock:
            # The lock holds mark and segments together: a batch that moves between would seem lost.
            return await self._journal.examine(await self._ledger.journal_end())

    async def sign(self) -> None:
        """Sign the head of every log that grew. Raises what `CheckpointPublisher.sign` does."""
        async with self._lock:
            with self._remembering_fork():
                await self.checkpoints.sign()

    async def remember(self) -> None:
        """Keep what the leading node signed. Raises what `CheckpointPublisher.remember` does."""
        async with self._lock:
            with self._remembering_fork():
                await self.checkpoints.remember()

    async def advance(self, *, sign: bool = False) -> None:
        """Sequence now, and sign too, where this node leads; elsewhere the leader does it soon."""
        if await self._is_leader():
            await self.drain()
            if sign:
                await self.sign()

    async def settle(self) -> None:
        """Before the process ends: sequence and sign what is there, give up the lead.

        The journal is closed: nothing comes any more. A log that is not what was signed stays as
        it was found, and the records stay in the journal.
        """
        if not self._forked:
            await self.advance(sign=True)
            await self._journal.rest(await self._ledger.journal_end())
        # The lead is given up last: whoever takes it reads logs that this node has finished with.
        await self._ports.leader.resign()

    @contextmanager
    def _remembering_fork(self) -> Iterator[None]:
        """Remember that a log is not what was signed: nothing is appended to it any more."""
        try:
            yield
        except LogForked:
            self._forked = True
            raise

    async def leads(self) -> bool:
        """Say whether this node leads now; one that did not at its last look is not asked."""
        # Asking tries for the lead, each time by a new connection: once for each look is enough.
        return self._leading and await self._ports.leader.leads()

    async def _is_leader(self) -> bool:
        leads = self._leading = await self._ports.leader.leads()
        if not leads:
            # Another node appends now: what is known here is old.
            self._logs = None
            self.checkpoints.forget()
        return leads

    async def _drain_journal(self) -> None:
        while await self._sequence_batch():
            pass

    async def _sequence_batch(self) -> bool:
        """Sequence one batch; false when it was the last one of what was durable then.

        What came in meanwhile waits for its own turn: chasing it would mean ever smaller batches,
        each of which costs a commit and the last bundle written again.
        """
        logs = await self._known_logs()
        batch = await self._journal.read(_BATCH)
        if not batch.entries:
            return False
        # The journal has moved on past this batch. Until it is in the logs nothing is known here:
        # whatever ends this, a cancellation too, the next turn looks and reads it again.
        self._logs = None
        try:
            await self._append_staged_leaves(
                logs, await self._stage_entries(logs, batch.entries), batch
            )
        except Conflict:
            # Used before: by a leader of the same hour, or by an append whose answer was lost.
            return True
        self._logs = logs
        if batch.end is not None:
            await self._journal.forget(batch.end)
        return len(batch.entries) > _BATCH - _FRAME

    async def _known_logs(self) -> dict[str, _Log]:
        """What is known of the logs, read from them when nothing is."""
        if self._logs is None:
            # Only the ledger knows what arrived: an append of what was read may have failed.
            await self._journal.rewind(await self._ledger.journal_end())
            # A log of an earlier shard is never appended to: what was open there stays so.
            heads = [head for head in await self._ledger.heads() if not is_past(head.log)]
            found = {head.log: await self._read_log_state(head) for head in heads}
            self._logs = found
        return self._logs

    async def _read_log_state(self, head: LedgerHead) -> _Log:
        pairs = OpenPairs()
        if head.log != GOV:
            # Below the floor every pair is closed, so a start need not read a whole log.
            for start in range(head.open_floor, head.size, _SCAN):
                stop = min(start + _SCAN, head.size)
                leaves = await self._ledger.leaves(head.log, start, stop)
                pairs.read([leaf.body for leaf in leaves], start)
        return _Log(head.size, pairs)

    async def _stage_entries(
        self, logs: dict[str, _Log], entries: Sequence[JournalEntry]
    ) -> _Staged:
        """The leaves and openings of each log, with a first leaf for a log that is new."""
        staged: _Staged = {}
        for start in range(0, len(entries), _PIECE):
            for log, part in groupby(entries[start : start + _PIECE], _log_of):
                if log not in staged:
                    staged[log] = await self._begin_stage(logs, log)
                stage, openings = staged[log]
                together = list(part)
                stage.take([entry.body for entry in together])
                openings += [entry.opening for entry in together]
            await anyio.lowlevel.checkpoint()
        return staged

    async def _begin_stage(
        self, logs: dict[str, _Log], log: str
    ) -> tuple[StagedLeaves, list[bytes]]:
        if log not in logs:
            opened = await self._ledger.open_log(log, self._ports.origin(log))
            logs[log] = await self._read_log_state(opened)
        stage = logs[log].pairs.stage(logs[log].size)
        # A crash right after `open_log` left the log empty: then this batch brings the first leaf.
        if stage.first:
            return stage, []
        stage.take((self._first_leaf(log),))
        return stage, [b""]

    async def _append_staged_leaves(
        self, logs: dict[str, _Log], staged: _Staged, batch: JournalBatch
    ) -> None:
        entries = tuple(
            JournalEntry(log, body, opening)
            for log, (stage, openings) in staged.items()
            for body, opening in zip(stage.bodies, openings, strict=True)
        )
        places = {log: LeafPlace(stage.first, stage.floor) for log, (stage, _) in staged.items()}
        whole = JournalBatch(entries, batch.start, batch.end, batch.rows)
        await self._ledger.append(whole, places)
        for log, (stage, _) in staged.items():
            # An append that fails has to leave what is known as it was, so this comes after it.
            logs[log].pairs.settle(stage)
            logs[log].size = stage.size

    async def _close_lost(self, nodes: NodeRegistry) -> None:
        """Close what nodes left that nobody has seen for half a minute."""
        async with self._lock:
            # First who lives, then their records: a node that came in between is not taken for
            # dead, and the ends that a dead one wrote are in the log.
            live = {each.node for each in await nodes.live(int(_LOST_SECONDS * 1000))}
            await self._drain_journal()
            await self._close_orphans(frozenset(live | {self._node}), "node_lost")

    async def _close_orphans(self, live: frozenset[str], reason: OrphanReason) -> None:
        """Append one closer for each open pair of a node that is gone.

        A crash before the append leaves them open, for the next start; after it they are closed
        in the log, and the next start sees that.
        """
        logs, at = await self._known_logs(), rfc3339(self._ports.clock.now())
        for log, known in logs.items():
            orphans = known.pairs.of_others(live)
            for start in range(0, len(orphans), _BATCH):
                part = orphans[start : start + _BATCH]
                bodies = [
                    encode(closer_of_orphan(pair, each, reason, at=at, node=self._node))
                    for pair, each in part
                ]
                stage = known.pairs.stage(known.size)
                stage.take(bodies)
                try:
                    await self._append_staged_leaves(
                        logs, {log: (stage, [b""] * len(bodies))}, JournalBatch(())
                    )
                except (Conflict, StoreDown):
                    # Nobody knows now whether the closers arrived; the logs tell at the next turn.
                    self._logs = None
                    raise

    def _first_leaf(self, log: str) -> bytes:
        return encode(
            LogOpened(
                at=rfc3339(self._ports.clock.now()),
                node=self._node,
                origin=self._ports.origin(log),
                t="log.opened",
                v=1,
            )
        )
