"""Bytes of a server, handed on in portions, in turns with those of all other servers.

A server that says very much in very small pieces would else hold everybody up: a quarter of a
megabyte that came at once can be a hundred thousand lines. So would many whose large answers are
whole at the same moment: what may end a large one waits for its turn, however small it is.
"""

from asyncio import ReadTransport
from collections.abc import Callable

from gatelodge.adapters.net.turnstile import turnstile

HEAVY = 64 * 1024
"""Bytes of a message that is read in a turn of its own."""
PORTION = 16 * 1024
"""Bytes of one portion: some thousand events or lines, a few milliseconds of work."""


def _never_left_over() -> bool:
    """Nothing is left over: each portion is done with as it is taken."""
    return False


class InboundPortions:
    """What was read and not handed on yet; nothing more is read meanwhile.

    `left_over` does a portion of what `take` did not do with what it got, and says whether more of
    that is left.
    """

    def __init__(
        self, take: Callable[[bytes], None], left_over: Callable[[], bool] = _never_left_over
    ) -> None:
        self._take = take
        self._left_over = left_over
        self._rest = b""
        self._left = False
        self._busy = False
        self._size = PORTION
        self._turnstile = turnstile()
        self._transport: ReadTransport | None = None
        self._then: Callable[[], None] | None = None
        self._held = False
        self._stopped = False

    def feed(self, data: bytes, transport: ReadTransport | None, held: int = 0) -> None:
        """Hand on the first portion now and each further one in its turn.

        `held` bytes are kept already of the message that this goes on with.
        """
        if self._busy:
            # A transport that was told to pause may still hand in what it has read.
            self._rest += data
            return
        if held <= HEAVY and len(data) <= PORTION:
            self._take(data)  # as nearly always (hot path)
            self._left = self._left_over()
            if not self._left:
                return
        else:
            self._rest = data
            if held <= HEAVY and not self._deliver_next_portion():
                return
        self._busy = True
        self._transport = transport
        if transport is not None:
            transport.pause_reading()
        self._turnstile.add(self._go_on)

    def feed_body(self, data: bytes, transport: ReadTransport | None, held: int) -> None:
        """Hand on a part of what is only kept: a small one now, all of a larger one in its turn."""
        if not self._busy and held + len(data) <= HEAVY:
            self._take(data)
            return
        self._size = max(self._size, min(len(data), HEAVY))
        self.feed(data, transport, HEAVY + 1)

    def finish(self, then: Callable[[], None]) -> None:
        """Do this behind all that is left: the connection ended there."""
        if self._busy:
            self._then = then
        else:
            then()

    def hold(self) -> None:
        """Read and hand on no more, but for what is read already, until `let_go`."""
        self._held = True

    def let_go(self) -> None:
        """Go on where `hold` stopped it. Idempotent."""
        self._held = False
        if self._stopped:
            self._stopped = False
            self._turnstile.add(self._go_on)

    def drop(self) -> None:
        """Forget what is left: nobody wants it."""
        self._rest = b""

    def _deliver_next_portion(self) -> bool:
        """Hand on a portion, or a portion of what is left of one; false when that was all."""
        if not self._left:
            portion, self._rest = self._rest[: self._size], self._rest[self._size :]
            self._take(portion)
        self._left = self._left_over()
        return self._left or bool(self._rest)

    def _go_on(self) -> None:
        if self._held:
            self._stopped = True
            return
        if self._deliver_next_portion():
            self._turnstile.add(self._go_on)
            return
        self._busy = False
        self._size = PORTION
        transport, self._transport = self._transport, None
        if transport is not None and not transport.is_closing():
            transport.resume_reading()
        then, self._then = self._then, None
        if then is not None:
            then()
