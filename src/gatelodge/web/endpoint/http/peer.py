"""Whether a client that said its last word still listens.

One that only finished sending (it "half-closed") waits for its answer; one that closed for good
looks the same until something is sent to it: then its machine resets the connection. So something
is said that means nothing, and the kernel is asked what became of it. Source: RFC 9293 clause 3.6;
an interim answer may always come (RFC 9110 clause 15.2).
"""

import asyncio
import os
import socket
from collections.abc import Callable

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LINGER_SECONDS = 2.0
"""How long a connection goes on reading, and dropping, what follows a refusal: closing at once
would reset it, and the client might never see the answer (RFC 9112 clause 9.6)."""
_LOOKS = (0.001, 0.01, 0.05, 0.25)
_CLOSED = b"\x07"
"""TCP_CLOSE, the state after a reset (linux/include/net/tcp_states.h)."""


def can_tell() -> bool:
    """Say whether this system tells the state of a connection."""
    return hasattr(socket, "TCP_INFO")


def was_reset(transport: asyncio.Transport) -> bool:
    """Say whether the other side refused what was sent."""
    link = transport.get_extra_info("socket")
    if link is None or link.family == socket.AF_UNIX:
        return False  # where a write would have failed
    # A socket object closes its descriptor when it goes, and this one is the transport's.
    with socket.socket(fileno=os.dup(link.fileno())) as same:
        return same.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == _CLOSED


def watch(transport: asyncio.Transport, reset: Callable[[], None]) -> None:
    """Call `reset` when the other side refuses what was just sent; looks for a moment only."""
    loop = asyncio.get_running_loop()

    def look() -> None:
        # The descriptor of a closed transport may belong to another connection by now.
        if not transport.is_closing() and was_reset(transport):
            reset()

    # The reset comes after a round trip, and how long that takes depends on the network.
    for seconds in _LOOKS:
        loop.call_later(seconds, look)


def linger(transport: asyncio.Transport) -> None:
    """Close after the client had time to read what was said last."""
    transport.write_eof()
    asyncio.get_running_loop().call_later(LINGER_SECONDS, transport.close)
