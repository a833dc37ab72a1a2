"""The house without its doors open: for commands while no node runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gatelodge.app.build import lay
from gatelodge.app.hand_over import AsgiApp
from gatelodge.app.node import wire
from gatelodge.config.schema import Settings
from gatelodge.web.api.app import admin_app


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[AsgiApp]:
    """Open the data directory, recover its logs, and serve the admin API to this process alone."""
    ground = await lay(settings)
    rooms = wire(ground)
    try:
        await ground.sequencer.recover(await ground.others())
        await rooms.follower.start()
        following = asyncio.get_running_loop().create_task(rooms.follower.run())
        try:
            yield admin_app(rooms.admin, local=True)  # type: ignore[misc]
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
    finally:
        await rooms.upstreams.close()
        await ground.nodes.leave(ground.node)
        await ground.close()
