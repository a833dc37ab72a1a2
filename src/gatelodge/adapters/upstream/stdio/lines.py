"""The output of a child process, cut into lines."""

import asyncio
from collections.abc import Callable
from typing import cast

from msgspec import Struct

from gatelodge.adapters.net.portions import InboundPortions
from gatelodge.adapters.upstream.stdio.early import StartOutput


class LineCallbacks(Struct, frozen=True, kw_only=True):
    """Who hears of lines, of a line that outgrows `longest` (its beginning), and of the end."""

    longest: Callable[[], int]
    line: Callable[[bytes], object]
    too_long: Callable[[bytes], None]
    end: Callable[[], None]


class LineSplitter(asyncio.Protocol):
    """Cuts the child's output into lines; owned by its Child."""

    def __init__(self, ears: LineCallbacks, early: StartOutput) -> None:
        self._ears = ears
        self._early = early
        self._rest = bytearray()
        self._portions = InboundPortions(self._cut_into_lines)
        self._transport: asyncio.ReadTransport | None = None
        self.deaf = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The pipe is there."""
        self._transport = cast("asyncio.ReadTransport", transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        """Hand on each whole line; of many a portion in each round of the loop."""
        self._early.out(data)
        self._portions.feed(data, self._transport, len(self._rest))

    def _cut_into_lines(self, data: bytes) -> None:
        if self.deaf:
            return
        if b"\n" not in data:
            self._rest += data
        else:
            *lines, rest = data.split(b"\n")
            lines[0] = bytes(self._rest) + lines[0] if self._rest else lines[0]
            self._rest = bytearray(rest)
            for line in lines:
                if line and not self.deaf:
                    self._ears.line(line)
        if len(self._rest) > self._ears.longest() and not self.deaf:
            self.deaf = True
            beginning, self._rest = bytes(self._rest[:512]), bytearray()
            self._ears.too_long(beginning)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the end is the end
        """The child closed its output."""
        self._portions.finish(self._report_end_of_output)

    def _report_end_of_output(self) -> None:
        if not self.deaf:
            self.deaf = True
            self._ears.end()
