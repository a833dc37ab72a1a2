"""How many writes the file journal needs for what is appended to it."""

import asyncio

import pytest

from gatelodge.adapters.journal.disk import JournalDisk
from gatelodge.adapters.journal.file import FileJournal
from gatelodge.ports.journal import JournalEntry


class CountingDisk(JournalDisk):
    """The real disk; counts the writes of records (what begins a segment is its label)."""

    def __init__(self) -> None:
        self.writes = 0

    def write(self, fd, frames, offset):
        self.writes += offset > 0
        super().write(fd, frames, offset)


async def durable(journal: FileJournal, number: int) -> None:
    written = asyncio.get_running_loop().create_future()
    journal.append(JournalEntry("unrouted", b"%d" % number), written)
    async with asyncio.timeout(10):
        await written


@pytest.mark.anyio
async def test_many_who_come_back_a_few_rounds_later_share_the_next_write(tmp_path):
    disk = CountingDisk()
    journal = await FileJournal.open(tmp_path, b"k" * 32, disk=disk)

    async def twice(number: int) -> None:
        for rounds in (0, number % 4):
            for _ in range(rounds):
                await asyncio.sleep(0)
            await durable(journal, number)

    await asyncio.gather(*(twice(number) for number in range(40)))
    assert disk.writes == 2
    await journal.close()
