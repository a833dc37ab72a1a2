"""One answer on its way out: a JSON body, or a stream of events that ends with it.

An answer becomes a stream only when something has to be said before its end (progress), or for a
listen. Event streams are private to their request and never buffered by proxies. Source: MCP
2026-07-28 basic/transports/streamable-http; HTML Living Standard, server-sent events.
"""

from http import HTTPStatus

from gatelodge.core.jsontext.jsonrpc import notification_body
from gatelodge.web.endpoint.http.connection import ClientConnection
from gatelodge.web.endpoint.http.delivery import WritePermit
from gatelodge.web.endpoint.http.request import HttpRequest

_PHRASE = {s.value: s.phrase.encode() for s in HTTPStatus}
_OK_JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "
_LARGE = 64 * 1024
_NO_CONTENT = 204
"""Has no length (RFC 9110 clause 8.6)."""
_STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\n"
    b"x-accel-buffering: no\r\n"
)


def event(message: bytes) -> bytes:
    """One server-sent event that carries a JSON-RPC message (which holds no line break)."""
    if b"\n" in message or b"\r" in message:
        # Raw JSON from an upstream may be laid out over lines; between tokens they mean nothing.
        message = message.replace(b"\r", b" ").replace(b"\n", b" ")
    return b"event: message\ndata: " + message + b"\n\n"


class HttpAnswer:
    """The answer to one request; written once, from the event loop."""

    __slots__ = (
        "_bodiless",
        "_chunks",
        "_connection",
        "_extra",
        "bytes_out",
        "ended",
        "may_stream",
        "permit",
        "streaming",
    )

    def __init__(self, connection: ClientConnection, request: HttpRequest) -> None:
        self._connection = connection
        self._chunks = request.chunks
        self._bodiless = request.method == b"HEAD"
        self._extra = b""
        self.may_stream = False
        """The client said that it takes an event stream."""
        self.permit: WritePermit | None = None
        """Under which what is said from now on leaves; None = it needs none."""
        self.streaming = False
        self.ended = False
        self.bytes_out = 0

    def header(self, line: bytes) -> None:
        """Add a header line (`b"name: value"`) before anything was written."""
        self._extra += line + b"\r\n"

    def forget_headers(self) -> None:
        """Take back what was added: another answer goes out than the one it belonged to."""
        if not self.streaming:
            self._extra = b""

    def notify(self, method: str, params: bytes) -> None:
        """Send a notification before the answer; silently dropped when the client takes none."""
        # For a client that does not read, notifications would pile up; a result does without them.
        if self.may_stream and not self.ended and self._connection.writable:
            self.say(notification_body(method, params))

    def say(self, message: bytes) -> None:
        """Send a JSON-RPC message as an event."""
        self.open_stream()
        self._connection.permit = self.permit
        self._connection.write(self._frame_chunk(event(message)))

    def open_stream(self) -> None:
        """Begin the event stream when it has not begun."""
        if not self.streaming:
            self.streaming = True
            self._connection.stream()
            self._connection.breath = self._frame_chunk(b": \n\n")
            if self._chunks:
                self._extra += b"transfer-encoding: chunked\r\n"
            else:
                # HTTP/1.0 has no chunks: the stream ends with the connection (RFC 9112 clause 6.3).
                self._connection.closing = True
            self._connection.write(_STREAM + self._connection_header() + self._extra + b"\r\n")

    def breathe(self) -> None:
        """Keep an idle stream open through proxies: a comment line."""
        if self.streaming and not self.ended:
            self._connection.write(self._frame_chunk(b": \n\n"))

    def end(self, status: int, body: bytes) -> None:
        """Send the final message: the body, or the last event of a stream."""
        if self.ended:
            return
        self.ended = True
        self.bytes_out = len(body)
        # Without a permit of its own it leaves with what was written before, under that one's.
        if self.permit is not None:
            self._connection.permit = self.permit
        if self.streaming:
            last = self._frame_chunk(event(body)) if body else b""
            self._connection.write(last + b"0\r\n\r\n" if self._chunks else last)
        elif self._bodiless:
            self._connection.write(self._response_head(status, len(body)))
        elif len(body) > _LARGE:
            self._connection.write(self._response_head(status, len(body)))
            self._connection.write(body)  # it is put together once, when it is sent
        elif status == 200 and not self._extra and not self._connection.closing:
            self._connection.write(_OK_JSON + b"%d\r\n\r\n%b" % (len(body), body))
        else:
            self._connection.write(self._response_head(status, len(body)) + body)

    def _frame_chunk(self, part: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(part), part) if self._chunks else part

    def _response_head(self, status: int, size: int) -> bytes:
        kind = b"content-type: application/json\r\n" if size else b""
        length = b"" if status == _NO_CONTENT else b"content-length: %d\r\n" % size
        return b"HTTP/1.1 %d %b\r\n%b%b%b%b\r\n" % (
            status,
            _PHRASE.get(status, b"Unknown"),
            kind,
            length,
            self._connection_header(),
            self._extra,
        )

    def _connection_header(self) -> bytes:
        return b"connection: close\r\n" if self._connection.closing else b""
