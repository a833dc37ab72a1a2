"""The last words of an instance on its standard error, in memory and nowhere else.

They may hold whatever the server was sent, so they are kept on no disk, in no log and no metric;
whoever may register servers reads them. Secrets of the definition are masked, and what a terminal
would obey is written out.
"""

import asyncio
import re
from collections import deque
from collections.abc import Iterable

from msgspec import Struct

from gatelodge.core.catalog.masking import COLOURS, MOST_LETTERS, SecretMask

MOST_LINES = 200
MOST_BYTES = 64 * 1024
LONGEST = 2_000
"""Letters of one line that are shown."""
_UNSEEN = re.compile(r"[^\t -~\u00a1-\u167f\u1681-\u1fff\u2010-\u2027\u2030-\u205e\u2070-\ud7ff]")


class ErrorLine(Struct, frozen=True):
    """One line of an instance; numbers grow through all instances of the node."""

    number: int
    instance: str
    line: str


class LineNumbers:
    """Numbers for the lines of all instances, so that a reader can go on where it stopped."""

    def __init__(self) -> None:
        self.last = 0

    def next_number(self) -> int:
        """One more."""
        self.last += 1
        return self.last


class ErrorTail(asyncio.Protocol):
    """Keeps the last lines of one instance, and hands every byte on to whoever hears it."""

    def __init__(
        self,
        instance: str,
        heard: asyncio.Protocol,
        hidden: Iterable[str],
        numbers: LineNumbers,
    ) -> None:
        """`hidden` are the secrets that are masked."""
        self._instance = instance
        self._heard = heard
        self._mask = SecretMask(hidden)
        # So much more that a secret where a line is cut is whole, however spelled.
        self._most = LONGEST + MOST_LETTERS * self._mask.longest
        self._numbers = numbers
        self._lines: deque[tuple[int, bytes]] = deque(maxlen=MOST_LINES)
        self._size = 0
        self._rest = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The pipe is there."""
        self._heard.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """It wrote something; of a flood only the last lines are kept, of each its beginning."""
        self._heard.data_received(data)
        first, ended, more = data.partition(b"\n")
        self._rest += first[: self._most - len(self._rest)]
        if not ended:
            return
        self._keep_line(bytes(self._rest))
        *lines, rest = more.split(b"\n")
        for line in lines[-MOST_LINES:]:
            self._keep_line(line[: self._most])
        self._rest = bytearray(rest[: self._most])

    def connection_lost(self, exc: Exception | None) -> None:
        """It closed its standard error."""
        if self._rest:
            self._keep_line(bytes(self._rest))
            self._rest.clear()
        self._heard.connection_lost(exc)

    def lines(self, after: int = 0) -> list[ErrorLine]:
        """Those with a number above `after`, masked and fit to be shown."""
        return [
            ErrorLine(number, self._instance, self._shown(line))
            for number, line in self._lines
            if number > after
        ]

    def _keep_line(self, line: bytes) -> None:
        line = line.rstrip(b"\r")
        if not line.strip():
            return
        if len(self._lines) == MOST_LINES:
            self._size -= len(self._lines[0][1])
        self._lines.append((self._numbers.next_number(), line))
        self._size += len(line)
        while self._size > MOST_BYTES:
            self._size -= len(self._lines.popleft()[1])

    def _shown(self, line: bytes) -> str:
        text = COLOURS.sub("", self._mask.masked(line.decode(errors="replace")))
        return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text[:LONGEST])
