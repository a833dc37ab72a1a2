"""Reads HTTP/1.1 requests off a connection's bytes, within limits; knows no socket.

llhttp does the parsing and refuses what two readers could understand differently (two lengths,
a length beside a chunked body, folded or bare-LF lines). What is refused here besides: sizes, the
number of fields, framing that outgrows what it frames, and field names that decide something and
stand twice. Source: RFC 9112; decision 0002.
"""

from typing import Literal

import httptools

from gatelodge.core.http.head import head_of
from gatelodge.web.endpoint.http.request import HttpLimits, HttpRequest, RepeatedHead

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


_KEPT_FIELDS = 64
"""Fields of a head that is kept for the next request."""
_ASKS_MORE = (b"transfer-encoding", b"upgrade", b"expect")
"""Fields that say something to the connection, and not to whoever answers."""


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
    # A request without Host stays without: it is refused for that (RFC 9112 clause 3.2).
    if b"host" in request.headers:
        request.headers[b"host"] = authority


def _repeated_field(fields: list[tuple[bytes, bytes]]) -> bytes:
    """The last name that stands twice and may not; empty when there is none."""
    found, seen = b"", set()
    for given, _ in fields:
        name = given.lower()
        # Whatever stands in front may route by the one `Mcp-` field, and the gate by the other.
        if name in seen and (name in SINGLE or name.startswith(b"mcp-")):
            found = name
        seen.add(name)
    return found


def _size_of_head(target: bytes, fields: list[tuple[bytes, bytes]]) -> int:
    """Bytes of a head, as it would be written."""
    return len(target) + sum(len(name) + len(value) + 4 for name, value in fields)


class RequestReader:
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
        "_repeats",
        "_silent",
        "_skips_head",
        "_upgrade",
        "_wire",
        "asks",
        "ended",
        "fault",
        "headed",
        "keeps_heads",
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
        self._repeats: RepeatedHead | None = None
        self.keeps_heads = False
        """A head is kept for the next request: not for strangers, whose bytes are counted."""
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
        repeats = self._repeats
        if (
            repeats is not None
            and len(data) == repeats.whole
            # In the middle of a body these bytes are a part of it, whatever they look like.
            and not self.partial
            and type(data) is bytes
            and data.startswith(repeats.head)
        ):
            request = self.request = repeats.request(data)
            # No head is kept with a body below `_PIECE` bytes, so this sum never grows here.
            self._pieces += 1 - request.size / _PIECE
            return [request]
        done: list[HttpRequest] = []
        self._done = done
        self._fed = len(data)
        self._heard = False
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as offered:
            self._ignore_upgrade(bytes(data[offered.args[0] :]))
        except httptools.HttpParserError:
            # Behind an `_Enough` the fault is set already, and the first one counts.
            self.refuse("malformed")
        if self.partial:
            self._refuse_wasteful_request(self._fed)
        elif self.keeps_heads and len(done) == 1 and type(data) is bytes:
            self._keep_repeatable_head(done[0], data)
        self._done = _NONE
        return done

    def _keep_repeatable_head(self, request: HttpRequest, data: bytes) -> None:
        """Keep the head of a request that was all that came, if it may stand for the next one."""
        headers = request.headers
        # The head has to have begun in these bytes: of one that began earlier the tail alone is
        # here, and a tail is no request.
        plain = (
            self._wire == -self._fed
            and request.method == b"POST"
            and len(headers) <= _KEPT_FIELDS
            # Smaller bodies count towards `_PIECES`, whose limit only parsing looks at.
            and request.size >= _PIECE
            and not (request.last or request.repeated or self.fault is not None)
            and not any(name in headers for name in _ASKS_MORE)
        )
        head = head_of(data, request.size) if plain else b""
        self._repeats = (
            RepeatedHead(head, len(data), request.target, headers, request.chunks) if head else None
        )

    def _refuse_wasteful_request(self, size: int) -> None:
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
        self._parser = self._repeats = None
        self._fields, self._done = [], _NONE
        self._forget_body()

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Go on in HTTP/1.1 where another protocol was offered (RFC 9110 clause 7.8).

        The parser takes what follows the head for the other protocol, so a new one reads the body
        after a head that says only how the body is framed, and that nothing follows it: else the
        next request's body would be taken for this one's.
        """
        self.request.last = True
        if not self._upgrade:
            # This was a CONNECT: what follows is no HTTP (RFC 9110 clause 9.3.6).
            self.ended = True
            return
        fields = [(k, v) for k, v in self.request.headers.items() if k in _FRAMING]
        lines = b"".join(b"%b: %b\r\n" % field for field in fields)
        self._upgrade, self._skips_head = False, True
        parser = self._parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(b"POST / HTTP/1.1\r\nConnection: close\r\n%b\r\n" % lines)
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
            # A head that is refused only when it is complete has taken the memory by then.
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
            request.repeated = _repeated_field(fields)
        # What came at once is no larger than that; else the head began in other bytes (hot path).
        at_once = self._wire == -self._fed and self._fed + len(fields) <= self._limits.header_bytes
        large = not at_once and _size_of_head(request.target, fields) > self._limits.header_bytes
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
            # Only what was not refused is asked for: a client is spared sending it in vain.
            self.asks = headers[b"expect"].lower() == b"100-continue"

    def on_body(self, body: bytes) -> None:
        """Collect the body within its limit."""
        if self.fault is not None:
            # What follows a refusal shall cost no parsing.
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
        # At an offered upgrade the parser ends the message with its head; the body still comes.
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
