"""A client's side of the socket, byte by byte: what no HTTP library would send.

with Wire(port) as wire:
    wire.send(b"POST /k/main/mcp HTTP/1.1\\r\\n...")
    wire.answer()          # one answer: status, headers, body
    wire.is_closed()       # the gate closed the connection
"""

import socket
import time
from typing import Self

from tests.gate import WAIT, Answer

COMMENT = b": \n\n"
"""What keeps an idle stream open; a client passes it over."""
BREATH = b"4\r\n%b\r\n" % COMMENT
"""A comment, as a chunk."""


class Wire:
    """One connection to the gate."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=WAIT)
        self.unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> "Wire":
        """Write these bytes, as far as the gate takes them."""
        for part in parts:
            self.socket.sendall(part)
        return self

    def answer(self, verb: str = "POST") -> Answer:
        """Read one answer whole."""
        head = self._until(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
        status = int(first.split(" ")[1])
        if verb == "HEAD" or status == 100:
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Answer(status, headers, b"".join(iter(self.chunk, b"")))
        if "content-length" not in headers:
            return Answer(status, headers, self.rest())
        return Answer(status, headers, self._exactly(int(headers["content-length"])))

    def head(self) -> Answer:
        """Read the head of an answer whose body follows bit by bit."""
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")[:-2]
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}
        return Answer(int(lines[0].split(" ")[1]), headers, b"")

    def skip(self, head: Answer) -> bytes:
        """Read the body behind a head."""
        return self._exactly(int(head.headers["content-length"]))

    def chunk(self) -> bytes:
        """Read one chunk of a chunked body; empty at its end."""
        size = int(self._until(b"\r\n"), 16)
        return self._exactly(size + 2)[:-2]

    def event(self) -> bytes:
        """Read chunks until one carries an event; its data. Comments are passed over."""
        while True:
            for line in self.chunk().split(b"\n"):
                if line.startswith(b"data: "):
                    return line[6:]

    def is_over(self) -> bool:
        """Read the end of a chunked body; false when an event comes instead of it."""
        while (chunk := self.chunk()) == COMMENT:
            pass
        return chunk == b""

    def rest(self) -> bytes:
        """Everything until the gate closes."""
        while self._more():
            pass
        told, self.unread = self.unread, b""
        return told

    def is_closed(self) -> bool:
        """Wait for the gate to close; false when it says something instead."""
        return not self.unread and not self._more()

    def is_silent(self, seconds: float) -> bool:
        """Say whether nothing comes for that long, but comments that keep a stream open."""
        self.socket.settimeout(seconds)
        try:
            while BREATH.startswith(self._unbreathed()):  # one may come in two pieces
                if not self._more():
                    return False
            return False
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(WAIT)

    def _unbreathed(self) -> bytes:
        """What was read and is not understood yet, without whole comments."""
        while self.unread.startswith(BREATH):
            self.unread = self.unread.removeprefix(BREATH)
        return self.unread

    def _until(self, mark: bytes) -> bytes:
        while mark not in self.unread:
            assert self._more(), f"closed before {mark!r}: {self.unread!r}"
        found, _, self.unread = self.unread.partition(mark)
        return found + mark

    def _exactly(self, size: int) -> bytes:
        while len(self.unread) < size:
            assert self._more(), "closed in the middle of a body"
        found, self.unread = self.unread[:size], self.unread[size:]
        return found

    def _more(self) -> bool:
        try:
            read = self.socket.recv(65536)
        except ConnectionError:
            return False
        self.unread += read
        return bool(read)


def until(true, seconds: float = WAIT, why: str = "it never became true"):
    """Poll until `true()` is; its value. For a bounded time."""
    ends = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < ends, why
        time.sleep(0.01)
    return found
