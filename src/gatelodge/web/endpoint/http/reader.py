"""Reads HTTP/1.1 requests off a connection's bytes, within limits; knows no socket.

llhttp does the parsing and refuses what two readers could understand differently (two lengths,
a length beside a chunked body, folded or bare-LF lines). What is refused here besides: sizes, the
number of fields, framing that outgrows what it frames, and field names that decide something and
stand twice. Source: RFC 9112; decision 0002.
"""

from typing import Literal

import httptools
from msgspec import Struct

SINGLE = frozenset(
    (
        b"authorization",
        b"host",
        b"origin",
        b"content-type",
        b"content-length",
        b"accept",
        b"mcp-protocol-version",
        b"mcp-method",
        b"mcp-name",
        b"mcp-session-id",
        b"last-event-id",
    )
)
"""Field names that may stand only once in a request (besides every `mcp-param-*`)."""

Unreadable = Literal["malformed", "head", "body", "version", "strangers"]
"""Why the rest of a connection cannot be read: no HTTP, head or body too large, not HTTP/1, or too
much is under way from clients whom nobody knows yet."""

MOST_FIELDS = 256
"""Fields of one head: each costs far more memory than its bytes."""
_FIELD_BYTES = 192
"""About what a field costs besides its bytes."""
_FRAMING = (b"content-length", b"transfer-encoding")
_FRAMING_RATIO = 16
"""Bytes of framing (chunk sizes, their extensions) that each byte of a body may come with."""
_PIECES, _PIECE = 4_000, 16
"""A connection may bring so many pieces of bodies of any size, and beyond them one for each
_PIECE bytes: a chunk costs the same work however little is in it."""
_VERSIONS = frozenset(("1.1", "1.0"))
_SCHEMES = (b"http://", b"https://")


class HttpLimits(Struct, frozen=True):
    """Sizes in bytes, times in seconds."""

    header_bytes: int
    body_bytes: int
    keepalive: float
    write: float = 30.0


class HttpRequest(Struct, eq=False):
    """One request. Header names are lower case; a repeated single one is named.

    `size` is what was read of the body, also where the body itself was not kept. `last` = the
    connection ends with it, `chunks` = its answer may be sent in chunks (not to HTTP/1.0).
    A request that has to wait is `judged` first: then either `away` says why it is turned away,
    or `person` who sends it; `charged` bytes are counted against them, of its own and of its answer
    until it is `over`.
    """

    away: Exception | None = None
    judged: bool = False
    person: str = ""
    charged: int = 0
    over: bool = False
    method: bytes = b""
    target: bytes = b""
    headers: dict[bytes, bytes] = {}
    repeated: bytes = b""
    body: bytes = b""
    size: int = 0
    last: bool = False
    chunks: bool = True

    def forget(self) -> None:
        """Let go of what is large."""
        self.body, self.headers, self.away, self.over = b"", {}, None, True


class _Enough(Exception):
    """Stops the parser in the middle of what it was fed."""


_NONE: list[HttpRequest] = []
"""Stands where nothing is being read; nothing is put into it."""


def _take_host(request: HttpRequest) -> None:
    """Take a target in absolute form apart; its host is the one that counts (RFC 9112 3.2.2)."""
    target = request.target
    scheme = next((each for each in _SCHEMES if target.lower().startswith(each)), None)
    if scheme is None:
        return
    authority, slash, path = target[len(scheme) :].partition(b"/")
    authority, mark, query = authority.partition(b"?")
    request.target = b"/" + mark + query + (path if not mark else slash + path)
    if b"host" in request.headers:
        request.headers[b"host"] = authority


def _repeated(fields: list[tuple[bytes, bytes]]) -> bytes:
    """The last name that stands twice and may not; empty when there is none."""
    found, seen = b"", set()
    for given, _ in fields:
        name = given.lower()
        if name in seen and (name in SINGLE or name.startswith(b"mcp-")):
            found = name
        seen.add(name)
    return found


def _size(target: bytes, fields: list[tuple[bytes, bytes]]) -> int:
    """Bytes of a head, as it would be written."""
    return len(target) + sum(len(name) + len(value) + 4 for name, value in fields)


class Reader:
    """The requests of one connection; `feed` returns those that are complete.

    `request` is the one that is being read while `partial`. After `fault` is set, or `ended`,
    nothing more is read.
    """

    __slots__ = (
        "_done",
        "_fed",
        "_fields",
        "_first",
        "_heard",
        "_limits",
        "_more",
        "_parser",
        "_pieces",
        "_silent",
        "_skips_head",
        "_upgrade",
        "_wire",
        "asks",
        "ended",
        "fault",
        "headed",
        "partial",
        "request",
    )

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._done: list[HttpRequest] = []
        self._fields: list[tuple[bytes, bytes]] = []
        self._first = b""
        self._more = bytearray()
        self._heard = False
        self._silent = 0
        self._fed = 0
        self._wire = 0
        self._pieces = 0.0
        self._skips_head = False
        self._upgrade = False
        self.request = HttpRequest()
        self.partial = False
        self.headed = False
        """The head of the present request is complete."""
        self.asks = False
        """The client waits for `100 Continue` before it sends the body."""
        self.fault: Unreadable | None = None
        self.ended = False

    def feed(self, data: bytes | memoryview) -> list[HttpRequest]:
        """Read these bytes."""
        parser = self._parser
        if self.ended or self.fault is not None or parser is None:
            return []
        done: list[HttpRequest] = []
        self._done = done
        self._fed = len(data)
        self._heard = False
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as offered:
            self._ignore_upgrade(bytes(data[offered.args[0] :]))
        except httptools.HttpParserError:
            self.refuse("malformed")
        if self.partial:
            self._weigh(self._fed)
        self._done = _NONE
        return done

    def _weigh(self, size: int) -> None:
        """Refuse a request that says little with many bytes."""
        limit = self._limits.header_bytes
        self._wire += size
        if not self._heard:
            # The parser gathers an endless field without a word; so does a stranger's patience.
            self._silent += size
        if self._silent > limit:
            self.refuse("malformed" if self.headed else "head")
        elif self.headed and self._wire > 2 * limit + _FRAMING_RATIO * self.request.size:
            self.refuse("malformed")

    @property
    def held(self) -> int:
        """About how much memory an unfinished head takes."""
        return self._silent + _FIELD_BYTES * len(self._fields)

    def end(self) -> None:
        """Read nothing more; what is not whole was not said."""
        self.ended, self.partial, self.asks = True, False, False
        self._forget_body()

    def close(self) -> None:
        """Part from the parser: the two hold each other, and with them all that was read."""
        self._parser = None
        self._fields, self._done = [], _NONE
        self._forget_body()

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Go on in HTTP/1.1 where another protocol was offered (RFC 9110 clause 7.8).

        The parser takes what follows the head for the other protocol, so a new one reads the body
        after a head that holds nothing but how the body is framed. It is the last request here.
        """
        self.request.last = True
        if not self._upgrade:
            self.ended = True
            return
        fields = [(k, v) for k, v in self.request.headers.items() if k in _FRAMING]
        lines = b"".join(b"%b: %b\r\n" % field for field in fields)
        self._upgrade, self._skips_head = False, True
        parser = self._parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % lines)
            if rest:
                parser.feed_data(rest)
        except httptools.HttpParserError:
            self.refuse("malformed")

    # httptools callbacks

    def on_message_begin(self) -> None:
        """Begin a request."""
        if self._skips_head:
            return
        if self.fault is not None:
            raise _Enough
        self.request = HttpRequest()
        self.headed = False
        self._silent = 0
        self._wire = -self._fed  # of these bytes some belonged to the request before
        self.partial = True

    def on_url(self, url: bytes) -> None:
        """Collect the target."""
        if not self._skips_head:
            self.request.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a field of the head; a trailer decides nothing and is dropped."""
        if not self.headed:
            fields = self._fields
            fields.append((name, value))
            if len(fields) > MOST_FIELDS:
                self.refuse("head")
                raise _Enough

    def on_headers_complete(self) -> None:
        """Sort the head; refuse early what is too large."""
        if self._skips_head:
            return
        parser, request = self._parser, self.request
        assert parser is not None
        request.method = parser.get_method()
        self.headed = self._heard = True
        fields = self._fields
        # The parser leaves what may stand behind a value (RFC 9112 clause 5.1).
        headers = {name.lower(): value.rstrip(b" \t") for name, value in fields}
        request.headers = headers
        if len(headers) != len(fields):
            request.repeated = _repeated(fields)
        # What came at once is no larger than that; else the head began in other bytes (hot path).
        at_once = self._wire == -self._fed and self._fed + len(fields) <= self._limits.header_bytes
        large = not at_once and _size(request.target, fields) > self._limits.header_bytes
        self._fields = []
        if request.target[:1] not in (b"/", b"*"):
            _take_host(request)
        version = parser.get_http_version()
        request.chunks = version == "1.1"
        request.last = not parser.should_keep_alive()
        if b"upgrade" in headers and request.method != b"CONNECT":
            self._upgrade = parser.should_upgrade()
        length = headers.get(b"content-length", b"0")
        if version not in _VERSIONS:
            self.refuse("version")
        elif large:
            self.refuse("head")
        elif length.isdigit() and int(length) > self._limits.body_bytes:
            self.refuse("body")
        elif b"expect" in headers:
            self.asks = headers[b"expect"].lower() == b"100-continue"

    def on_body(self, body: bytes) -> None:
        """Collect the body within its limit."""
        if self.fault is not None:
            raise _Enough
        self._heard, self.asks = True, False
        self.request.size += len(body)
        self._pieces += 1 - len(body) / _PIECE
        if self.request.size > self._limits.body_bytes:
            self.refuse("body")
        elif self._pieces > _PIECES:
            self.refuse("malformed")
        elif self._first:
            self._more += body
        else:
            self._first = body

    def on_message_complete(self) -> None:
        """Hand over a whole request."""
        if self._upgrade or self.fault is not None:
            return
        request = self.request
        request.body = self._first + self._more if self._more else self._first
        self._forget_body()
        self.partial = self.asks = False
        self._heard = True
        self.ended = self.ended or request.last
        self._done.append(request)

    def refuse(self, fault: Unreadable) -> None:
        """Read nothing more, for this reason; the first one counts."""
        if self.fault is None and not self.ended:
            self.fault = fault
            self.partial = False
            self._fields = []
            self._forget_body()

    def _forget_body(self) -> None:
        self._first = b""
        if self._more:
            self._more = bytearray()
