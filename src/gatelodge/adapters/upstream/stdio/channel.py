"""Lines to and from one instance of a server over stdio, and what is known of how it ended."""

import asyncio
from collections.abc import Callable
from typing import cast

from gatelodge.adapters.net.portions import InboundPortions
from gatelodge.adapters.upstream.stdio.early import StartOutput
from gatelodge.adapters.upstream.stdio.unread import UnreadBytes, UnreadTotal
from gatelodge.ports.runtime import LaunchSpec, Runtime, RuntimeInstance, WakingInstance


class StdioChannel(asyncio.Protocol):
    """Cuts the output of its instance into lines. `stop` ends the instance, which it owns."""

    def __init__(
        self,
        *,
        longest: Callable[[], int],
        line: Callable[[bytes], object],
        too_long: Callable[[bytes], None],
        end: Callable[[], None],
        hidden: tuple[str, ...] = (),
    ) -> None:
        """Each `line` is told, the beginning of one that outgrows `longest`, and the end."""
        self._longest, self._line, self._too_long, self._end = longest, line, too_long, end
        self.early = StartOutput(hidden)
        self._rest = bytearray()
        self._portions = InboundPortions(self._cut_into_lines)
        self._transport: asyncio.ReadTransport | None = None
        self.silent = False
        """True when no more lines will come."""
        self.instance: RuntimeInstance
        self._unread: UnreadBytes

    async def open(self, runtime: Runtime, spec: LaunchSpec, unread: UnreadTotal) -> None:
        """Start an instance and speak to it. Raises UpstreamUnreachable."""
        self.instance = await runtime.start(spec, self, self.early)
        self._unread = UnreadBytes(unread, lambda: self.instance.unread)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The pipe is there."""
        self._transport = cast("asyncio.ReadTransport", transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        """Hand on each whole line; of many a portion in each round of the loop."""
        self.early.out(data)
        self._portions.feed(data, self._transport, len(self._rest))

    def _cut_into_lines(self, data: bytes) -> None:
        if self.silent:
            return
        if b"\n" not in data:
            self._rest += data
        else:
            *lines, rest = data.split(b"\n")
            lines[0] = bytes(self._rest) + lines[0] if self._rest else lines[0]
            self._rest = bytearray(rest)
            for line in lines:
                if line and not self.silent:
                    self._line(line)
        if len(self._rest) > self._longest() and not self.silent:
            self.silent = True
            beginning, self._rest = bytes(self._rest[:512]), bytearray()
            self._too_long(beginning)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the end is the end
        """The instance closed its output."""
        self._portions.finish(self._report_end_of_output)

    def _report_end_of_output(self) -> None:
        if not self.silent:
            self.silent = True
            self._end()

    def reads(self, whose: str) -> bool:
        """Say whether more may be sent for this person, read there, and answered."""
        return not self.closed and self._unread.room(whose)

    @property
    def closed(self) -> bool:
        """True when it reads or writes no more."""
        return self.silent or self.instance.closed

    @property
    def over(self) -> bool:
        """True when the process itself is gone; its descendants may be there still."""
        return self.instance.status is not None

    @property
    def ending(self) -> str:
        """How it ended, or what it closed, as an admin is told."""
        closed = "closed its output" if self.silent else "closed its input"
        words = f"exited with status {self.instance.status}" if self.over else closed
        errors = self.early.error_bytes
        return f"{words} after writing {errors} bytes of errors" if errors else words

    def write(self, line: bytes, whose: str) -> None:
        """Send one line for this person (the newline is added)."""
        self.instance.write(line + b"\n")
        self._unread.add(whose, len(line) + 1)

    def wake(self) -> None:
        """Somebody needs it by another way than its input: have it go on where it stands still."""
        if isinstance(self.instance, WakingInstance):
            self.instance.wake()

    async def stop(self, seconds: float | None = None) -> None:
        """End the instance; nothing more is heard of it."""
        self.silent = True
        self._unread.drop()
        await self.instance.stop(seconds)
