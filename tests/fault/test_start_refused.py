"""What a gate does not start on: the exit code says what kind, the text says what to do."""

import contextlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess

import pytest
from tests.fault.scene.setting import admit, open_to_everyone, serve
from tests.gate import WAIT, Gate
from tests.upstreams.witnessing import Witness

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """A data directory with some calls in its log, stopped in order; copied, never started."""
    gate = Gate(tmp_path_factory.mktemp("used") / "data")
    with Witness() as upstream, gate.running():
        serve(gate, "up", upstream.url)
        open_to_everyone(gate, "up")
        client = gate.client(admit(gate, "ada"))
        for _ in range(20):
            assert client.call("up__t_0").status == 200
    return gate.directory


@pytest.fixture
def gate(used, tmp_path):
    shutil.copytree(used, tmp_path / "data")
    return Gate(tmp_path / "data")


def refused(gate, code, *told, **more):
    """Start it; it must not, for this reason. Nothing but an explanation is printed."""
    command = gate.arguments("up", "--port", "0")
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=WAIT, env=gate.env, check=False, **more
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    for each in told:
        assert each in done.stderr, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def is_sound(gate):
    found = gate.cli("audit", "fsck")
    assert found["sound"], found["findings"]


def test_every_fault_of_the_settings_is_told_at_once(tmp_path):
    settings = tmp_path / "gatelodge.toml"
    settings.write_text(
        '[listen]\nport = "many"\n[audit]\ndurability = "sometimes"\n[nothing]\nx = 1\n'
    )
    gate = Gate(tmp_path / "data")
    gate.env["GATELODGE_STORE__LEASE_MS"] = "5"
    refused(
        gate,
        2,
        "listen.port",
        "audit.durability",
        "nothing",
        "store.lease_ms",
        cwd=tmp_path,
    )
    assert not gate.directory.exists()


@pytest.mark.parametrize("given", [("--set", "listen.port=8999"), ("up", "--port", "8999")])
def test_one_port_for_both_faces_is_refused_and_founds_nothing(tmp_path, given):
    gate = Gate(tmp_path / "data", "listen.admin_port=8999")
    done = gate.command(*given, *(() if "up" in given else ("up",)))
    assert done.returncode == 2, done.stderr
    assert "listen.admin_port" in done.stderr
    assert "what to do" in done.stderr
    assert not gate.directory.exists()


def test_settings_that_are_no_toml_are_refused_with_their_line(tmp_path):
    (tmp_path / "gatelodge.toml").write_text("[listen]\nport = = 1\n")
    refused(Gate(tmp_path / "data"), 2, "gatelodge.toml", "line 2", cwd=tmp_path)


def test_a_taken_port_is_named_and_leaves_nothing_behind(gate):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        gate.sets = (f"listen.port={port}",)
        done = gate.command("up")
        assert done.returncode == 3, done.stderr
        assert f"port {port}" in done.stderr
        assert "what to do" in done.stderr
    gate.sets = ()
    is_sound(gate)


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    refused(Gate(tmp_path / "file" / "data"), 4, "data directory", "what to do", cwd=tmp_path)


@contextlib.contextmanager
def read_only(directory):
    """For root permissions are no obstacle, so the directory is mounted read-only over itself."""
    if os.geteuid() != 0:
        directory.chmod(0o500)
        yield
        directory.chmod(0o700)
        return
    subprocess.run(["mount", "--bind", directory, directory], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", directory], check=True)
        yield
    finally:
        subprocess.run(["umount", directory], check=True)


def test_a_directory_that_cannot_be_written_is_named(gate):
    with read_only(gate.directory):
        refused(gate, 4, "cannot write", str(gate.directory), "what to do")
    is_sound(gate)


def test_a_second_process_on_a_directory_is_refused_and_the_first_goes_on(gate):
    with gate.running():
        second = Gate(gate.directory)
        refused(second, 3, f"({gate.process.pid})", "what to do")
        assert gate.cli("member", "show", "ada@example.test")["status"] == "active"
    is_sound(gate)


def test_a_database_of_a_newer_version_is_left_alone(gate):
    database = gate.directory / "gatelodge.db"
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE schema_version SET version_num = '9999'")
    connection.close()
    refused(gate, 3, "9999", "newer")
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT version_num FROM schema_version").fetchone() == ("9999",)
    connection.close()


def test_a_log_without_its_keys_is_not_continued(gate, tmp_path):
    shutil.move(gate.directory / "keys", tmp_path / "kept")
    refused(gate, 5, "key", "what to do")
    assert not list((gate.directory / "keys").glob("*")), "keys were made beside an old log"
    shutil.rmtree(gate.directory / "keys", ignore_errors=True)
    shutil.move(tmp_path / "kept", gate.directory / "keys")
    is_sound(gate)


def test_a_log_with_the_keys_of_another_gate_is_not_continued(gate, tmp_path):
    other = Gate(tmp_path / "other")
    with other.running():
        pass
    shutil.move(gate.directory / "keys", tmp_path / "kept")
    shutil.copytree(other.directory / "keys", gate.directory / "keys")
    refused(gate, 5, "key", "what to do")
    shutil.rmtree(gate.directory / "keys")
    shutil.move(tmp_path / "kept", gate.directory / "keys")
    is_sound(gate)


def test_keys_that_others_can_read_are_refused(gate):
    (gate.directory / "keys" / "log").chmod(0o644)
    refused(gate, 4, "keys", "what to do")


def edited(gate, change):
    """Change the calls log as somebody would who owns the file: past the triggers."""
    with sqlite3.connect(gate.directory / "gatelodge.db") as connection:
        triggers = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall()
        for (name,) in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        query = "SELECT rowid, entries FROM bundle WHERE log LIKE 'calls:%' ORDER BY n DESC"
        row, entries = connection.execute(query).fetchone()
        connection.execute("UPDATE bundle SET entries = ? WHERE rowid = ?", (change(entries), row))
    connection.close()


@pytest.mark.guarantee("audit:tamper-evident")
def test_a_log_in_which_a_leaf_was_edited_is_not_continued(gate):
    edited(gate, lambda entries: entries.replace(b'"outcome":"ok"', b'"outcome":"no"', 1))
    refused(gate, 5, "calls:", "fsck")


@pytest.mark.guarantee("audit:tamper-evident")
def test_a_log_that_forgot_its_last_leaves_is_not_continued(gate):
    size = "UPDATE log SET size = size - 1 WHERE id LIKE 'calls:%'"
    edited(gate, lambda entries: entries)
    with sqlite3.connect(gate.directory / "gatelodge.db") as connection:
        connection.execute(size)
    connection.close()
    refused(gate, 5, "calls:")


@pytest.mark.guarantee("audit:tamper-evident")
def test_a_running_gate_names_the_leaf_that_was_edited_under_it(gate):
    with gate.running():
        edited(gate, lambda entries: entries.replace(b'"outcome":"ok"', b'"outcome":"no"', 1))
        done = gate.command("--json", "audit", "fsck")
        gate.kill()
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert not found["sound"]
    named = [each for each in found["findings"] if each.get("index") is not None]
    assert named, found["findings"]
    assert all(each["log"].startswith("calls:") for each in named)


@pytest.mark.guarantee("audit:tamper-evident")
def test_a_database_put_back_to_an_older_state_is_not_continued(gate, tmp_path):
    shutil.copy(gate.directory / "gatelodge.db", tmp_path / "older.db")
    with gate.running():
        gate.cli("member", "add", "bea@example.test")
    for path in gate.directory.glob("gatelodge.db*"):
        path.unlink()
    shutil.copy(tmp_path / "older.db", gate.directory / "gatelodge.db")
    refused(gate, 5, "were signed", "backup")
