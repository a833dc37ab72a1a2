"""Fills the index from the logs, behind the sequencer and off the path of calls.

Only whole chunks are taken up, each in one transaction together with how far the index has got: a
crash on any line leaves the index as it was or a chunk further. What stands behind is read from the
log by whoever searches. Where the loop is busy the filler waits: nobody waits for the index.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import anyio.lowlevel

from gatelodge.core.errors import Conflict, LogForked, Unavailable
from gatelodge.core.records.origin import GOV, kind_of
from gatelodge.core.searching.places import CHUNK, bits_of
from gatelodge.flows.audit.index.terms import ChunkDraft
from gatelodge.flows.incidents import contained
from gatelodge.ports.journal import Ledger, LedgerHead
from gatelodge.ports.search_index import IndexedChunk, IndexReach, SearchIndex
from gatelodge.ports.world import Clock, FreshIds

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 2.0
CHECK_SECONDS: Final = 60.0
_PORTION: Final = 2_000
"""Rows that one transaction removes of what was dropped."""
_READ: Final = 1_024
"""Leaves read at a time."""
_PIECE: Final = 64
"""Leaves looked at without a pause: about 0.4 ms."""
_PAUSE: Final = 0.002
_LONGEST: Final = 2.0
_SLOWER: Final = 20
"""So many times as long as the loop was late the filler stands still."""

Leads = Callable[[], Awaitable[bool]]


class IndexFiller:
    """One task of each node; it works while `leads` says so. Mutable: owned by that task."""

    def __init__(
        self, ledger: Ledger, index: SearchIndex, clock: Clock, ids: FreshIds, leads: Leads
    ) -> None:
        self._ledger, self._index, self._leads = ledger, index, leads
        self._now, self._random, self._ids = clock.boottime, ids.random, ids
        self._trusted: set[int] = set()
        self.patient = True
        """It waits for calls; not so where nobody calls."""
        self._failed = False
        self._checked = self._now()

    async def run(self) -> None:
        """Work until cancelled. What fails is tried again; searches then read the log itself."""
        while True:
            more = False
            # What is derived ends no node: a row that nobody could have written is an incident.
            with contained("the index of the logs", self._ids) as work:
                more = await self._pass()
            if work.failed:
                with contained("dropping the index of the logs", self._ids):
                    for reach in await self._index.reaches():
                        await self._index.drop(reach)
                await anyio.sleep(CHECK_SECONDS)
            await anyio.sleep(_PAUSE if more else LOOK_SECONDS)

    async def _pass(self) -> bool:
        """Take up what is due, on the node that leads; True while more is."""
        more = False
        try:
            if await self._leads():
                more = await self.step()
                await self._check_if_due()
            self._failed = False
        except (Unavailable, Conflict, LogForked) as fault:
            if not self._failed:
                log.warning("the index of the logs cannot be filled now: %s", fault.detail)
            self._failed = True
        return more

    async def step(self) -> bool:
        """Take up at most one chunk of each log; True while more is due. Raises StoreDown."""
        due = False
        reaches = {each.log: each for each in await self._index.reaches()}
        heads = [each for each in await self._ledger.heads() if kind_of(each.log) != GOV]
        for head in heads:
            reach = reaches.pop(head.log, None)
            if reach is not None and not await self._belongs(reach, head):
                log.warning("the index of %s is of another history, and is made anew", head.log)
                await self._index.drop(reach)
                reach = None
            done = 0 if reach is None else reach.position
            if head.size - done < CHUNK:
                continue
            if reach is None:
                reach = await self._index.make(head.log, head.origin)
            reach = await self._take_chunk(reach)
            self._trusted.add(reach.id)
            due = due or head.size - reach.position >= CHUNK
        for gone in reaches.values():
            await self._index.drop(gone)
        return await self._index.sweep(_PORTION) > 0 or due

    async def check(self, reach: IndexReach, number: int) -> bool:
        """Say whether a chunk of the index is what the log makes of it; drop the index if not.

        How pairs ended that ended in a later chunk is not asked: other chunks tell.
        """
        fresh = await self._drafted(reach, number)
        kept = await self._index.chunk(reach, number)
        ends = {name for name in {*fresh.postings, *kept} if name.startswith("outcome:")}
        plain = {name: value for name, value in kept.items() if name not in ends}
        same = plain == {n: value for n, value in fresh.postings.items() if n not in ends}
        for name in ends - {"outcome:open"}:
            wanted = bits_of(fresh.postings.get(name, b""))
            same = same and wanted & ~bits_of(kept.get(name, b"")) == 0
        if not same:
            log.warning(
                "the index of %s is not what its log makes of it, and is made anew", reach.log
            )
            await self._index.drop(reach)
        return same

    async def _check_if_due(self) -> None:
        now = self._now()
        if now - self._checked < CHECK_SECONDS:
            return
        self._checked = now
        filled = [each for each in await self._index.reaches() if each.position]
        if filled:
            # Which one it is cannot be foreseen by whoever writes into the database.
            drawn = int.from_bytes(self._random(8), "big")
            reach = filled[drawn % len(filled)]
            await self.check(reach, (drawn >> 16) % (reach.position // CHUNK))

    async def _belongs(self, reach: IndexReach, head: LedgerHead) -> bool:
        """True when the index was made of this log's own first leaves."""
        if reach.origin != head.origin or reach.position > head.size:
            return False
        # What this process appended to the index, or looked at before, came from this very log.
        if reach.id in self._trusted or not reach.position:
            return True
        if reach.root != await self._ledger.root_at(reach.log, reach.position):
            return False
        self._trusted.add(reach.id)
        return True

    async def _take_chunk(self, reach: IndexReach) -> IndexReach:
        chunk = await self._drafted(reach, reach.position // CHUNK)
        return await self._index.append(reach, chunk)

    async def _drafted(self, reach: IndexReach, number: int) -> IndexedChunk:
        draft = ChunkDraft(number)
        first = number * CHUNK
        for start in range(first, first + CHUNK, _READ):
            leaves = await self._ledger.leaves(reach.log, start, start + _READ)
            for at in range(0, len(leaves), _PIECE):
                draft.take(leaves[at : at + _PIECE])
                await anyio.lowlevel.checkpoint()
            if self.patient:
                await self._give_way()
        return draft.chunk(await self._ledger.root_at(reach.log, first + CHUNK))

    async def _give_way(self) -> None:
        """Pause; the longer, the later the loop comes back: calls have it first."""
        began = self._now()
        await anyio.sleep(_PAUSE)
        late = self._now() - began - _PAUSE
        if late > _PAUSE:
            await anyio.sleep(min(_LONGEST, late * _SLOWER))
