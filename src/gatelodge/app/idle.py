"""The house without its doors open: for commands while no node runs."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec.structs import replace

from gatelodge.app.build import lay
from gatelodge.app.hand_over import AsgiApp
from gatelodge.app.node import wire
from gatelodge.config.schema import Settings
from gatelodge.web.api.app import admin_app

log = logging.getLogger(__name__)

_UNSEEN = (
    "the owner's token was not shown; make another: gatelodge token create --member owner@localhost"
)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[AsgiApp]:
    """Open the data directory, recover its logs, and serve the admin API to this process alone."""
    ground = await lay(settings)
    rooms = wire(ground)
    try:
        await ground.sequencer.recover(await ground.others())
        await rooms.follower.start()
        if ground.owner_token.take():
            log.warning("first start by a command: %s", _UNSEEN)
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(w) for w in (rooms.follower.run(), rooms.follower.beat())]
        try:
            yield admin_app(replace(rooms.admin, idle=ground.node), local=True)  # type: ignore[misc]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        await rooms.upstreams.close()
        await ground.nodes.leave(ground.node)
        await ground.close()
