"""Connecting to an HTTP upstream: the address is resolved once, judged, and connected to as judged.

The egress guard stands here (identity: confused deputy and SSRF): https unless an admin allowed a
private address, no address that `core.egress` refuses, and no second look-up between judgement and
connection.
"""

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar, cast
from urllib.parse import urlsplit

from msgspec import Struct

from gatelodge.core.catalog.server import HttpTransport
from gatelodge.core.egress import judge
from gatelodge.core.errors import UpstreamUnreachable

CONNECT_SECONDS = 10.0
_PROBES = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""Seconds of silence before the first probe, between two, and how many may go unanswered."""

_PATH = re.compile(r"/[!-~]*")
_FIELD_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FIELD_VALUE = re.compile(r"[\x20-\x7e\x80-\xff\t]*")
_OURS = frozenset((
    "host", "content-length", "transfer-encoding", "connection", "content-type", "accept",
    "expect", "upgrade", "te", "trailer", "accept-encoding", "last-event-id", "keep-alive",
))  # fmt: skip
_MEND = "Correct the server's definition."

P = TypeVar("P", bound=asyncio.Protocol)


class Target(Struct, frozen=True, kw_only=True):
    """Where to connect and what to ask for there."""

    host: str
    port: int
    tls: bool
    path: str
    authority: str
    private: bool


def parse_target(transport: HttpTransport) -> Target:
    """The target of a transport. Raises UpstreamUnreachable when its URL must not be used."""
    try:
        parts = urlsplit(transport.url)
        port = parts.port
    except ValueError as bad:
        raise UpstreamUnreachable("The server's URL is malformed.", remedy=_MEND) from bad
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host or not host.isascii():
        raise UpstreamUnreachable("The server's URL must be https://HOST/PATH.", remedy=_MEND)
    if parts.username is not None or parts.password is not None or parts.fragment:
        text = "The server's URL must not hold a name, a password or a fragment."
        raise UpstreamUnreachable(text, remedy="Put credentials in the server's headers.")
    tls = parts.scheme == "https"
    if not tls and not transport.allow_private:
        text = "The server's URL is http, which is only allowed for private addresses."
        raise UpstreamUnreachable(text, remedy="Use https, or allow private addresses for it.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    bracketed = f"[{host}]" if ":" in host else host
    authority = bracketed if port in (None, 443 if tls else 80) else f"{bracketed}:{port}"
    if not _PATH.fullmatch(path) or not re.fullmatch(r"[!-~]+", authority):
        raise UpstreamUnreachable("The server's URL holds illegal characters.", remedy=_MEND)
    return Target(
        host=host,
        port=port or (443 if tls else 80),
        tls=tls,
        path=path,
        authority=authority,
        private=transport.allow_private,
    )


def head_lines(headers: dict[str, str], resolve: Callable[[str], str]) -> bytes:
    """The server's own headers as lines, secret references resolved.

    Raises KeyUnreachable for a reference, and UpstreamUnreachable for a header that is malformed or
    that belongs to this client. No value is ever named.
    """
    lines: list[bytes] = []
    for name, value in headers.items():
        lower = name.lower()
        if not _FIELD_NAME.fullmatch(name) or lower in _OURS or lower.startswith("mcp-"):
            text = f"The server's definition may not set the header {name!r}."
            raise UpstreamUnreachable(text, remedy=_MEND)
        secret = resolve(value).strip()
        if not _FIELD_VALUE.fullmatch(secret):
            text = f"The value of the server's header {name!r} holds characters that no header may."
            raise UpstreamUnreachable(text, remedy=_MEND)
        lines.append(f"{name}: {secret}\r\n".encode("latin-1"))
    return b"".join(lines)


async def connect(target: Target, protocol: Callable[[], P], tls: ssl.SSLContext | None) -> P:
    """A connection to the first judged address that takes it. Raises UpstreamUnreachable."""
    loop = asyncio.get_running_loop()
    addresses = await _judged(target)
    last = ""
    for address in addresses:
        try:
            async with asyncio.timeout(CONNECT_SECONDS / len(addresses)):
                transport, made = await loop.create_connection(protocol, address, target.port)
                # What is written goes out at once, not at the end of the loop's round: whether it
                # may go was asked just before, and would not be true later.
                transport.set_write_buffer_limits(high=0)
                if tls is not None:
                    host = target.host
                    secured = await loop.start_tls(transport, made, tls, server_hostname=host)
                    made.connection_made(cast("asyncio.Transport", secured))
        except TimeoutError:
            last = "did not take the connection in time"
        except ssl.SSLCertVerificationError:
            last = "showed a certificate that is not valid for its name"
        except ssl.SSLError:
            last = "failed the TLS handshake"
        except OSError:
            last = "refused the connection"
        else:
            _probe(transport.get_extra_info("socket"))
            return made
    raise UpstreamUnreachable(f"The server {last}.")


def _probe(connection: socket.socket) -> None:
    """Have the kernel notice a server that is gone without a word: a stream may be silent for long.

    Where it cannot be told when, it does so in its own time.
    """
    with contextlib.suppress(OSError):  # one that is closed already is told of as such
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _PROBES.items():
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def _judged(target: Target) -> list[str]:
    """The addresses of the host that may be connected to, at least one."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as unknown:
        raise UpstreamUnreachable("The server's name cannot be resolved.") from unknown
    refused = ""
    good: list[str] = []
    for address in dict.fromkeys(str(entry[4][0]) for entry in found):
        standing = judge(address)
        wanted = target.tls if standing.reach == "global" else target.private
        if wanted and standing.reach != "never":
            good.append(address)
        else:
            refused = standing.what
    if good:
        return good
    if refused == "global":
        text = "The server's address is a public one, which is only spoken to over https."
        raise UpstreamUnreachable(text, remedy="Use https.")
    text = f"The server's address is not a public one ({refused})."
    remedy = "Allow private addresses for this server, if that is meant."
    raise UpstreamUnreachable(text, remedy=remedy)
