"""Connecting to an endpoint: its name is resolved once, and what was judged is connected to.

The egress guard stands here (identity: confused deputy and SSRF): https unless an admin allowed a
private address, no address that `core.http.egress` refuses, and no second look-up between judgement
and connection.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar, cast

from gatelodge.core.errors import Invalid, UpstreamUnreachable
from gatelodge.core.http.endpoint import HttpEndpoint, check_address

CONNECT_SECONDS = 10.0
_PROBES = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""Seconds of silence before the first probe, between two, and how many may go unanswered."""

P = TypeVar("P", bound=asyncio.BaseProtocol)


async def connect(
    endpoint: HttpEndpoint, protocol: Callable[[], P], tls: ssl.SSLContext | None
) -> P:
    """A connection to the first judged address that takes it.

    Raises Invalid when no address of the host may be connected to, UpstreamUnreachable when none
    takes the connection.
    """
    found = await resolve_host(endpoint.host, endpoint.port)
    addresses = allowed_addresses(found, partial(check_address, endpoint))
    return await connect_addresses(addresses, endpoint.host, endpoint.port, protocol, tls)


async def resolve_host(host: str, port: int) -> list[str]:
    """The addresses of a host, each once. Raises UpstreamUnreachable when it has none."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as unknown:
        raise UpstreamUnreachable("The server's name cannot be resolved.") from unknown
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def allowed_addresses(addresses: Iterable[str], check: Callable[[str], None]) -> list[str]:
    """Those that `check` takes, at least one. Raises the Invalid of the last that it refused."""
    good: list[str] = []
    refused = Invalid("url: its host has no address")
    for address in addresses:
        try:
            check(address)
        except Invalid as fault:
            refused = fault
        else:
            good.append(address)
    if not good:
        raise refused
    return good


async def connect_addresses(
    addresses: list[str],
    host: str,
    port: int,
    protocol: Callable[[], P],
    tls: ssl.SSLContext | None = None,
) -> P:
    """A connection to the first of these judged addresses that takes it, with TLS for the host.

    Raises UpstreamUnreachable when none does.
    """
    loop = asyncio.get_running_loop()
    last = ""
    for address in addresses:
        try:
            # One address that swallows packets must leave time for the others.
            async with asyncio.timeout(CONNECT_SECONDS / len(addresses)):
                transport, made = await loop.create_connection(protocol, address, port)
                # What is written goes out at once, not at the end of the loop's round: whether it
                # may go was asked just before, and would not be true later.
                transport.set_write_buffer_limits(high=0)
                if tls is not None:
                    secured = await loop.start_tls(transport, made, tls, server_hostname=host)
                    # `start_tls` does not call it, and the first transport would send in the clear.
                    made.connection_made(cast("asyncio.BaseTransport", secured))
        except TimeoutError:
            last = "did not take the connection in time"
        except ssl.SSLCertVerificationError:
            last = "showed a certificate that is not valid for its name"
        except ssl.SSLError:
            last = "failed the TLS handshake"
        except OSError:
            last = "refused the connection"
        else:
            _enable_tcp_keepalive(transport.get_extra_info("socket"))
            return made
    raise UpstreamUnreachable(f"The server {last}.")


def _enable_tcp_keepalive(connection: socket.socket) -> None:
    """Have the kernel notice a server that is gone without a word: a stream may be silent for long.

    Where it cannot be told when, it does so in its own time.
    """
    with contextlib.suppress(OSError):  # one that is closed already is told of as such
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _PROBES.items():
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
