"""Pages in somebody's browser: which may reach a gate, what they may send, what they may read.

A request whose Host is not ours was led here by DNS rebinding; one whose Origin is not allowed
comes from a foreign page. An allowed one may send and read; there are no cookies, so it has what
its own script was given. Source: MCP basic/transports/streamable-http, Security; decision 0002;
Fetch standard, CORS protocol.
"""

from msgspec import Struct

from gatelodge.core.http.authority import bracketed
from gatelodge.web.endpoint.http.request import HttpRequest

NOT_SERVED = (
    "this Host is not served here; an operator names it in listen.allowed_hosts or "
    "listen.public_url"
)
_ASKED = b"access-control-request-method"
_FIELDS = b"access-control-request-headers"
_EXPOSED = b"access-control-expose-headers: Mcp-Session-Id, WWW-Authenticate"
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class AllowedOrigins(Struct, frozen=True):
    """The Host and Origin values that are taken; Host values are lower case, without a port."""

    hosts: frozenset[bytes]
    origins: frozenset[bytes]

    def host_allowed(self, host: bytes | None) -> bool:
        """Say whether a Host field names this gate (its port is not compared)."""
        if host is None:
            return False
        return _without_port(host.lower()) in self.hosts

    def origin_allowed(self, origin: bytes | None, host: bytes = b"") -> bool:
        """Say whether a request with this Origin (None = no browser) may go on.

        `host` is the request's Host, already found to be ours: what came from there is no stranger.
        """
        # Clients other than browsers send none, and their token decides about them.
        if origin is None:
            return True
        scheme, _, authority = origin.lower().partition(b"://")
        # A rebound name cannot pass for the gate's own page: the Host was judged before.
        own = scheme in (b"http", b"https") and authority != b"" and authority == host.lower()
        return own or origin.lower() in self.origins


def origins(
    host: str, public_url: str, allowed_hosts: tuple[str, ...], allowed_origins: tuple[str, ...]
) -> AllowedOrigins:
    """Build the two sets from the settings of `listen`."""
    hosts = {*_LOOPBACK, *map(bracketed, (host, *allowed_hosts))}
    given = {*allowed_origins}
    if public_url:
        authority = public_url.split("://", 1)[-1].split("/", 1)[0]
        hosts.add(_without_port(authority.encode()).decode())
        given.add(public_url.rstrip("/"))
    return AllowedOrigins(
        # An empty name in here would let an empty Host through.
        frozenset(h.lower().encode() for h in hosts if h),
        frozenset(o.lower().encode() for o in given),
    )


def is_preflight(request: HttpRequest) -> bool:
    """Say whether a browser asks what its page may send; such a question carries no token."""
    return request.method == b"OPTIONS" and _ASKED in request.headers


def preflight(request: HttpRequest) -> tuple[bytes, ...]:
    """What the page may send: the endpoint's verbs, with the fields that it asked for."""
    asked = request.headers.get(_FIELDS, b"")
    # The field goes back as it came: llhttp lets no line break through, so it adds no field.
    allowed = (b"access-control-allow-headers: " + asked,) if asked else ()
    return (
        b"access-control-allow-methods: POST, GET, DELETE",
        b"access-control-max-age: 600",
        *allowed,
    )


def readable_by(origin: bytes) -> tuple[bytes, ...]:
    """The fields that let a page of this origin read the answer."""
    # The one origin and never `*`: every page could read it. So caches have to tell them apart.
    return (b"access-control-allow-origin: " + origin, b"vary: Origin", _EXPOSED)


def _without_port(authority: bytes) -> bytes:
    # An IPv6 literal ends in a bracket where no port follows, and its own colons stay.
    return authority if authority.endswith(b"]") else authority.rpartition(b":")[0] or authority
