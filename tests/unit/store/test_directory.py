"""The data directory is ours alone: by lock, by owner and by mode, and its disk keeps room."""

import os

import pytest

from gatelodge.adapters.store.database import open_database
from gatelodge.adapters.store.place.lock import DirectoryLock
from gatelodge.adapters.store.place.room import DiskRoom
from gatelodge.core.errors import Conflict, Invalid, LogForked, StoreDown
from gatelodge.flows.health import RED_SECONDS, NodeHealth


def test_a_second_process_is_refused_also_when_the_lock_file_was_deleted(tmp_path):
    lock = DirectoryLock(tmp_path)
    (tmp_path / "lock").unlink()
    with pytest.raises(Conflict, match="another gatelodge process"):
        DirectoryLock(tmp_path)
    lock.release()
    DirectoryLock(tmp_path).release()


@pytest.mark.parametrize("replaced", [False, True])
def test_who_holds_the_lock_notices_that_its_file_is_gone(tmp_path, replaced):
    lock = DirectoryLock(tmp_path)
    lock.check()
    (tmp_path / "lock").unlink()
    if replaced:
        (tmp_path / "lock").touch()
    with pytest.raises(Conflict, match="lock"):
        lock.check()
    lock.release()


def test_who_holds_the_lock_notices_that_the_directory_is_another_one(tmp_path):
    place = tmp_path / "data"
    lock = DirectoryLock(place)
    place.rename(tmp_path / "old")
    place.mkdir(mode=0o700)
    with pytest.raises(Conflict, match="data"):
        lock.check()
    lock.release()


@pytest.mark.parametrize("name", ["", "run", "guard", "journal"])
def test_a_folder_that_others_may_write_to_is_refused_with_the_remedy(tmp_path, name):
    place = tmp_path / "data"
    (place / name).mkdir(parents=True)
    place.chmod(0o700)
    (place / name).chmod(0o777)
    with pytest.raises(Invalid) as refused:
        DirectoryLock(place)
    assert f"chmod go-w {place / name}" in refused.value.remedy


@pytest.mark.parametrize(
    "name",
    [
        *("lock", "run", "guard", "journal", "gatelodge.db", "gatelodge.db-wal", "reserve"),
        *("guard/signed.json", "journal/durable", "journal/00000001.seg"),
    ],
)
def test_a_link_in_the_place_of_what_is_ours_is_refused_and_leads_nobody_astray(tmp_path, name):
    place, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    (place / name).parent.mkdir(parents=True, exist_ok=True)
    place.chmod(0o700)
    elsewhere.write_text("precious")
    (place / name).symlink_to(elsewhere)
    with pytest.raises(Invalid, match=name.rpartition("/")[2]):
        open_database("", place)
    assert elsewhere.read_text() == "precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_directory_of_somebody_else_is_refused(tmp_path):
    place = tmp_path / "data"
    place.mkdir(mode=0o700)
    os.chown(place, 12345, 12345)
    with pytest.raises(Invalid, match="belongs to uid 12345"):
        DirectoryLock(place)


@pytest.mark.parametrize("left", ["guard/signed.json", "journal/00000001.seg"])
@pytest.mark.parametrize("emptied", [False, True])
def test_no_database_is_made_beside_what_belongs_to_one_that_is_gone(tmp_path, left, emptied):
    (tmp_path / left).parent.mkdir()
    (tmp_path / left).touch()
    if emptied:
        (tmp_path / "gatelodge.db").touch()
    with pytest.raises(LogForked, match=r"gatelodge\.db is missing or empty"):
        open_database("", tmp_path)


def test_the_reserve_is_given_up_once_and_calls_wait_until_it_is_back(tmp_path):
    room = DiskRoom(tmp_path, 0)
    room.tend()
    assert not room.low
    assert (tmp_path / "reserve").stat().st_size > 0
    assert room.give_up()
    assert room.low
    assert not room.give_up()
    room.tend()
    assert not room.low


def test_less_than_the_floor_is_told(tmp_path, monkeypatch):
    about = os.statvfs(tmp_path)
    small = os.statvfs_result((*about[:4], 10, *about[5:]))
    monkeypatch.setattr(os, "statvfs", lambda _: small)
    room = DiskRoom(tmp_path, 1 << 40)
    room.tend()
    assert "full" in room.low


def test_work_that_fails_is_told_when_it_lasts_and_until_it_is_done_again():
    now = [100.0]
    health = NodeHealth(lambda: now[0])
    health.failed("signing", "no")
    assert health.lasting() == {}
    now[0] += RED_SECONDS
    health.failed("signing", "still no")
    assert health.lasting() == {"signing": "still no"}
    health.well("signing")
    assert health.lasting() == {}


def test_after_a_failed_write_the_store_is_opened_anew_before_anything_is_changed(tmp_path):
    database = open_database("", tmp_path)
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE kept (n)")
        connection.exec_driver_sql("INSERT INTO kept VALUES (1)")
    database._suspect = True
    with database.write() as connection:
        connection.exec_driver_sql("INSERT INTO kept VALUES (2)")
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM kept").scalar_one() == 2
    database.close()


def test_a_failed_write_is_known_before_the_next_writer_has_its_turn(tmp_path, monkeypatch):
    database = open_database("", tmp_path)
    alone = []
    monkeypatch.setattr(
        database, "_note_store_fault", lambda _: alone.append(database._queue._taken)
    )
    with pytest.raises(StoreDown), database.write() as connection:
        connection.exec_driver_sql("no statement")
    database.close()
    assert alone == [True]


def test_a_store_that_takes_no_change_says_so_until_it_takes_one(tmp_path):
    database = open_database("", tmp_path)
    with database.write() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 3")
    with pytest.raises(StoreDown), database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE large AS SELECT zeroblob(100000) AS z")
    assert "SQLITE_FULL" in database.unwritable
    with database.write() as connection:
        connection.exec_driver_sql("PRAGMA user_version = 7")
    assert not database.unwritable
    database.close()
