"""Request heads of an HTTP upstream, made once and kept as bytes, and where they go.

A head ends where the length of the body belongs; `request_wire` puts the two together.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Raw, structs

from gatelodge.adapters.net.exchange import opening_lines
from gatelodge.adapters.upstream.transport import as_defined
from gatelodge.core.catalog.masking import LEAST_HIDDEN, SecretMask
from gatelodge.core.catalog.server import HttpTransport
from gatelodge.core.catalog.transport import check_transport, http_endpoint
from gatelodge.core.http.endpoint import HttpEndpoint, header_line
from gatelodge.core.protocol.upstream_headers import header_value, mirror_headers
from gatelodge.core.protocol.upstream_status import redirected
from gatelodge.core.protocol.version import MODERN, NAMED
from gatelodge.ports.upstream import UpstreamRequest

_MOST_KEPT = 4096
_BOTH = b"application/json, text/event-stream"
_LENGTH = b"Content-Length: "


def read_endpoint(transport: HttpTransport) -> HttpEndpoint:
    """Where a transport leads. Raises UpstreamUnreachable when it must not be used as it stands."""
    with as_defined():
        check_transport(transport)
        return http_endpoint(transport)


def head_lines(values: Mapping[str, str]) -> bytes:
    """The server's own headers as lines; their secret references are resolved.

    Raises UpstreamUnreachable for a header that is malformed or that belongs to this client. No
    value is ever named.
    """
    with as_defined():
        return b"".join(header_line(name, value) for name, value in values.items())


class RequestHeads:
    """The heads for one server; `own` are its configured header lines, secrets included.

    `renewals` counts how often those were others.
    """

    def __init__(self, endpoint: HttpEndpoint, own: bytes, version: str) -> None:
        self._endpoint = endpoint
        self._own = own
        self._version = version
        self._modern: dict[tuple[str, str], bytes] = {}
        self._lines = b""
        self.renewals = 0
        self.legacy = self._initial_head_lines("POST", _BOTH) + _LENGTH
        """For a legacy request; before the handshake without version and session."""

    def agreed(self, version: str, session: bytes) -> None:
        """From now on legacy heads bear what the handshake brought."""
        self._lines = b"MCP-Protocol-Version: %b\r\n" % version.encode()
        if session:
            self._lines += b"Mcp-Session-Id: %b\r\n" % session
        self.legacy = self._initial_head_lines("POST", _BOTH) + self._lines + _LENGTH

    def renew(self, own: bytes) -> None:
        """The configured header lines are others from now on."""
        self._own = own
        self._modern.clear()
        self.renewals += 1
        self.legacy = self._initial_head_lines("POST", _BOTH) + self._lines + _LENGTH

    def listening(self, last: bytes = b"") -> bytes:
        """The whole request that opens a stream of a legacy session, or goes on after `last`."""
        resumed = b"Last-Event-ID: %b\r\n" % last if last else b""
        return (
            self._initial_head_lines("GET", b"text/event-stream") + self._lines + resumed + b"\r\n"
        )

    def redirect_target(self, location: bytes) -> str:
        """Where a redirect leads, if that may be told: not where a server repeats our secret."""
        to = redirected(location, self._endpoint.origin + self._endpoint.path.partition("?")[0])
        values = [line.partition(": ")[2] for line in self._own.decode("latin-1").splitlines()]
        words = [word for value in values for word in value.split() if len(word) >= LEAST_HIDDEN]
        return to if SecretMask(words).masked(to) == to else ""

    def to(self, path: str) -> "RequestHeads":
        """The same heads for another path of this origin."""
        return RequestHeads(structs.replace(self._endpoint, path=path), self._own, self._version)

    def ending(self) -> bytes:
        """The whole request that ends a legacy session."""
        return (
            self._initial_head_lines("DELETE", _BOTH) + self._lines + b"Content-Length: 0\r\n\r\n"
        )

    def modern(self, request: UpstreamRequest) -> bytes:
        """For a modern request, with the headers that repeat its body."""
        head = self._modern.get((request.method, request.name))
        if head is None:
            head = self._build_modern_head(request)
        if not request.mirrors:
            return head
        arguments = request.params.get("arguments", Raw(b"{}"))
        repeated = mirror_headers(request.mirrors, arguments)
        lines = "".join(f"{name}: {value}\r\n" for name, value in repeated)
        return head.removesuffix(_LENGTH) + lines.encode() + _LENGTH

    def _build_modern_head(self, request: UpstreamRequest) -> bytes:
        """A head that was not made before; those for URIs and tasks are not kept."""
        lines = f"MCP-Protocol-Version: {MODERN}\r\nMcp-Method: {header_value(request.method)}\r\n"
        member = NAMED.get(request.method)
        if member is not None:
            name = request.name or _name_in_params(request, member)
            lines += f"Mcp-Name: {header_value(name)}\r\n"
        head = self._initial_head_lines("POST", _BOTH) + lines.encode() + _LENGTH
        if member is None or (member == "name" and request.name):
            # Names are others' texts, so there is a bound; a table that was emptied fills again.
            if len(self._modern) >= _MOST_KEPT:
                self._modern.clear()
            self._modern[request.method, request.name] = head
        return head

    def _initial_head_lines(self, verb: str, accept: bytes) -> bytes:
        head = opening_lines(self._endpoint, verb, self._version) + b"Accept: %b\r\n" % accept
        if verb == "POST":
            head += b"Content-Type: application/json\r\n"
        return head + self._own


def _name_in_params(request: UpstreamRequest, member: str) -> str:
    """What the params say there, for a request that does not name it again."""
    try:
        return msgspec.json.decode(request.params.get(member, b""), type=str)
    except (msgspec.MsgspecError, RecursionError):
        return ""


def request_wire(head: bytes, body: bytes) -> bytes:
    """The whole request."""
    return b"%b%d\r\n\r\n%b" % (head, len(body), body)
