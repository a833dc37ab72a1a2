"""The one place that names concrete parts: builds, wires, closes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gatelodge.config.schema import Settings

if TYPE_CHECKING:
    from gatelodge.web.api.asgi import AsgiApp


@asynccontextmanager
async def offline_api(settings: Settings) -> "AsyncIterator[AsgiApp]":
    """The admin API over a data directory on which no node runs; who holds it is the operator.

    Raises what is wrong with the directory, each with its remedy.
    """
    from gatelodge.app.offline import opened

    async with opened(settings) as app:
        yield app


async def init(settings: Settings) -> str:
    """Make the organization without serving anybody; returns the owner's token. Raises Conflict."""
    from gatelodge.app.offline import founded

    return await founded(settings)
