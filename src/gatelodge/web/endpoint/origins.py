"""Host and Origin checks: a page in somebody's browser must not reach a gate on their machine.

A request whose Host is not ours was led here by DNS rebinding; one whose Origin is not allowed
comes from a foreign page. Source: MCP basic/transports/streamable-http, Security; decision 0002.
"""

from msgspec import Struct

from gatelodge.core.http.authority import bracketed

NOT_SERVED = (
    "this Host is not served here; an operator names it in listen.allowed_hosts or "
    "listen.public_url"
)
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


def _without_port(authority: bytes) -> bytes:
    # An IPv6 literal ends in a bracket where no port follows, and its own colons stay.
    return authority if authority.endswith(b"]") else authority.rpartition(b":")[0] or authority
