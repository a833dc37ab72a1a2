"""A node that follows waits behind nobody who asks the store something."""

import threading

import anyio
import pytest
from tests.fakes.world import StillClock
from tests.gov_log import open_gov_log
from tests.ledgers import new_database

from gatelodge.adapters.store.store import SqlStore

READERS = 40


@pytest.mark.anyio
async def test_the_state_is_read_while_more_ask_than_are_answered_at_once(tmp_path):
    database = new_database(tmp_path)
    store = SqlStore(database, open_gov_log(database), StillClock(), "nod_1")
    enough = threading.Event()
    async with anyio.create_task_group() as asking:
        for _ in range(READERS):
            asking.start_soon(store.read, lambda _tx: enough.wait(20))
        await anyio.wait_all_tasks_blocked()
        try:
            with anyio.fail_after(10):
                state = await store.load(None, None)
        finally:
            enough.set()
    assert state.gov == 0
    await store.close()
    database.close()
