"""A place at the gate that a bridge must not reach: how an egress policy is seen to hold.

The gate has connected to the pod, so packets of the pod find their way to the gate. A connection
that the pod begins goes the same way: only a policy, or a wall before the gate, can be against it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator


class _ClosedAtOnce(asyncio.Protocol):
    """Whoever connects is let go of, and hears nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


@contextlib.asynccontextmanager
async def callback_port(address: str) -> AsyncIterator[int]:
    """A port of this address that answers until the block ends; 0 when none can be had."""
    try:
        server = await asyncio.get_running_loop().create_server(_ClosedAtOnce, address, 0)
    except OSError:
        yield 0
        return
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
