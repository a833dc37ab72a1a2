"""Bytes of a server, handed on in portions: one in each round of the loop.

A server that says very much in very small pieces would else hold everybody up: a quarter of a
megabyte that came at once can be a hundred thousand lines.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

PORTION = 16 * 1024
"""Bytes of one portion: some thousand events or lines, a few milliseconds of work."""


class Pausable(Protocol):
    """A transport that can be told to read no more for now."""

    def pause_reading(self) -> None:
        """Read no more."""
        ...

    def resume_reading(self) -> None:
        """Read on."""
        ...

    def is_closing(self) -> bool:
        """True when nothing more will come."""
        ...


class Portions:
    """What was read and not handed on yet; nothing more is read meanwhile."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._rest = b""
        self._transport: Pausable | None = None

    def feed(self, data: bytes, transport: Pausable | None) -> None:
        """Hand on the first portion now, each further one in a round of its own."""
        if len(data) <= PORTION and not self._rest:
            self._take(data)
            return
        self._rest += data
        if self._transport is None:
            self._transport = transport
            if transport is not None:
                transport.pause_reading()
            self._go_on()

    def finish(self) -> None:
        """Hand on all that is left: the connection ended behind it."""
        while self._rest:
            self._next()

    def drop(self) -> None:
        """Forget what is left: nobody wants it."""
        self._rest = b""

    def _next(self) -> None:
        portion, self._rest = self._rest[:PORTION], self._rest[PORTION:]
        self._take(portion)

    def _go_on(self) -> None:
        if self._rest:
            self._next()
        if self._rest:
            asyncio.get_running_loop().call_soon(self._go_on)
            return
        transport, self._transport = self._transport, None
        if transport is not None and not transport.is_closing():
            transport.resume_reading()
