"""Nodes over one database."""

import asyncio

import pytest
from tests.unit.jobs.nodes import Nodes

from gatelodge.adapters.store.database import open_database
from gatelodge.adapters.store.migrate import migrate


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def nodes(tmp_path):
    database = open_database("", tmp_path)
    migrate(database)
    made = Nodes(database)
    yield made
    for runner in made.runners.values():
        tasks = [each.task for each in runner._attempts.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    database.close()
