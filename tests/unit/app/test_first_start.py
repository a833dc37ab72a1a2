"""What a first start says: in whose name logs are signed, what the demo lacks, a lost token."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.gate import Gate

from gatelodge.adapters.keys.disk import open_disk_keys
from gatelodge.adapters.keys.system import SystemClock, SystemIds
from gatelodge.app.announce import ReadyAnnouncement
from gatelodge.app.demonstration.servers import SERVERS, build_server
from gatelodge.app.first_start import OWNER, check_keys
from gatelodge.app.run import _log_name_warnings
from gatelodge.cli.up import TerminalAnnouncer
from gatelodge.config.schema import AuditSettings, Settings
from gatelodge.core.errors import KeyMismatch, UpstreamUnreachable


def test_a_first_start_says_in_whose_name_logs_are_signed_unless_that_was_chosen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (said,) = _log_name_warnings(Settings(), first=True)
    assert "localhost" in said
    assert "audit.origin=" in said
    TerminalAnnouncer().ready(
        ReadyAnnouncement(address="a", directory="d", token="t", seconds=0, warnings=(said,))
    )
    assert said in capsys.readouterr().out
    assert _log_name_warnings(Settings(), first=False) == ()
    assert (
        _log_name_warnings(Settings(audit=AuditSettings(origin="gate.example.com")), first=True)
        == ()
    )


class NothingIsBuilt:
    """What builds images where no index answers."""

    async def build(self, _wish: object, _report: object) -> object:
        raise UpstreamUnreachable("The package index does not answer.", remedy="Try again later.")


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_the_demo_cannot_build_is_said_and_what_stands_beside_the_gate_is_used() -> None:
    said = {each.alias: await build_server(NothingIsBuilt(), each, 210_000) for each in SERVERS}  # type: ignore[arg-type]
    assert all("does not answer (Try again later.)" in each.says for each in said.values())
    for alias, built in said.items():
        assert (built.transport is not None) == (alias in ("time", "git"))
        assert ("is left out" in built.says) == (built.transport is None)


@pytest.mark.slow
def test_a_first_start_that_comes_to_nothing_says_how_the_owner_gets_a_token(
    tmp_path: Path,
) -> None:
    gate = Gate(tmp_path / "data")
    (gate.directory / "run" / "admin.sock").mkdir(parents=True)  # founded, then not opened
    ended = gate.command("up", "--port", "0")
    assert ended.returncode == 2, ended.stderr
    assert "token of a first start was not shown" in ended.stderr
    assert "gatelodge token create --member owner@localhost" in ended.stderr
    assert "gtlp_" not in ended.stdout + ended.stderr


@pytest.mark.slow
def test_a_pepper_that_was_added_is_missed_when_it_is_taken_away_again(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "data")
    gate.cli("init")
    second = gate.directory / "keys" / "peppers" / "2"
    second.write_text("ab" * 32 + "\n")
    second.chmod(0o600)
    gate.cli("token", "create", "--member", OWNER)
    gate.cli("token", "create", "--member", OWNER)
    made = gate.cli("audit", "changes", "search", "--type", "key.enrolled")["items"]
    assert list(made[0]["subject"]["keys"]) == ["peppers/2"]
    assert len(made) == 2, "a key is enrolled once"
    second.unlink()
    ended = gate.command("up", "--port", "0")
    assert ended.returncode != 0
    assert "peppers/2" in ended.stderr


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_of_two_nodes_that_add_different_peppers_of_one_number_at_once_one_is_refused(
    tmp_path: Path,
) -> None:
    open_disk_keys(tmp_path / "a", create=True)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for node in ("a", "b"):
        second = tmp_path / node / "peppers" / "2"
        second.write_text(f"{node}0" * 32)
        second.chmod(0o600)
    first, late = (open_disk_keys(tmp_path / node, create=False) for node in ("a", "b"))
    house = House({"log": first.fingerprints()["log"]})
    # Between the other's look and its record.
    house.before_change = {"peppers/2": first.fingerprints()["peppers/2"]}
    with pytest.raises(KeyMismatch, match="peppers/2"):
        await check_keys(house, house, late, SystemClock(), SystemIds())
    await check_keys(house, house, first, SystemClock(), SystemIds())


class House:
    """A gov log with what was enrolled; another node records right before the first change."""

    def __init__(self, keys: dict[str, str]) -> None:
        self.facts = [keys]
        self.before_change: dict[str, str] = {}

    async def containing(self, *_given: object) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(body=json.dumps({"t": "key.enrolled", "subject": {"keys": each}}))
            for each in self.facts
        ]

    async def change(self, work: Callable) -> None:
        self.facts.append(self.before_change)
        self.before_change = {}
        work(SimpleNamespace(record=lambda fact: self.facts.append(fact.subject["keys"])))
