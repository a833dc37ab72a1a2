"""When each grant was used last, and each server by each member: a small table from the calls log.

A call's opening record names the grant that allowed it, and the data key of whose it was: nothing
is decrypted to know it. The table follows the log from where it was read up to, and reaches as far
back as somebody asked; it is in memory only, and made anew from the log at any time.
"""

from typing import Final

import anyio
import msgspec
from msgspec import Struct

from gatelodge.flows.audit import reading
from gatelodge.flows.audit.reading import head_of
from gatelodge.ports.journal import LeafAt, Ledger

MOST_READ: Final = 262_144
"""Leaves that one question reads at most; the next one goes on from there."""
MOST_KEPT: Final = 200_000
"""Grants and pairs of a key and a server that one log's table holds at most."""


class _UsingLeaf(Struct):
    t: str
    at: str = ""
    rule: str = ""
    server: str = ""


_leaf = msgspec.json.Decoder(_UsingLeaf).decode


class LogUse(Struct):
    """What the leaves from `low` up to `high` say; times are as leaves spell them.

    `reached` is the time of the earliest leaf that was read. `grants` are by id, `servers` by the
    id of a member's data key and that of a server.
    """

    low: int = -1
    high: int = -1
    reached: str = ""
    grants: dict[str, str] = {}
    servers: dict[tuple[str, str], str] = {}

    def take(self, leaves: list[LeafAt]) -> None:
        """Learn from some leaves, whichever came first."""
        for each in leaves:
            try:
                leaf = _leaf(each.body)
            except msgspec.MsgspecError:
                continue  # `gatelodge audit fsck` says so
            if leaf.at and (not self.reached or leaf.at < self.reached):
                self.reached = leaf.at
            if leaf.t != "call.intent":
                continue
            self.grants[leaf.rule] = max(leaf.at, self.grants.get(leaf.rule, ""))
            if each.opening is not None:
                pair = (each.opening.dek, leaf.server)
                self.servers[pair] = max(leaf.at, self.servers.get(pair, ""))

    @property
    def full(self) -> bool:
        """True when no more is kept."""
        return len(self.grants) + len(self.servers) >= MOST_KEPT


class LastUses:
    """The table of each workspace's log that somebody asked about."""

    def __init__(self) -> None:
        self._logs: dict[str, LogUse] = {}
        self._filling = anyio.Lock()

    async def since(self, ledger: Ledger, turn: anyio.Lock, log: str, since: str) -> LogUse:
        """What was used since then; `reached` is later than that when there was more to read.

        Raises NotFound: there is no such log.
        """
        size = (await head_of(ledger, log)).size
        first = await ledger.seek(log, since)
        # What an earlier shard says (after a restore) is not read.
        began = first > 0 or not await has_earlier_shard(ledger, log)
        async with self._filling:
            found = self._logs.get(log)
            if found is None or size < found.high or (found.full and found.high < size):
                found = self._logs[log] = LogUse(low=size, high=size)
            left = MOST_READ
            if size - found.high > left:
                # Further behind than one question reads: it begins anew at the end.
                found = self._logs[log] = LogUse(low=size, high=size)
            while found.high < size and left > 0 and not found.full:
                stop = min(found.high + reading.STEP, size)
                await _read(ledger, turn, log, (found.high, stop), found)
                left -= stop - found.high
                found.high = stop
            while found.low > first and left > 0 and not found.full:
                start = max(first, found.low - reading.STEP)
                await _read(ledger, turn, log, (start, found.low), found)
                left -= found.low - start
                found.low = start
            whole = began and found.low <= first and found.high >= size
            return msgspec.structs.replace(found, reached=since if whole else found.reached)


async def has_earlier_shard(ledger: Ledger, log: str) -> bool:
    """Say whether this log goes on with one that a restore ended (decision 0017)."""
    return any(each.log.startswith(f"{log}@") for each in await ledger.heads())


async def _read(
    ledger: Ledger, turn: anyio.Lock, log: str, span: tuple[int, int], into: LogUse
) -> None:
    # The turn is held for one step only, so a long question lets others in between.
    async with turn:
        leaves = await ledger.leaves(log, *span)
    into.take(leaves)
    await anyio.sleep(reading.PAUSE_SECONDS)
