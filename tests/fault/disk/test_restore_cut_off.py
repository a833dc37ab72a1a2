"""A restore that is killed at any step loses nothing; the next one knows what the first knew."""

import json
import os
import shutil
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from tests.gate import Gate

from gatelodge.app.backup import digest_of, take
from gatelodge.app.restore import RestoreRequest, RestoreResult, restore
from gatelodge.config.schema import Settings
from gatelodge.core.errors import Conflict, Invalid, LogForked, StoreDown

W = "/workspaces/main"
STEPS = ("os.rename", "os.rmdir", "os.mkdir", "shutil.", "sqlite3.connect")


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Path:
    """A data directory, and beside it a backup without keys that misses its last change."""
    place = tmp_path_factory.mktemp("house")
    gate = Gate(place / "data")
    with gate.running():
        take(Settings(data_dir=str(place / "data")), place / "backup", keys=False)
        gate.api("POST", f"{W}/members", {"email": "late@example.test"})
    (place / "data" / "secrets" / "main").mkdir(parents=True)
    (place / "data" / "secrets" / "main" / "crm").write_text("hush")
    return place


def restored(place: Path) -> RestoreResult:
    asked = RestoreRequest(source=place / "backup", by="local:0", replace=True)
    return restore(Settings(data_dir=str(place / "data")), asked)


def cut_off(place: Path, step: int) -> bool:
    """Restore in a process that is killed right before that step; False when there is none."""
    child = os.fork()
    if child == 0:
        left = [step]

        def hook(event: str, _args: object) -> None:
            if event.startswith(STEPS):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        restored(place)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_restore_that_is_killed_at_any_step_is_done_again_and_states_the_whole_loss(
    house: Path, tmp_path: Path
) -> None:
    signed = json.loads((house / "data" / "guard" / "signed.json").read_text())["gov"][0]
    step = 0
    while True:
        place = tmp_path / str(step)
        shutil.copytree(house, place)
        before = (place / "data" / "gatelodge.db").read_bytes()
        if not cut_off(place, step):
            break
        made = restored(place)
        assert made.signed["gov@1"] == signed, f"step {step}"
        assert (place / "data" / "secrets" / "main" / "crm").read_text() == "hush"
        aside = sorted(place.glob("data.lost-*"))
        assert before in [(each / "gatelodge.db").read_bytes() for each in aside], f"step {step}"
        assert not (place / "data.restoring").exists()
        shutil.rmtree(place)
        step += 1
    assert step > 8


@pytest.mark.slow
def test_a_restore_that_fails_leaves_everything_as_it_was(house: Path, monkeypatch) -> None:
    def full(*_given: object, **_named: object) -> None:
        raise OSError(28, "No space left on device")

    before = {each.name for each in house.iterdir()}
    for name in ("copyfile", "copytree"):
        with monkeypatch.context() as patch:
            patch.setattr(shutil, name, full)
            with pytest.raises(StoreDown, match="No space left"):
                restored(house)
        assert {each.name for each in house.iterdir()} == before
    with monkeypatch.context() as patch:
        patch.setattr(os.path, "ismount", lambda _: True)
        with pytest.raises(Conflict, match="mounted disk"):
            restored(house)
    assert {each.name for each in house.iterdir()} == before


@pytest.mark.slow
def test_a_restore_that_cannot_be_put_in_its_place_leaves_the_empty_one_there(
    house: Path, tmp_path: Path, monkeypatch
) -> None:
    shutil.copytree(house / "backup", tmp_path / "backup")
    shutil.copytree(house / "data" / "keys", tmp_path / "backup" / "keys")
    home, rename = tmp_path / "data", os.rename
    home.mkdir(mode=0o750)

    def refused(old: Path, new: Path) -> None:
        if Path(new) == home:
            raise OSError(5, "Input/output error")
        rename(old, new)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", refused)
        with pytest.raises(StoreDown, match="Input/output error"):
            restored(tmp_path)
    assert home.is_dir()
    assert home.stat().st_mode & 0o777 == 0o750
    assert not list(home.iterdir())
    restored(tmp_path)
    assert (home / "gatelodge.db").exists()


def test_a_guard_that_is_named_and_not_there_is_refused_before_anything_is_made(
    house: Path, tmp_path: Path
) -> None:
    source, home, missing = house / "backup", tmp_path / "data", tmp_path / "signed.json"
    asked = RestoreRequest(source=source, by="local:0", guard=missing)
    with pytest.raises(Invalid, match="is not there") as caught:
        restore(Settings(data_dir=str(home)), asked)
    assert "--guard" in caught.value.remedy
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("replace", [False, True])
def test_a_file_in_the_place_of_the_data_directory_is_refused_and_kept(
    house: Path, tmp_path: Path, replace: bool
) -> None:
    home = tmp_path / "data"
    home.write_text("kept")
    asked = RestoreRequest(source=house / "backup", by="local:0", replace=replace)
    with pytest.raises(Conflict, match="is no directory"):
        restore(Settings(data_dir=str(home)), asked)
    assert home.read_text() == "kept"


@pytest.mark.slow
def test_no_two_restores_ever_continue_one_history(house: Path, tmp_path: Path) -> None:
    shutil.copytree(house / "data" / "keys", tmp_path / "backup" / "keys")
    shutil.copytree(house / "backup", tmp_path / "backup", dirs_exist_ok=True)
    begun = []
    for name in ("one", "other"):  # neither can know of the other
        asked = RestoreRequest(source=tmp_path / "backup", by="local:0")
        home = tmp_path / name
        restore(Settings(data_dir=str(home)), asked)
        take(Settings(data_dir=str(home)), tmp_path / f"{name}-again", keys=True)
        manifest = json.loads((tmp_path / f"{name}-again" / "backup.json").read_text())
        begun.append(manifest["logs"]["gov"]["origin"])
        assert manifest["logs"]["gov@1"]["origin"] == "localhost/gov"
    assert begun[0] != begun[1]
    # A later restore of the same old backup is known not to be the second shard.
    shutil.copytree(tmp_path / "one", house.parent / "again" / "data", dirs_exist_ok=True)
    asked = RestoreRequest(source=tmp_path / "backup", by="local:0", replace=True)
    made = restore(Settings(data_dir=str(house.parent / "again" / "data")), asked)
    assert made.shard == 3


@pytest.mark.slow
def test_a_backup_into_which_somebody_wrote_without_a_key_takes_nobodys_place(
    house: Path, tmp_path: Path
) -> None:
    shutil.copytree(house, tmp_path / "house")
    backup = tmp_path / "house" / "backup"
    with closing(sqlite3.connect(backup / "gatelodge.db")) as connection, connection:
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        for (name,) in connection.execute(query).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE log SET root = zeroblob(32) WHERE id = 'gov'")
    manifest = json.loads((backup / "backup.json").read_text())
    manifest["digest"] = digest_of(backup / "gatelodge.db")
    (backup / "backup.json").write_text(json.dumps(manifest))
    before = {each.name for each in (tmp_path / "house").iterdir()}
    with pytest.raises(LogForked, match="not appended by this gate"):
        restored(tmp_path / "house")
    assert {each.name for each in (tmp_path / "house").iterdir()} == before
