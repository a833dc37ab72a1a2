"""A body that is too large to be held: handed on in portions, on a thread, no faster than taken."""

import asyncio
import hashlib
from collections.abc import Callable
from typing import IO, Final

from gatelodge.adapters.aside import opened_aside
from gatelodge.adapters.net.exchange import AnswerBody, FetchExchange, HttpReply
from gatelodge.adapters.net.portions import InboundPortions

TAKEN: Final = 1 << 20
"""Bytes that are worth a thread's while."""
_MOST_HELD: Final = 4 << 20
"""No more is read while so much waits for its thread."""
_TOLD: Final = 64 * 1024
"""Of an answer that is no good one: what it says of the reason."""
_GOOD: Final = 200


class _HeldBody(AnswerBody):
    """What came of a body and was not taken yet."""

    def __init__(self, portions: InboundPortions, ready: asyncio.Event) -> None:
        super().__init__()
        self._held = bytearray()
        self._portions = portions
        self._ready = ready

    def add(self, chunk: bytes) -> None:
        """One more piece."""
        self._held += chunk
        if len(self._held) >= TAKEN:
            self._ready.set()
        if len(self._held) >= _MOST_HELD:
            self._portions.hold()

    def cut(self) -> bytes:
        """All that is held, which is held no more."""
        held, self._held = bytes(self._held), bytearray()
        self._portions.let_go()
        return held

    def whole(self) -> bytes:
        """Nothing: it is taken in portions."""
        return b""


class DownloadExchange(FetchExchange):
    """A fetch whose body `take` gets when the answer is a 200; any other is an answer as usual."""

    def __init__(self, wire: bytes, limit: int, take: Callable[[bytes], object]) -> None:
        super().__init__(wire, limit)
        self._take = take
        self._held: _HeldBody | None = None
        self._ready = asyncio.Event()
        self.done.add_done_callback(lambda _: self._ready.set())
        self.bodies = self._body_for_status

    def _body_for_status(self, status: int, portions: InboundPortions) -> AnswerBody:
        if status != _GOOD:
            self.limit = min(self.limit, _TOLD)
            return AnswerBody()
        self._held = _HeldBody(portions, self._ready)
        return self._held

    async def answer(self) -> HttpReply:
        """The answer, all of its body taken. Raises what `take` raises."""
        while not self.done.done():
            await self._ready.wait()
            if not self.done.done():
                self._ready.clear()
                await self._hand_on()
        reply = self.done.result()
        await self._hand_on()
        return reply

    async def _hand_on(self) -> None:
        portion = self._held.cut() if self._held is not None else b""
        if portion:
            await opened_aside(lambda: self._take(portion), _nothing_to_close)


class HashedFile:
    """Takes a body into a file, and knows its digest; `begin_anew` is for another attempt."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        """Of what came, as `sha256:HEX`."""
        return f"sha256:{self._hash.hexdigest()}"

    def begin_anew(self) -> None:
        """Forget what came. Raises OSError."""
        self._file.seek(0)
        self._file.truncate()
        self._hash, self.size = hashlib.sha256(), 0

    def write(self, portion: bytes) -> None:
        """One more portion. Raises OSError."""
        self._hash.update(portion)
        self.size += len(portion)
        self._file.write(portion)


def _nothing_to_close(_: object) -> None:
    """What was written stays, for whoever removes the file."""
