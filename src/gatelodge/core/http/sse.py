"""Server-sent events, read piece by piece (WHATWG HTML 9.2).

The parser keeps no more than one unfinished event; whoever feeds it caps what it may hold.
"""

_LONGEST_ID = 1024


class EventParser:
    """Bytes in, `data` of finished `message` events out; other event types are passed over.

    With `endpoint`, events of that type are told too (2024-11-05 transports, HTTP with SSE). `last`
    is the id of the newest event, `retry` the pause in milliseconds that the server asked for.
    """

    def __init__(self, *, endpoint: bool = False) -> None:
        self._kinds = (b"", b"message", b"endpoint") if endpoint else (b"", b"message")
        self.last = b""
        self.retry: int | None = None
        self._rest = bytearray()
        self._searched = 0
        self._data: list[bytes] = []
        self._held = 0
        self._kind = b""
        self._id = b""
        self._after_cr = False
        self._fresh = True

    @property
    def held(self) -> int:
        """Bytes kept of an event that is not finished."""
        return len(self._rest) + self._held

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of each event that these bytes finish, in order."""
        if not chunk:
            return []
        second = self._after_cr and chunk.startswith(b"\n")  # of a CR LF that was cut
        self._after_cr = chunk.endswith(b"\r")
        if second:
            chunk = chunk[1:]
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        rest = self._rest
        rest += chunk
        done: list[bytes] = []
        start = 0
        end = rest.find(b"\n", self._searched)
        while end >= 0:
            self._parse_line(_copied_slice(rest, start, end), done)
            start = end + 1
            end = rest.find(b"\n", start)
        if start:
            del rest[:start]
        # A long line that trickles in would else be searched from its beginning each time.
        self._searched = len(rest)
        return done

    def _parse_line(self, line: bytes, done: list[bytes]) -> None:
        if self._fresh:
            self._fresh = False
            # One byte order mark may stand before a whole stream (WHATWG HTML 9.2).
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            # An event without data is none, whatever else it says (WHATWG HTML 9.2).
            if self._data and self._kind in self._kinds:
                done.append(b"\n".join(self._data))
            self._data.clear()
            self._held = 0
            self._kind = b""
            self.last = self._id  # only now: who goes on after it must have seen the whole event
            return
        if line.startswith(b"data:"):
            self._append_data_line(line[6:] if line[5:6] == b" " else line[5:])
            return
        field, _, value = line.partition(b":")
        if field == b"data":
            self._append_data_line(value)
        elif field == b"event":
            self._kind = value.removeprefix(b" ")
        elif field == b"id":
            self._keep_event_id(value.removeprefix(b" "))
        elif field == b"retry" and len(value) <= 8 and value.strip().isdigit():
            # Eight digits at most: the server chooses how many it sends.
            self.retry = int(value)

    def _append_data_line(self, value: bytes) -> None:
        self._data.append(value)
        self._held += len(value) + 1

    def _keep_event_id(self, identity: bytes) -> None:
        """Keep an event's id, if it can be said in a header; what cannot is as good as none."""
        plain = len(identity) <= _LONGEST_ID and all(0x21 <= byte <= 0x7E for byte in identity)
        self._id = identity if plain else b""


def _copied_slice(held: bytearray, start: int, end: int) -> bytes:
    """A part of what is held, copied once: it may be all of a large message."""
    with memoryview(held) as view:
        return bytes(view[start:end])
