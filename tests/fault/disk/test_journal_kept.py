"""What the file journal keeps of records that nobody waits for, while the disk takes none."""

import asyncio
import errno
import itertools
import os

import pytest
from tests.fault.disk.test_journal_file import (
    FailingDisk,
    drained,
    entry,
    held,
    made_durable,
    opened,
    well,
)

from gatelodge.adapters.journal import file
from gatelodge.core.errors import LedgerDown

pytestmark = pytest.mark.anyio


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


@pytest.mark.parametrize("whole", [False, True], ids=["half-written", "whole-though-refused"])
async def test_records_that_nobody_waits_for_outlast_the_write_that_failed_on_them(tmp_path, whole):
    disk = FailingDisk()
    disk.whole = whole
    journal = await opened(tmp_path, disk=disk)
    await made_durable(journal, entry(1))
    disk.on_write = errno.EIO
    outcomes = [entry(number, 200_000) for number in range(2, 40)]  # more than one segment holds
    for each in outcomes:
        journal.append(each, None)
    with pytest.raises(LedgerDown):
        await made_durable(journal, entry(40))
    disk.on_write = None
    await well(journal)
    await made_durable(journal, entry(41))
    assert await drained(journal) == [entry(1), *outcomes, entry(41)]
    await journal.close()
    assert await held(tmp_path) == [entry(1), *outcomes, entry(41)]


class OwnDescriptors(FailingDisk):
    """Closes what it opened and did not close yet; anything else is another's by now."""

    def __init__(self):
        super().__init__()
        self._own, self.foreign = set(), []
        self._numbers = itertools.count(700)

    def open(self, path):
        low, fd = super().open(path), next(self._numbers)
        os.dup2(low, fd, inheritable=False)  # a number of its own: none is given out twice
        os.close(low)
        self._own.add(fd)
        return fd

    def close(self, fd):
        if fd not in self._own:
            self.foreign.append(fd)
            return
        self._own.remove(fd)
        super().close(fd)


async def test_a_journal_whose_writes_fail_closes_no_descriptor_of_others(tmp_path, monkeypatch):
    monkeypatch.setattr(file, "_AGAIN_SECONDS", (0.001, 0.002, 60.0))
    disk = OwnDescriptors()
    journal = await opened(tmp_path, disk=disk)
    await made_durable(journal, entry(1))
    await asyncio.to_thread(journal._segments._wait_until_prepared)  # the next one can be taken
    disk.on_write = errno.EIO
    journal.append(entry(2), None)
    async with asyncio.timeout(10):
        while journal._failures < 3:
            assert journal.failed or not journal._failures
            await asyncio.sleep(0)
    disk.on_write = None
    journal._again.cancel()
    journal._try_again()
    await well(journal)
    await journal.close()
    assert disk.foreign == []


async def test_a_disk_that_takes_none_of_what_is_kept_is_not_taken_for_a_good_one(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(file, "_AGAIN_SECONDS", (0.001, 0.002, 60.0))
    disk = FailingDisk()
    journal = await opened(tmp_path, disk=disk)
    await made_durable(journal, entry(1))
    disk.on_write = errno.EIO
    journal.append(entry(2), None)
    async with asyncio.timeout(10):
        while journal._failures < 3:
            assert journal.failed or not journal._failures
            await asyncio.sleep(0)
    lines = [each.message for each in caplog.records if each.message.startswith("the journal")]
    assert len(lines) == 1, "it is told once, and that it is written again when that is true"
    disk.on_write = None
    journal._again.cancel()
    journal._try_again()
    await well(journal)
    await made_durable(journal, entry(3))
    assert await drained(journal) == [entry(1), entry(2), entry(3)]
    await journal.close()
