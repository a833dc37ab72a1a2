"""Nodes over one database."""

import asyncio

import pytest
from tests.ledgers import new_database
from tests.unit.jobs.nodes import Nodes


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def nodes(tmp_path):
    database = new_database(tmp_path)
    made = Nodes(database)
    yield made
    for runner in made.runners.values():
        tasks = [each.task for each in runner._attempts.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    database.close()
