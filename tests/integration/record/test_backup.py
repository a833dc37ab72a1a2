"""A house is backed up while it runs, lost, restored, and goes on without a fork in its history."""

import json
import shutil
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from tests.gate import Gate

from gatelodge.adapters.store.database import open_database
from gatelodge.adapters.store.migrate import SCRIPTS, VERSION_TABLE
from gatelodge.core.records.verify import verify_proof

W = "/workspaces/main"


def told(gate: Gate, *words: str, code: int = 0) -> str:
    ran = gate.command(*words)
    assert ran.returncode == code, (words, ran.stdout, ran.stderr)
    return ran.stdout or ran.stderr


def _records_of_shard(gate: Gate, *shard: str) -> list[dict]:
    return json.loads(told(gate, "--json", "audit", "search", *shard))["items"]


def _check_earlier_shard(gate: Gate, call: str) -> None:
    """Its records are found, and the look says of which log."""
    assert _records_of_shard(gate, "--shard", "1")[-1]["call"] == call
    words = ("audit", "changes", "search", "--type", "audit.read", "--limit", "1")
    read = json.loads(told(gate, "--json", *words))["items"][0]["subject"]
    assert read["log"].endswith("@1")


@pytest.mark.slow
def test_a_house_goes_on_from_a_backup_under_a_new_shard_that_states_the_loss(
    tmp_path: Path,
) -> None:
    gate = Gate(tmp_path / "data")
    with gate.running():
        gate.api("POST", f"{W}/members", {"email": "ann@example.test"})
        ann = gate.api("POST", f"{W}/tokens", {"member": "ann@example.test"})
        assert gate.client(ann["token"]).tools() == []
        call = _records_of_shard(gate)[-1]["call"]
        told(gate, "backup", str(tmp_path / "backup"))  # while it runs
        # What comes now is lost: a token is revoked, a member comes.
        gate.api("POST", f"{W}/tokens/{ann['id']}/revoke", {})
        gate.api("POST", f"{W}/members", {"email": "late@example.test"})
        key = gate.api("GET", f"{W}/audit/key")["key"]
    lost = json.loads(told(gate, "--json", "node", "status"))["logs"]
    sizes = {each["log"]: each["size"] for each in lost}
    assert "is there already" in told(gate, "restore", str(tmp_path / "backup"), "--yes", code=3)

    words = ("restore", str(tmp_path / "backup"), "--replace", "--yes", "--why", "OPS-1")
    made = json.loads(told(gate, "--json", *words))
    assert made["shard"] == 2
    _check_earlier_shard(gate, call)  # before the new one has a record
    assert made["signed"]["gov@1"] == sizes["gov"] > made["logs"]["gov@1"]
    assert (Path(made["moved_to"]) / "gatelodge.db").exists()

    gate.start()
    try:
        # Whoever had a token has none, whether it was revoked before or after the backup.
        assert gate.client(ann["token"]).request("tools/list", {}).status == 401
        told(gate, "token", "create", "--member", "ann@example.test")
        newest = json.loads(told(gate, "--json", "audit", "changes", "search", "--limit", "500"))
        first = newest["items"][-1]
        assert (first["index"], first["type"], first["why"]) == (0, "log.restored", "OPS-1")
        assert first["subject"]["signed"]["gov@1"].split()[0] == str(sizes["gov"])
        assert first["subject"]["restored"]["gov@1"].split()[0] == str(made["logs"]["gov@1"])
        # The past is read and proven as before, under the same key.
        past = json.loads(
            told(
                gate,
                "--json",
                "audit",
                "changes",
                "search",
                "--shard",
                "1",
                "--about",
                "ann@example.test",
            )
        )
        index = str(past["items"][-1]["index"])
        proof = tmp_path / "proof.json"
        told(gate, "audit", "changes", "prove", index, "--shard", "1", "-o", str(proof))
        report = verify_proof(proof.read_bytes(), [key])
        assert (report.verdict, report.log) == ("VERIFIED", "localhost/gov")
        told(gate, "audit", "changes", "prove", "0", "-o", str(tmp_path / "now.json"))
        report = verify_proof((tmp_path / "now.json").read_bytes(), [key])
        assert (report.verdict, report.log.partition("-")[0]) == ("VERIFIED", "localhost/gov@2")
        assert "Sound" in told(gate, "audit", "fsck")
    finally:
        gate.stop()


@pytest.mark.slow
def test_a_database_that_was_put_back_by_hand_goes_on_the_same_way(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "data")
    with gate.running():
        pass
    shutil.copy(tmp_path / "data" / "gatelodge.db", tmp_path / "old.db")
    with gate.running():
        gate.api("POST", f"{W}/members", {"email": "ann@example.test"})
    shutil.copy(tmp_path / "old.db", tmp_path / "data" / "gatelodge.db")
    assert "were signed" in told(gate, "member", "list", code=5)
    told(gate, "backup", str(tmp_path / "backup"), "--as-it-is")
    told(gate, "restore", str(tmp_path / "backup"), "--replace", "--yes")
    first = json.loads(told(gate, "--json", "audit", "changes", "show", "0"))
    restored, signed = (first["subject"][each]["gov@1"] for each in ("restored", "signed"))
    assert int(signed.split()[0]) > int(restored.split()[0])
    assert "Sound" in told(gate, "audit", "fsck")


@pytest.mark.slow
def test_what_is_no_whole_backup_is_not_restored(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "data")
    with gate.running():
        pass
    told(gate, "backup", str(tmp_path / "backup"), "--without-keys")  # nobody runs
    elsewhere = Gate(tmp_path / "elsewhere")
    assert "holds no keys" in told(elsewhere, "restore", str(tmp_path / "backup"), "--yes", code=5)
    shutil.copytree(tmp_path / "data" / "keys", tmp_path / "backup" / "keys")
    assert "not empty" in told(gate, "backup", str(tmp_path / "backup"), code=3)
    with (tmp_path / "backup" / "gatelodge.db").open("r+b") as file:
        file.seek(8192)
        file.write(b"x")
    assert "not whole" in told(elsewhere, "restore", str(tmp_path / "backup"), "--yes", code=2)
    assert "is no backup" in told(elsewhere, "restore", str(tmp_path), "--yes", code=2)
    assert not (tmp_path / "elsewhere").exists() or not any((tmp_path / "elsewhere").iterdir())


@pytest.mark.slow
def test_a_command_that_reads_changes_no_schema_and_a_start_copies_it_first(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "data")
    settings = Config(attributes={"connection": None, "version_table": VERSION_TABLE})
    settings.set_main_option("script_location", str(SCRIPTS))
    database = open_database("", gate.directory)
    with database.write() as connection:
        settings.attributes["connection"] = connection
        command.upgrade(settings, "0001")
    database.close()
    assert "of an older version" in told(gate, "member", "list", code=3)
    assert not list(gate.directory.glob("*.schema-*"))
    with gate.running():
        assert (gate.directory / "gatelodge.db.schema-0001").exists()
