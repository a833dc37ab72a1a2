"""The house without its doors open: for commands while no node runs."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec.structs import replace

from gatelodge.app.build import lay
from gatelodge.app.first_start import OWNER, UNSEEN
from gatelodge.app.keeping.closing import closed_if_it_fails, each_in_turn
from gatelodge.app.node import wire
from gatelodge.config.schema import Settings
from gatelodge.core.errors import Conflict, GateUnreachable
from gatelodge.web.api.app import admin_app
from gatelodge.web.api.asgi import AsgiApp

log = logging.getLogger(__name__)

_DATABASE = "gatelodge.db"


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[AsgiApp]:
    """Open the data directory, recover its logs, and serve the admin API to this process alone.

    Raises GateUnreachable where no gate was ever started: a command founds no organization, least
    of all one that was run in the wrong directory.
    """
    missing = await asyncio.to_thread(_directory_without_gate, settings)
    if missing:
        raise GateUnreachable(
            f"there is no gate in {missing}",
            remedy="Name its directory with --data-dir (or a running gate with --url), "
            "or make a new one: `gatelodge up`, or `gatelodge init` without starting it.",
        )
    ground = await lay(settings)
    async with closed_if_it_fails(ground.close):
        rooms = wire(ground)
    try:
        await ground.recover()
        await rooms.follower.start()
        if ground.owner_token.take():
            log.warning(UNSEEN)
        loop = asyncio.get_running_loop()
        health = ground.health
        # A change waits until this process's own view has it, so the view has to be followed.
        work = (
            rooms.follower.run(health),
            rooms.follower.beat(health),
            # A job of a gate that was killed is not taken up for a command that asks for none.
            rooms.admin.jobs.run(rooms.follower, health, once_asked=True),
        )
        tasks = [loop.create_task(each) for each in work]
        try:
            yield admin_app(replace(rooms.admin, idle=ground.node), local=True)  # type: ignore[misc]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        await each_in_turn(rooms.upstreams.close, ground.close)


async def founded(settings: Settings) -> str:
    """Make the organization without serving anybody; returns the owner's token.

    Raises Conflict when there is one already.
    """
    ground = await lay(settings)
    try:
        token = ground.owner_token.take()
    finally:
        await ground.close()
    if not token:
        raise Conflict(
            "there is an organization here already",
            remedy=f"A new token for its owner: gatelodge token create --member {OWNER}",
        )
    return token


def _directory_without_gate(settings: Settings) -> str:
    """The data directory when no gate was ever started with it, else nothing."""
    directory = Path(settings.data_dir).absolute()
    # Keys without a database are what a crash in a first start leaves, and all that stands here
    # with PostgreSQL.
    there = (directory / "keys").exists() or (directory / _DATABASE).exists()
    return "" if there else str(directory)
