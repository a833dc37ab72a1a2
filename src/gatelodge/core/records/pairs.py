"""Openers and closers: which calls and streams of a log still wait for their end.

Every `call.intent` and `stream.opened` gets exactly one closer. An end that comes after its pair
was already closed for it (a node was held for lost and was not) is kept under another type, so
that nothing is thrown away and nothing is closed twice.
"""

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from gatelodge.core.records.leaves import CLOSES, OPENS


class Glance(Struct, frozen=True, gc=False):
    """What the sequencer has to know of a leaf."""

    t: str = ""
    call: str = ""
    stream: str = ""
    node: str = ""

    @property
    def pair(self) -> str:
        """The call or stream it belongs to, empty when it belongs to none."""
        return self.call or self.stream


class Opened(Struct, frozen=True, gc=False):
    """An opener that waits: its place, and the node that wrote it."""

    index: int
    node: str
    t: str


class Staged(Struct, frozen=True):
    """Leaves as they are to be appended, and which pairs are open once they are."""

    bodies: tuple[bytes, ...]
    opened: dict[str, Opened]
    closed: frozenset[str]


LATE = {"call.outcome": "call.late", "stream.closed": "stream.late"}
"""What a closer is called when its pair was closed before."""

_glance = msgspec.json.Decoder(Glance).decode


def glance(body: bytes) -> Glance:
    """What a leaf says of its pair; nothing when it is not in our form."""
    try:
        return _glance(body)
    except msgspec.MsgspecError:
        return Glance()


class Pairs:
    """The open pairs of one log, oldest first."""

    def __init__(self) -> None:
        self._open: dict[str, Opened] = {}

    def stage(self, bodies: Sequence[bytes], first: int) -> Staged:
        """Say what these leaves open and close when the first of them gets index `first`.

        Nothing changes here until `settle`: the append may fail.
        """
        opened: dict[str, Opened] = {}
        closed: set[str] = set()
        kept: list[bytes] = []
        for index, body in enumerate(bodies, first):
            seen = glance(body)
            if seen.t in OPENS:
                opened[seen.pair] = Opened(index, seen.node, seen.t)
            elif seen.t in CLOSES:
                if seen.pair in opened:
                    del opened[seen.pair]
                elif seen.pair in self._open and seen.pair not in closed:
                    closed.add(seen.pair)
                else:
                    body = _as_late(body, seen.t)  # noqa: PLW2901 - the leaf under its other name
            kept.append(body)
        return Staged(tuple(kept), opened, frozenset(closed))

    def settle(self, staged: Staged) -> None:
        """The leaves are in the log."""
        for pair in staged.closed:
            self._open.pop(pair, None)
        self._open.update(staged.opened)

    def read(self, bodies: Iterable[bytes], first: int) -> None:
        """Take up leaves that are in the log already."""
        for index, body in enumerate(bodies, first):
            seen = glance(body)
            if seen.t in OPENS:
                self._open[seen.pair] = Opened(index, seen.node, seen.t)
            elif seen.t in CLOSES:
                self._open.pop(seen.pair, None)

    def floor(self, staged: Staged, size: int) -> int:
        """The lowest index that may hold an open pair once `staged` is in the log of `size`."""
        old = (each.index for pair, each in self._open.items() if pair not in staged.closed)
        new = (each.index for each in staged.opened.values())
        return next(old, next(new, size))  # both stand in the order of their indexes

    def of_others(self, live: frozenset[str]) -> list[tuple[str, Opened]]:
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
