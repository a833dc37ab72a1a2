"""What strangers do is counted exactly, and cannot fill the disk leaf by leaf.

Whoever has no good credential costs a leaf a second at most for each log and reason, whatever they
send. The first of a burst is a leaf of its own, and nobody of the burst is answered before that is
durable; what follows is added up in memory, so a process that is killed loses the count of its last
second.
"""

import asyncio
import logging
from collections.abc import Callable

from msgspec import Struct

from gatelodge.core.access.rate_limit import RateLimit
from gatelodge.core.records.leaves import AuthFailed, CallsLeaf, RefusedReason, RequestRefused
from gatelodge.ports.world import Clock

log = logging.getLogger(__name__)

Durable = asyncio.Future[None] | None
"""Resolved when the record is on disk, failed with LedgerDown; None when nobody waits."""

BURST_SECONDS = 1.0
MOST_BURSTS = 64
"""So many counts are open before old tokens are added up together."""
ALONE = 256
"""Refused requests of strangers that get a leaf of their own before they are added up."""
ALONE_A_SECOND = 8.0
MOST_LINES = 20
"""Lines about bursts within a minute."""
_ALL = "bursts"


class _SignIns(Struct, frozen=True):
    """Requests without a good credential that are added up together."""

    log: str
    reason: str
    credential: str = ""


class _Refusals(Struct, frozen=True):
    """Requests turned away that are added up together."""

    log: str
    reason: RefusedReason
    http: int


_Kind = _SignIns | _Refusals


class _Burst(Struct):
    """What came since the last leaf about it."""

    timer: asyncio.TimerHandle
    since: float
    count: int = 0
    bytes_in: int = 0
    all: int = 0
    """Since the burst began, in this window and those before."""
    began: float = 0.0
    written: Durable = None
    """Of the first one's leaf; None where nobody waited for it."""


class RefusalTallies:
    """Adds up what strangers do; `write` puts a leaf into a log. Owned by the event loop."""

    def __init__(self, clock: Clock, write: Callable[[str, CallsLeaf, Durable], None]) -> None:
        self._clock = clock
        self._write = write
        self._bursts: dict[_Kind, _Burst] = {}
        self._alone = float(ALONE)
        self._spent_at = 0.0
        self._lines, self._unsaid = RateLimit(MOST_LINES), 0

    def auth_failed(self, log: str, reason: str, durable: Durable, credential: str = "") -> None:
        """Count a request without a good credential; the first one is a leaf at once.

        One that came with somebody's old token is counted under its id, unless that is so of very
        many at once: whoever kept a thousand of them shall not write a thousand leaves a second.
        """
        kind = _SignIns(log, reason, credential)
        if credential and kind not in self._bursts and len(self._bursts) >= MOST_BURSTS:
            kind = _SignIns(log, reason)
        burst = self._bursts.get(kind)
        if burst is None:
            burst = self._bursts[kind] = self._open_burst(kind)
            burst.all = 1
            if durable is not None:
                # Not the caller's own: whoever leaves takes that with them, and others wait too.
                burst.written = asyncio.get_running_loop().create_future()
            self._write_burst_leaf(kind, _Burst(burst.timer, 0.0, 1), 0, burst.written)
            _release_once_written(burst.written, durable)
            self._log_rate_limited(f"a sign-in was refused ({_kind_description(kind)})")
        else:
            burst.count += 1
            burst.all += 1
            _release_once_written(burst.written, durable)

    def refused(self, log: str, refusal: RequestRefused, durable: Durable) -> None:
        """Count a request that was turned away; each is a leaf at once until there are many."""
        kind = _Refusals(log, refusal.reason, refusal.http)
        burst = self._bursts.get(kind)
        if burst is None:
            if self._spend_leaf_allowance():
                self._write(log, refusal, durable)
                return
            burst = self._bursts[kind] = self._open_burst(kind)
        burst.count += 1
        burst.bytes_in += refusal.bytes_in
        _let_go(durable)

    def close(self) -> None:
        """Write every count that is still open."""
        for kind, burst in self._bursts.items():
            burst.timer.cancel()
            if burst.count:
                self._write_burst_leaf(kind, burst, self._window_milliseconds(burst), None)
        self._bursts.clear()

    def _spend_leaf_allowance(self) -> bool:
        now = self._clock.boottime()
        # All logs and reasons share one allowance: a stranger chooses both, and would have many.
        gained = (now - self._spent_at) * ALONE_A_SECOND
        self._alone, self._spent_at = min(ALONE, self._alone + gained), now
        if self._alone < 1:
            return False
        self._alone -= 1
        return True

    def _open_burst(self, kind: _Kind) -> _Burst:
        timer = asyncio.get_running_loop().call_later(BURST_SECONDS, self._window_ended, kind)
        now = self._clock.boottime()
        return _Burst(timer, now, began=now)

    def _window_ended(self, kind: _Kind) -> None:
        burst = self._bursts.pop(kind)
        # While more come the window goes on: so a long burst is one leaf a second, not one each.
        if burst.count:
            written, waits = burst.written, None
            if written is not None and written.done() and written.exception() is not None:
                # The first leaf came to nothing, so this one stands for it from here on.
                written = waits = asyncio.get_running_loop().create_future()
                _release_once_written(written, asyncio.get_running_loop().create_future())
            self._write_burst_leaf(kind, burst, self._window_milliseconds(burst), waits)
            again = self._bursts[kind] = self._open_burst(kind)
            again.all, again.began, again.written = burst.all, burst.began, written
        elif isinstance(kind, _SignIns) and burst.all > 1:
            seconds = round(self._clock.boottime() - burst.began)
            self._log_rate_limited(
                f"{burst.all} sign-ins were refused ({_kind_description(kind)}) in {seconds} s"
            )

    def _log_rate_limited(self, text: str) -> None:
        """A line about a burst, unless there were many."""
        now = self._clock.boottime()
        if self._lines.too_early(_ALL, now):
            self._unsaid += 1
            return
        self._lines.count(_ALL, now)
        more = f"; {self._unsaid} lines about others were left out" if self._unsaid else ""
        log.warning("%s%s; see gatelodge audit search --type auth.failed", text, more)
        self._unsaid = 0

    def _window_milliseconds(self, burst: _Burst) -> int:
        return round((self._clock.boottime() - burst.since) * 1000)

    def _write_burst_leaf(
        self, kind: _Kind, burst: _Burst, window_ms: int, durable: Durable
    ) -> None:
        if isinstance(kind, _Refusals):
            leaf: CallsLeaf = RequestRefused(
                bytes_in=burst.bytes_in,
                count=burst.count,
                http=kind.http,
                reason=kind.reason,
                window_ms=window_ms,
            )
        else:
            leaf = AuthFailed(
                count=burst.count,
                credential=kind.credential,
                reason=kind.reason,
                window_ms=window_ms,
            )
        self._write(kind.log, leaf, durable)


def _kind_description(kind: _SignIns) -> str:
    return f"{kind.reason}, {kind.credential}" if kind.credential else kind.reason


def _release_once_written(written: Durable, durable: Durable) -> None:
    """Let a caller go once the first of their burst is durable, or could not be written."""
    if durable is None:
        return
    if written is None:
        _let_go(durable)
    elif written.done():
        _pass_on(written, durable)
    else:
        written.add_done_callback(lambda done: _pass_on(done, durable))


def _pass_on(written: "asyncio.Future[None]", durable: "asyncio.Future[None]") -> None:
    # It is looked at even where the caller left, or the loop warns of a fault nobody asked for.
    fault = written.exception()
    if durable.done():
        return
    if fault is None:
        durable.set_result(None)
    else:
        durable.set_exception(fault)


def _let_go(durable: Durable) -> None:
    """What is only counted waits for no disk."""
    if durable is not None:
        durable.set_result(None)
