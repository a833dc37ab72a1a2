"""Connections that are idle for too long are closed; what their clients have sent is read first.

Those whose clients do not take what was said, or are not there any more, are cut off.
"""

import asyncio
from collections.abc import Collection

from gatelodge.web.endpoint.http.bounds import OpenConnection


async def close_idle(connections: Collection[OpenConnection], now: float) -> None:
    """Close every connection that is idle for too long at this time of the event loop."""
    for connection in tuple(connections):
        if connection.stuck(now):
            connection.abort()
    overdue = [connection for connection in connections if connection.idle(now)]
    if not overdue:
        return
    # A loop that was held up may come here before it reads what arrived in the meantime. Two turns
    # are one look at the sockets for certain, whichever comes first in a turn.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for connection in overdue:
        if connection.idle(now):
            connection.shut()
