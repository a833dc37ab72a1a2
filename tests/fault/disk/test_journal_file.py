"""What the file journal does when the disk, the power or the process fails."""

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gatelodge.adapters.journal.disk import JournalDisk
from gatelodge.adapters.journal.file import FileJournal
from gatelodge.adapters.journal.frame import LABEL_BYTES
from gatelodge.core.errors import LedgerDown, LogForked
from gatelodge.ports.journal import JournalEntry

pytestmark = pytest.mark.anyio

KEY = b"k" * 32


class FailingDisk(JournalDisk):
    """The real disk until it is told to fail."""

    def __init__(self) -> None:
        self.on_write: int | None = None
        self.on_make: int | None = None
        self.whole = False

    def write(self, fd, frames, offset):
        fault = self.on_write
        if fault is not None:
            # A failed sync may have written some of it: half of the bytes reach the file.
            os.pwrite(fd, frames if self.whole else frames[: len(frames) // 2], offset)
            raise OSError(fault, os.strerror(fault))
        super().write(fd, frames, offset)

    def make(self, path, size):
        fault = self.on_make
        if fault is not None:
            raise OSError(fault, os.strerror(fault))
        super().make(path, size)


def entry(number: int, size: int = 0) -> JournalEntry:
    return JournalEntry("unrouted", (b"%d " % number).ljust(size, b"."))


async def opened(directory: Path, start=None, disk=None) -> FileJournal:
    return await FileJournal.open(directory, KEY, start, segment_bytes=1, disk=disk)


def power_fails(directory: Path) -> None:
    """What was said beside the journal and not synced is gone."""
    (directory / "durable").unlink()


async def made_durable(journal, *entries: JournalEntry) -> None:
    loop = asyncio.get_running_loop()
    waiting = [loop.create_future() for _ in entries]
    for each, future in zip(entries, waiting, strict=True):
        journal.append(each, future)
    async with asyncio.timeout(10):
        done = await asyncio.gather(*waiting, return_exceptions=True)
    for outcome in done:
        if outcome is not None:
            raise outcome


async def held(directory: Path, start=None) -> list[JournalEntry]:
    """What a new process finds."""
    journal = await opened(directory, start)
    found: list[JournalEntry] = []
    while (batch := await journal.read(256)).entries:
        found += batch.entries
    await journal.close()
    return found


def first_segment(directory: Path) -> Path:
    return min(directory.glob("*.seg"))


def frame_ends(path: Path) -> list[int]:
    """The offsets behind each frame, the label at the beginning left out."""
    octets = path.read_bytes()
    ends, at = [], LABEL_BYTES
    while length := int.from_bytes(octets[at : at + 4], "little"):
        at += 36 + length
        ends.append(at)
    return ends


async def well(journal) -> None:
    """Wait until it takes records again."""
    async with asyncio.timeout(10):
        while journal.failed:  # noqa: ASYNC110 - the port has no event for it
            await asyncio.sleep(0.01)


async def drained(journal) -> list[JournalEntry]:
    found: list[JournalEntry] = []
    while (batch := await journal.read(256)).entries:
        found += batch.entries
    return found


@pytest.mark.parametrize("fault", [errno.EIO, errno.ENOSPC])
async def test_after_a_failed_sync_a_fresh_segment_goes_on_and_what_was_refused_is_void(
    tmp_path, fault
):
    disk = FailingDisk()
    journal = await opened(tmp_path, disk=disk)
    await made_durable(journal, entry(1))
    disk.on_write = fault
    with pytest.raises(LedgerDown):
        await made_durable(journal, entry(2), entry(3))
    assert journal.failed
    with pytest.raises(LedgerDown):
        await made_durable(journal, entry(4))
    disk.on_write = None
    await well(journal)
    assert len(list(tmp_path.glob("*.seg"))) >= 2
    await made_durable(journal, entry(5))
    assert await drained(journal) == [entry(1), entry(5)]
    await journal.close()
    assert await held(tmp_path) == [entry(1), entry(5)]


async def test_a_write_that_reached_the_disk_though_it_failed_is_void_once_it_was_repeated(
    tmp_path,
):
    disk = FailingDisk()
    journal = await opened(tmp_path, disk=disk)
    await made_durable(journal, entry(1))
    disk.on_write, disk.whole = errno.EIO, True
    with pytest.raises(LedgerDown):
        await made_durable(journal, entry(2))
    disk.on_write = None
    await well(journal)
    await made_durable(journal, entry(3))
    await journal.close()
    assert await held(tmp_path) == [entry(1), entry(3)]


async def test_records_that_nobody_waits_for_are_written_when_the_disk_is_well_again(tmp_path):
    disk = FailingDisk()
    journal = await opened(tmp_path, disk=disk)
    disk.on_write = errno.EIO
    with pytest.raises(LedgerDown):
        await made_durable(journal, entry(1))
    journal.append(entry(2), None)
    disk.on_write = None
    await well(journal)
    await made_durable(journal, entry(3))
    assert await drained(journal) == [entry(2), entry(3)]
    await journal.close()


async def test_a_next_segment_that_could_not_be_made_is_made_when_it_can_be(tmp_path):
    disk = FailingDisk()
    journal = await opened(tmp_path, disk=disk)
    await made_durable(journal, entry(0, 60_000))
    disk.on_make = errno.EMFILE
    sent = [entry(0, 60_000)]
    while not journal.failed:
        assert len(sent) < 100
        with contextlib.suppress(LedgerDown):
            await made_durable(journal, entry(len(sent), 60_000))
            sent.append(entry(len(sent), 60_000))
    disk.on_make = None
    await well(journal)
    await made_durable(journal, entry(99))
    await journal.close()
    assert await held(tmp_path) == [*sent, entry(99)]


async def test_a_fault_while_the_next_segment_is_prepared_strikes_nobody_later(tmp_path):
    disk = FailingDisk()
    disk.on_make = errno.EMFILE
    journal = await opened(tmp_path, disk=disk)
    await asyncio.to_thread(journal._segments._wait_until_prepared)
    disk.on_make = None
    await made_durable(journal, entry(1))
    assert not journal.failed
    await journal.close()


async def test_those_who_queued_behind_a_failed_write_are_refused_too(tmp_path):
    disk = FailingDisk()
    journal = await opened(tmp_path, disk=disk)
    disk.on_write = errno.EIO
    loop = asyncio.get_running_loop()
    first, second = loop.create_future(), loop.create_future()
    journal.append(entry(1), first)
    await asyncio.sleep(0)  # the first is handed over
    journal.append(entry(2), second)
    async with asyncio.timeout(10):
        done = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(each) for each in done] == [LedgerDown, LedgerDown]
    await journal.close()


async def test_a_full_disk_lets_what_has_room_finish_and_then_refuses(tmp_path):
    disk = FailingDisk()
    journal = await opened(tmp_path, disk=disk)
    await made_durable(journal, entry(0, 60_000))
    disk.on_make = errno.ENOSPC
    durable = 1
    refused = False
    while not refused and durable < 100:
        try:
            await made_durable(journal, entry(durable, 60_000))
            durable += 1
        except LedgerDown:
            refused = True
    assert refused
    assert durable > 1
    await journal.close()
    assert await held(tmp_path) == [entry(number, 60_000) for number in range(durable)]


async def test_a_disk_that_is_full_from_the_start_is_told(tmp_path):
    disk = FailingDisk()
    disk.on_make = errno.ENOSPC
    journal = await opened(tmp_path, disk=disk)
    with pytest.raises(LedgerDown):
        await made_durable(journal, entry(1))
    await journal.close()


async def test_segments_that_were_larger_in_the_last_run_are_read_to_their_end(tmp_path):
    large = await FileJournal.open(tmp_path, KEY, segment_bytes=600_000)
    entries = [entry(number, 50_000) for number in range(14)]
    for each in entries:
        await made_durable(large, each)
    await large.close()
    assert len(frame_ends(first_segment(tmp_path))) > 6, "the first holds more than a small one can"
    assert await held(tmp_path) == entries


@pytest.mark.parametrize("kept", [0, 1, 35, 36, 40])
async def test_a_torn_end_is_dropped_and_what_stands_before_it_is_kept(tmp_path, kept):
    journal = await opened(tmp_path)
    for number in range(3):
        await made_durable(journal, entry(number))
    await journal.close()
    path = first_segment(tmp_path)
    ends = frame_ends(path)
    octets = path.read_bytes()
    power_fails(tmp_path)
    path.write_bytes(octets[: ends[1] + kept].ljust(len(octets), b"\0"))
    assert await held(tmp_path) == [entry(0), entry(1)]


async def test_a_torn_write_of_two_frames_of_which_only_the_second_landed_is_no_damage(tmp_path):
    journal = await opened(tmp_path)
    await made_durable(journal, entry(0))
    await made_durable(journal, *(entry(number) for number in range(1, 400)))
    await journal.close()
    path = first_segment(tmp_path)
    ends = frame_ends(path)
    assert len(ends) == 3
    power_fails(tmp_path)
    octets = bytearray(path.read_bytes())
    octets[ends[0] + 40] ^= 1
    path.write_bytes(octets)
    assert await held(tmp_path) == [entry(0)]


async def test_a_changed_record_that_others_stand_behind_is_damage_not_an_end(tmp_path):
    journal = await opened(tmp_path)
    for number in range(3):
        await made_durable(journal, entry(number))
    await journal.close()
    path = first_segment(tmp_path)
    octets = bytearray(path.read_bytes())
    octets[frame_ends(path)[0] + 40] ^= 1
    path.write_bytes(octets)
    with pytest.raises(LogForked):
        await opened(tmp_path)


async def test_records_written_under_another_key_do_not_count(tmp_path):
    journal = await FileJournal.open(tmp_path, b"other key, 32 bytes............!", segment_bytes=1)
    await made_durable(journal, entry(1))
    await journal.close()
    (journal_file,) = (each for each in tmp_path.glob("*.seg") if frame_ends(each))
    journal_file.rename(journal_file.with_name("00000009.seg"))
    assert await held(tmp_path) == []


async def test_a_missing_segment_between_others_is_damage(tmp_path):
    journal = await opened(tmp_path)
    for number in range(12):
        await made_durable(journal, entry(number, 60_000))
    await journal.close()
    sorted(tmp_path.glob("*.seg"))[1].unlink()
    with pytest.raises(LogForked):
        await opened(tmp_path)


async def test_a_used_segment_that_is_written_again_shows_nothing_of_its_past(tmp_path):
    journal = await opened(tmp_path)
    for number in range(40):
        await made_durable(journal, entry(number, 30_000))
        batch = await journal.read(256)
        assert batch.end is not None
        await journal.forget(batch.end)
    await journal.close()
    assert len(list(tmp_path.glob("*.seg"))) <= 4
    assert await held(tmp_path, batch.end) == []
    again = await opened(tmp_path, batch.end)
    await made_durable(again, entry(40))
    await again.close()
    assert await held(tmp_path, batch.end) == [entry(40)]


async def test_restarts_without_a_record_make_no_new_files(tmp_path):
    journal = await opened(tmp_path)
    await made_durable(journal, entry(1))
    await journal.close()
    assert await held(tmp_path) == [entry(1)]
    before = sorted(tmp_path.glob("*.seg"))
    assert await held(tmp_path) == [entry(1)]
    assert sorted(tmp_path.glob("*.seg")) == before


async def test_a_durable_frame_that_changes_while_we_run_is_not_read_as_an_end(tmp_path):
    journal = await opened(tmp_path)
    await made_durable(journal, entry(1))
    path = first_segment(tmp_path)
    octets = bytearray(path.read_bytes())
    octets[LABEL_BYTES + 38] ^= 1
    path.write_bytes(octets)
    with pytest.raises(LedgerDown):
        await journal.read(256)
    await journal.close()


_CHILD = """
import asyncio, sys
from pathlib import Path
from gatelodge.adapters.journal.file import FileJournal
from gatelodge.ports.journal import JournalEntry

async def caller(journal, name):
    loop = asyncio.get_running_loop()
    for number in range(1_000_000):
        future = loop.create_future()
        body = f"{name}.{number} ".encode().ljust(400, b".")
        journal.append(JournalEntry("unrouted", body), future)
        await future
        sys.stdout.write(f"{name}.{number}\\n")
        sys.stdout.flush()

async def main():
    journal = await FileJournal.open(Path(sys.argv[1]), b"k" * 32, segment_bytes=300_000)
    await asyncio.gather(*(caller(journal, f"{sys.argv[2]}-{n}") for n in range(8)))

asyncio.run(main())
"""


def told_before_it_was_killed(directory: Path, turn: int) -> list[str]:
    """Run a process that appends, kill it after a while; what it said was acknowledged."""
    command = [sys.executable, "-c", _CHILD, str(directory), str(turn)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = [child.stdout.readline().strip() for _ in range(40 + turn * 61)]
        child.send_signal(signal.SIGKILL)
        # The last line may have been cut in the middle by the kill.
        return told + child.stdout.read().split("\n")[:-1]


@pytest.mark.guarantee("audit:intent-before-effect")
async def test_nothing_that_was_acknowledged_is_lost_when_the_process_is_killed(tmp_path):
    acknowledged: list[str] = []
    for turn in range(6):
        acknowledged += told_before_it_was_killed(tmp_path / "journal", turn)
    found = [each.body.split(b" ")[0].decode() for each in await held(tmp_path / "journal")]
    assert set(acknowledged) <= set(found)
    assert len(found) == len(set(found))
