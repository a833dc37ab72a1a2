"""Whatever fails while a gate is opened, what was opened is closed, and that error is told."""

import asyncio
import importlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.postgres import fresh_database

import gatelodge.app.build
from gatelodge.adapters.journal.file import FileJournal
from gatelodge.adapters.journal.postgres import PostgresJournal
from gatelodge.adapters.store.database import Database, open_database
from gatelodge.app.build import lay
from gatelodge.app.keeping.closing import closed_if_it_fails
from gatelodge.app.offline import opened
from gatelodge.config.schema import HostingSettings, Settings, StoreSettings
from gatelodge.core.errors import LedgerDown, LogForked, StoreDown

pytestmark = pytest.mark.anyio


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)],
)
def settings(request, tmp_path):
    url = ""
    if request.param == "postgresql":
        url = fresh_database(request.getfixturevalue("postgres_url"))
    return Settings(data_dir=str(tmp_path / "data"), store=StoreSettings(url=url))


def still_open(directory: str | Path) -> set[str]:
    """The threads of journals and stores that run, the files below the directory, the sockets."""
    found = {each.name for each in threading.enumerate() if each.name.startswith("journal")}
    for each in Path("/proc/self/fd").iterdir():
        try:
            there = str(each.readlink())
        except FileNotFoundError:  # the listing's own
            continue
        if there.startswith((str(directory), "socket:", "pipe:")):
            found.add(there)
    return found


@contextmanager
def spoilt_guard(settings: Settings) -> Iterator[None]:
    """The guard's file cannot be read: a start reads it behind its journal."""
    guard = Path(settings.data_dir, "guard", "signed.json")
    guard.parent.mkdir(mode=0o700, exist_ok=True)
    kept = guard.read_bytes() if guard.exists() else b"{}"
    guard.write_bytes(b"spoilt")
    yield
    guard.write_bytes(kept)


async def warmed_up() -> set[str]:
    """What a loop opens for itself, once it has used a thread."""
    await asyncio.to_thread(bool)
    return still_open("/nowhere")


async def test_a_start_that_fails_behind_its_journal_leaves_nothing_open(settings):
    await (await lay(settings)).close()
    before = await warmed_up()
    with spoilt_guard(settings), pytest.raises(LogForked, match="guard file"):
        await lay(settings)
    assert still_open(settings.data_dir) == before
    ground = await lay(settings)
    await ground.recover()
    await ground.close()


async def test_what_a_start_fails_of_is_told_though_its_closing_fails_as_well(
    settings, monkeypatch
):
    closed, fault = [], LogForked("the first")

    def refusing(*_given, **_more):
        raise fault

    def recorded(owner):
        close = owner.close

        def closing(self):
            closed.append(owner)
            done = close(self)
            if owner is Database:
                raise StoreDown("another")
            return failed_after(done)

        async def failed_after(done):
            await done
            raise LedgerDown("another")

        monkeypatch.setattr(owner, "close", closing)

    journal = PostgresJournal if settings.store.url else FileJournal
    recorded(journal)
    recorded(Database)
    monkeypatch.setattr(gatelodge.app.build, "LogSequencer", refusing)
    before = await warmed_up()
    with pytest.raises(LogForked) as told:
        await lay(settings)
    assert told.value is fault
    assert closed == [journal, Database]
    assert still_open(settings.data_dir) == before


async def test_a_command_whose_node_cannot_be_wired_leaves_nothing_open(tmp_path):
    settings = Settings(
        data_dir=str(tmp_path / "data"), hosting=HostingSettings(cache_dir="~nobody-of-that-name/x")
    )
    await (await lay(settings)).close()
    before = await warmed_up()
    with pytest.raises(RuntimeError, match="home directory"):
        async with opened(settings):
            pass
    assert still_open(settings.data_dir) == before


@pytest.mark.parametrize(
    "where", ["gatelodge.app.build.open_database", "gatelodge.adapters.journal.file.begin_journal"]
)
async def test_a_start_that_is_cancelled_while_it_opens_leaves_nothing_open(
    tmp_path, monkeypatch, where
):
    settings = Settings(data_dir=str(tmp_path / "data"))
    await (await lay(settings)).close()
    before = await warmed_up()
    loop, begun, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    module, _, name = where.rpartition(".")
    opens = getattr(importlib.import_module(module), name)

    def held(*given):
        loop.call_soon_threadsafe(begun.set)
        assert go_on.wait(10)
        return opens(*given)

    monkeypatch.setattr(where, held)
    start = asyncio.ensure_future(lay(settings))
    async with asyncio.timeout(10):
        await begun.wait()
        start.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await start
    assert still_open(settings.data_dir) == before


@pytest.mark.parametrize("which", [1, 2])
async def test_a_file_journal_that_gets_no_pipe_leaves_nothing_open(tmp_path, monkeypatch, which):
    before = await warmed_up()
    refuse_pipe(monkeypatch, which)
    with pytest.raises(LedgerDown):
        await FileJournal.open(tmp_path, b"k" * 32)
    assert still_open(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize("which", [1, 2])
async def test_a_journal_in_a_database_that_gets_no_pipe_leaves_nothing_open(
    postgres_url, monkeypatch, which
):
    before = await warmed_up()
    refuse_pipe(monkeypatch, which)
    with pytest.raises(LedgerDown):
        await PostgresJournal.open(fresh_database(postgres_url), "nod_1")
    assert still_open("/nowhere") == before


def refuse_pipe(monkeypatch, which):
    """The pipe of this number cannot be made: too many files are open."""
    pipe, made = os.pipe, []

    def counted():
        made.append(1)
        if len(made) == which:
            raise OSError(24, "Too many open files")
        return pipe()

    monkeypatch.setattr(os, "pipe", counted)


async def test_a_file_that_is_no_database_is_not_held_open(tmp_path):
    (tmp_path / "gatelodge.db").write_bytes(b"no database" * 100)
    with pytest.raises(StoreDown) as told:
        open_database("", tmp_path)
    assert told.value
    assert still_open(tmp_path) == await warmed_up()


async def test_what_was_opened_is_closed_newest_first_and_only_when_it_fails():
    closed = []

    async def both(*, fails):
        async with closed_if_it_fails(lambda: closed.append("oldest")) as opened:
            opened(lambda: closed.append("newest"))
            if fails:
                raise StoreDown("no")

    await both(fails=False)
    assert closed == []
    with pytest.raises(StoreDown):
        await both(fails=True)
    assert closed == ["newest", "oldest"]
