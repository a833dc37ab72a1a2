"""Records found by id, and the ends of those that have one."""

from base64 import urlsafe_b64decode

import anyio
import msgspec
from msgspec import Struct

from gatelodge.core.errors import Invalid, NotFound
from gatelodge.core.ids import Instant
from gatelodge.core.instant import rfc3339
from gatelodge.core.records.leaves import CLOSES, OPENS
from gatelodge.core.records.opening import Opening
from gatelodge.core.records.origin import GOV, kind_of
from gatelodge.flows.audit.outcome import outcome_of
from gatelodge.ports.journal import LeafAt, Ledger, LedgerHead

SLACK_US = 300 * 1_000_000
_LAST_US = 253_402_300_799_000_000 - SLACK_US
"""A record's time may differ from that of its id by as much: a process can stand still."""
_NEAR = 16_384
"""Leaves looked through at a time; an end stands near its beginning."""
STEP = 256
"""Leaves that a question reads at a time."""
MOST_READ = 65_536
"""Leaves that one question reads; what is left is asked for with the cursor."""
PAUSE_SECONDS = 0.001
"""After each step of a long reading, so that calls beside it go on."""
_PORTION = 128
"""Leaves of the gov log looked through at a time: each may bring the whole of its bundle along."""

Fields = dict[str, object]


class FoundRecords(Struct, frozen=True, kw_only=True):
    """One record: its place and fields, and those of its closer when it has one.

    `who` is filled by `Naming` when the opening still exists; `gone` says why it does not:
    "erased", as the gov log states, or "damaged".
    """

    log: str
    index: int
    leaf: Fields
    close_index: int | None = None
    closer: Fields | None = None
    who: Opening | None = None
    gone: str = ""

    @property
    def outcome(self) -> str:
        """How it ended, as lists show it."""
        return outcome_of(self.leaf, self.closer)


class CallRecord(Struct, frozen=True):
    """The leaves of one call: what opened it, and what closed it if anything did."""

    log: str
    opener: LeafAt
    closer: LeafAt | None

    @property
    def leaves(self) -> tuple[LeafAt, ...]:
        """Opener and closer, as far as there are any."""
        return (self.opener,) if self.closer is None else (self.opener, self.closer)


class CloserLook(Struct, frozen=True):
    """The end that was found, if any, and how many leaves were read for it."""

    closer: LeafAt | None
    read: int


class LogReading:
    """Finds single records; reads no more of a log than where they can stand."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def find(self, log: str, call: str) -> CallRecord:
        """The call with this id. Raises NotFound.

        The id begins with its time, so its opener stands in one of the bundles that hold that
        time, wherever clocks have put them; its end stands behind it.
        """
        made = made_at(call)
        low = await self._ledger.seek(log, rfc3339(Instant(made - SLACK_US)))
        high = await self._ledger.seek_end(log, rfc3339(Instant(made + SLACK_US)))
        wanted = f'"call":"{call}"'
        for start in range(low, high, _NEAR):
            span = (start, min(start + _NEAR, high))
            # A late outcome or a withheld answer names the call too, so there may be more than two.
            for leaf in await self._ledger.containing(log, wanted, span, 8):
                t = str(fields(leaf).get("t"))
                if t in OPENS:
                    end = await self.look_for_closer(log, ("call", call), leaf.index + 1)
                    return CallRecord(log, leaf, end.closer)
                if t == "call.denied":
                    return CallRecord(log, leaf, None)
        raise NotFound(f"there is no call {call} in this log")

    async def look_for_closer(self, log: str, pair: tuple[str, str], start: int) -> "CloserLook":
        """Look from a place on for the end of a call or stream, which is its field and its id."""
        field, name = pair
        text = f'"{field}":"{name}"'
        size = await self.size(log)
        at, step = start, _NEAR // 32
        while at < size:
            stop = min(at + step, size)
            for leaf in await self._ledger.containing(log, text, (at, stop), 8):
                if fields(leaf).get("t") in CLOSES:
                    return CloserLook(leaf, leaf.index - start)
            at, step = stop, _NEAR
            await anyio.sleep(PAUSE_SECONDS)
        return CloserLook(None, size - start)

    async def size(self, log: str) -> int:
        """The log's size. Raises NotFound."""
        return (await head_of(self._ledger, log)).size

    async def span(self, log: str, since: str, until: str, before: int | None) -> tuple[int, int]:
        """Where leaves of these times can stand: no bundle outside holds one, however clocks ran.

        Times are as leaves spell them, or empty; `before` is a cursor. Raises NotFound.
        """
        size = await self.size(log)
        low, high = 0, size if before is None else min(before, size)
        if since:
            low = await self._ledger.seek(log, since)
        if until:
            high = min(high, await self._ledger.seek_end(log, until))
        return low, high


async def head_of(ledger: Ledger, log: str) -> LedgerHead:
    """The head of a log by now. Raises NotFound."""
    for head in await ledger.heads():
        if head.log == log:
            return head
    raise NotFound("there is no such log")


async def shards_of(ledger: Ledger, log: str) -> list[str]:
    """The ids of a log's shards, the oldest first."""
    logs = [head.log for head in await ledger.heads() if kind_of(head.log) == log]
    # Length goes before letters, since gov@10 came after gov@2; the present log is the newest.
    return sorted(logs, key=lambda each: (each == log, len(each), each))


async def gov_logs(ledger: Ledger) -> list[str]:
    """The ids of the gov log's shards, the oldest first."""
    return await shards_of(ledger, GOV)


async def ever_in_gov(ledger: Ledger, text: str, limit: int, workspace: str | None) -> list[LeafAt]:
    """The leaves of the gov log that hold this text, those of earlier shards first.

    Only those of `workspace` count, "" for what holds in the whole house: nobody learns from the
    answer what stands in another workspace. None counts every leaf.
    """
    found: list[LeafAt] = []
    for log in await gov_logs(ledger):
        start = 0
        while len(found) < limit:
            told = await ledger.containing(log, text, (start, 1 << 55), _PORTION)
            found += [leaf for leaf in told if seen_from(workspace, fields(leaf))]
            if len(told) < _PORTION:
                break
            start = told[-1].index + 1
    return found[:limit]


def seen_from(workspace: str | None, here: Fields) -> bool:
    """Say whether a leaf of the gov log is about this workspace; None sees all."""
    return workspace is None or here.get("workspace") == workspace


def fields(leaf: LeafAt) -> Fields:
    """The fields of a leaf, none when it is not JSON; `fsck` says so."""
    try:
        return msgspec.json.decode(leaf.body, type=Fields)
    except msgspec.MsgspecError:
        return {}


def pair_of(here: Fields) -> str:
    """What a record opens, closes or belongs to; empty for nothing."""
    named = (here.get(each) for each in ("call", "stream", "instance", "connection"))
    return str(next(filter(None, named), ""))


def made_at(call: str) -> int:
    """Microseconds since 1970 of the call id. Raises Invalid when it is none."""
    name = call.removeprefix("c_")
    try:
        octets = urlsafe_b64decode(name + "==")
    except ValueError:
        octets = b""
    made = int.from_bytes(octets[:6], "big") * 1000
    # Beyond the year 9999 there is no time to look for (RFC 3339).
    if name == call or len(octets) != 16 or made > _LAST_US:
        raise Invalid("a call id is c_ and 22 characters", remedy="See `gatelodge audit tail`.")
    return made
