"""Openers and closers: which calls, streams, instances and connections of a log wait for their end.

Each of them gets exactly one closer. An end that comes after its pair
was already closed for it (a node was held for lost and was not) is kept under another type, so
that nothing is thrown away and nothing is closed twice.
"""

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

from gatelodge.core.records.leaves import CLOSES, LATE, OPENS


class LeafGlance(Struct, frozen=True, gc=False):
    """What the sequencer has to know of a leaf."""

    t: str = ""
    call: str = ""
    stream: str = ""
    instance: str = ""
    connection: str = ""
    node: str = ""
    at: str = ""

    @property
    def pair(self) -> str:
        """What it opens, closes or belongs to, empty when that is nothing."""
        return self.call or self.stream or self.instance or self.connection


class WaitingOpener(Struct, frozen=True, gc=False):
    """An opener that waits: its place, and the node that wrote it."""

    index: int
    node: str
    t: str


_glance = msgspec.json.Decoder(LeafGlance).decode


def glance(body: bytes) -> LeafGlance:
    """What a leaf says of its pair; nothing when it is not in our form."""
    try:
        return _glance(body)
    except (msgspec.MsgspecError, RecursionError):
        return LeafGlance()


class StagedLeaves:
    """Leaves on their way into one log, and what they open and close there.

    Nothing changes in the log's pairs until these are settled: the append may fail.
    """

    def __init__(self, waiting: Mapping[str, WaitingOpener], first: int) -> None:
        self._waiting = waiting
        self.first = first
        self.bodies: list[bytes] = []
        self.opened: dict[str, WaitingOpener] = {}
        self.closed: set[str] = set()

    def take(self, bodies: Iterable[bytes]) -> None:
        """Take up the next leaves; an end that comes too late gets its other name."""
        kept = self.bodies
        for body in bodies:
            seen = glance(body)
            t = seen.t
            if t in OPENS:
                index = self.first + len(kept)
                self.opened[seen.pair] = WaitingOpener(index, seen.node, t)
            # A node that was held for lost may tell an end later: it is kept, and closes nothing.
            elif t in CLOSES and not self._close_open_pair(seen.pair):
                kept.append(_as_late(body, t))
                continue
            kept.append(body)

    @property
    def size(self) -> int:
        """The log's size once these are in it."""
        return self.first + len(self.bodies)

    @property
    def floor(self) -> int:
        """The lowest index that may hold an open pair then."""
        old = (each.index for pair, each in self._waiting.items() if pair not in self.closed)
        new = (each.index for each in self.opened.values())
        return next(old, next(new, self.size))  # both stand in the order of their indexes

    def _close_open_pair(self, pair: str) -> bool:
        # Opened and closed within these leaves: the log never shows it open.
        if self.opened.pop(pair, None) is not None:
            return True
        # `waiting` changes only once these are settled: a second end is looked for in both.
        if pair in self.closed or pair not in self._waiting:
            return False
        self.closed.add(pair)
        return True


class OpenPairs:
    """The open pairs of one log, oldest first."""

    def __init__(self) -> None:
        self._open: dict[str, WaitingOpener] = {}

    def stage(self, first: int) -> StagedLeaves:
        """Where leaves are taken up of which the first one gets index `first`."""
        return StagedLeaves(self._open, first)

    def settle(self, stage: StagedLeaves) -> None:
        """The leaves are in the log."""
        for pair in stage.closed:
            self._open.pop(pair, None)
        self._open.update(stage.opened)

    def read(self, bodies: Iterable[bytes], first: int) -> None:
        """Take up leaves that are in the log already."""
        for index, body in enumerate(bodies, first):
            seen = glance(body)
            if seen.t in OPENS:
                self._open[seen.pair] = WaitingOpener(index, seen.node, seen.t)
            elif seen.t in CLOSES:
                # Reading begins at the oldest open pair: the opener of this one may stand before.
                self._open.pop(seen.pair, None)

    def of_others(self, live: frozenset[str]) -> list[tuple[str, WaitingOpener]]:
        """The open pairs whose node is not among the live ones, oldest first."""
        return [(pair, each) for pair, each in self._open.items() if each.node not in live]

    def __len__(self) -> int:
        return len(self._open)


def _as_late(body: bytes, t: str) -> bytes:
    """The same leaf under its late type; no key before `t` can hold a bare quote."""
    late = LATE.get(t)
    if late is None:
        return body
    return body.replace(b'"t":"%s"' % t.encode(), b'"t":"%s"' % late.encode(), 1)
