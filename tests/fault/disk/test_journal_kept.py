"""What the file journal keeps of records that nobody waits for, while the disk takes none."""

import errno

import pytest
from tests.fault.disk.test_journal_file import (
    FailingDisk,
    drained,
    entry,
    made_durable,
    opened,
    well,
)

from gatelodge.adapters.journal import file
from gatelodge.core.errors import LedgerDown

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def test_while_the_disk_takes_nothing_so_many_records_are_kept_and_no_more(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(file, "_MOST_KEPT", 3)
    disk = FailingDisk()
    journal = await opened(tmp_path, disk=disk)
    disk.on_write = disk.on_make = errno.EIO
    with pytest.raises(LedgerDown):
        await made_durable(journal, entry(1))
    for number in range(2, 12):
        journal.append(entry(number), None)
    disk.on_write = disk.on_make = None
    await well(journal)
    await made_durable(journal, entry(12))
    assert await drained(journal) == [entry(2), entry(3), entry(4), entry(12)]
    await journal.close()
