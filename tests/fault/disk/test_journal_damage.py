"""Every file of a journal, damaged in every way: what was acknowledged is there, or it is told."""

import asyncio
import shutil

import pytest

from gatelodge.adapters.journal.file import FileJournal
from gatelodge.core.errors import LedgerDown, LogForked
from gatelodge.ports.journal import JournalEntry, SegmentRange

pytestmark = pytest.mark.anyio

KEY = b"k" * 32
SEGMENTS = 4
"""As many as are in use in the scene, with the one that is prepared."""


class Stated:
    """An inventory in memory."""

    def __init__(self) -> None:
        self.stated: SegmentRange | None = None

    def made(self):
        return self.stated

    def state(self, number):
        first = number if self.stated is None else self.stated.first
        self.stated = SegmentRange(first, number)

    def rest(self, number):
        self.stated = SegmentRange(number + 1, number)


def entry(number: int) -> JournalEntry:
    return JournalEntry("unrouted", (b"%d " % number).ljust(40_000, b"."))


class Scene:
    """A journal whose process died: some of it is in the log, the rest is not, all acknowledged."""

    def __init__(self, directory) -> None:
        self.directory = directory / "journal"
        self.older = directory / "older"
        self.inventory = Stated()
        self.mark = None

    async def open(self) -> FileJournal:
        return await FileJournal.open(
            self.directory, KEY, self.mark, segment_bytes=1, inventory=self.inventory
        )

    async def play(self) -> None:
        journal = await self.open()
        await self._write(journal, 0, 9)
        while (batch := await journal.read(256)).entries:
            self.mark = batch.end
        await journal.forget(self.mark)
        await self._write(journal, 9, 11)
        # The next segment is made meanwhile: files come, and are renamed, until it is there.
        await asyncio.to_thread(journal._segments._wait_until_prepared)
        shutil.copytree(self.directory, self.older, ignore=shutil.ignore_patterns("*.new"))
        await self._write(journal, 11, 22)
        await journal.close()
        self.owed = [entry(number) for number in range(9, 22)]

    async def _write(self, journal, first, stop) -> None:
        for number in range(first, stop):
            durable = asyncio.get_running_loop().create_future()
            journal.append(entry(number), durable)
            await asyncio.wait_for(durable, 10)

    async def found(self) -> list[JournalEntry]:
        journal = await self.open()
        found: list[JournalEntry] = []
        try:
            while (batch := await journal.read(256)).entries:
                found += batch.entries
        finally:
            await journal.close()
        return found

    async def told_or_whole(self, owed, damaged) -> bool:
        """True when it is not opened, and a file is named; else all that it owes is there once."""
        try:
            found = await self.found()
        except (LogForked, LedgerDown) as fault:
            told = str(fault)
        else:
            assert found == owed, damaged
            return False
        assert str(self.directory) in told
        assert ".seg" in told
        return True


def flipped(path, at):
    octets = bytearray(path.read_bytes())
    octets[at % len(octets)] ^= 1
    path.write_bytes(octets)


def last_frame(path):
    return len(path.read_bytes().rstrip(b"\0")) - 20_000


DAMAGES = {
    "missing": lambda path, scene: path.unlink(),
    "emptied": lambda path, scene: path.write_bytes(b""),
    "cut in half": lambda path, scene: path.write_bytes(
        path.read_bytes()[: path.stat().st_size // 2]
    ),
    "zeroed": lambda path, scene: path.write_bytes(bytes(path.stat().st_size)),
    "head zeroed": lambda path, scene: path.write_bytes(bytes(512) + path.read_bytes()[512:]),
    "frames zeroed": lambda path, scene: path.write_bytes(
        path.read_bytes()[:52].ljust(path.stat().st_size, b"\0")
    ),
    "first bit": lambda path, scene: flipped(path, 0),
    "bit of the first frame's length": lambda path, scene: flipped(path, 53),
    "bit of the first frame's number": lambda path, scene: flipped(path, 56),
    "bit in the first frame": lambda path, scene: flipped(path, 20_000),
    "bit in the middle": lambda path, scene: flipped(path, path.stat().st_size // 2),
    "bit in the last frame": lambda path, scene: flipped(path, last_frame(path)),
    "older": lambda path, scene: put_back(path, scene.older / path.name),
}


def put_back(path, older):
    if older.exists():
        shutil.copy(older, path)
    else:
        path.unlink()


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_what_was_acknowledged_is_there_exactly_once_or_the_damaged_file_is_named(
    tmp_path, damage
):
    scene = Scene(tmp_path)
    await scene.play()
    whole = tmp_path / "whole"
    shutil.copytree(scene.directory, whole)
    told = 0
    stated = scene.inventory.stated
    names = sorted(path.name for path in whole.iterdir())
    assert len(names) > SEGMENTS
    for name in names:
        shutil.rmtree(scene.directory)
        shutil.copytree(whole, scene.directory)
        scene.inventory.stated = stated
        damage(scene.directory / name, scene)
        told += await scene.told_or_whole(scene.owed, name)
    assert told, "no damage of this kind is noticed"


async def test_a_journal_that_is_gone_as_a_whole_is_not_taken_for_a_new_one(tmp_path):
    scene = Scene(tmp_path)
    await scene.play()
    shutil.rmtree(scene.directory)
    with pytest.raises(LogForked, match="is missing"):
        await scene.open()


async def test_a_journal_of_which_nothing_is_in_the_log_yet_is_missed_too(tmp_path):
    scene = Scene(tmp_path)
    journal = await scene.open()
    await scene._write(journal, 0, 1)
    await journal.close()
    shutil.rmtree(scene.directory)
    with pytest.raises(LogForked, match="is missing"):
        await scene.open()


async def test_a_journal_that_came_to_rest_is_missed_by_nobody(tmp_path):
    scene = Scene(tmp_path)
    journal = await scene.open()
    await scene._write(journal, 0, 1)
    await journal.close()
    await journal.rest(scene.mark)
    assert scene.inventory.stated.first <= scene.inventory.stated.newest, "not all is in the log"
    scene.mark = (await journal.read(256)).end
    await journal.rest(scene.mark)
    shutil.rmtree(scene.directory)
    journal = await scene.open()
    await scene._write(journal, 1, 2)
    await journal.close()
    assert await scene.found() == [entry(1)]
    shutil.rmtree(scene.directory)
    with pytest.raises(LogForked, match="is missing"):
        await scene.open()


async def test_an_older_journal_as_a_whole_is_noticed(tmp_path):
    scene = Scene(tmp_path)
    await scene.play()
    shutil.rmtree(scene.directory)
    shutil.copytree(scene.older, scene.directory)
    with pytest.raises(LogForked):
        await scene.open()


async def test_a_reused_file_shows_nothing_of_its_past_where_its_own_frames_are_damaged(tmp_path):
    scene = Scene(tmp_path)
    journal = await scene.open()
    number = 0
    while len(list(scene.directory.glob("*.seg"))) < SEGMENTS or number < 60:
        await scene._write(journal, number, number + 1)
        batch = await journal.read(256)
        scene.mark = batch.end
        await journal.forget(batch.end)
        number += 1
        if number > 90:
            break
    await scene._write(journal, number, number + 2)
    await journal.close()
    for path in sorted(scene.directory.glob("*.seg")):
        kept = path.read_bytes()
        path.write_bytes(kept[:52] + bytes(40) + kept[92:])
        await scene.told_or_whole([entry(number), entry(number + 1)], path.name)
        path.write_bytes(kept)


async def test_the_check_of_a_running_journal_finds_what_the_next_start_would(tmp_path):
    scene = Scene(tmp_path)
    journal = await scene.open()
    await scene._write(journal, 0, 3)
    assert await journal.examine(None) == []
    flipped(scene.directory / "00000001.seg", 20_000)
    (told,) = await journal.examine(None)
    assert "00000001.seg" in told
    await journal.close()
