"""The demo's fortnight of history: what it answers, that it verifies, and what a kill leaves."""

import re
import shutil
import time
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.gate import Gate
from tests.scenario.demo_house import lived

from gatelodge.app.demonstration.moving import beside
from gatelodge.app.demonstration.story import DAYS
from gatelodge.config.schema import Settings

pytestmark = pytest.mark.slow

DAN, FATIMA = "dan@example.test", "fatima@example.test"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the history, in which no gate has run yet."""
    directory = tmp_path_factory.mktemp("demo") / "house"
    lived(directory)
    return directory


@pytest.fixture(scope="module")
def demo(house: Path) -> Iterator[Gate]:
    gate = Gate(house.with_name("data"))
    shutil.copytree(house, gate.directory)
    with gate.running():
        yield gate


def test_it_says_who_could_use_what_ten_days_ago_and_who_gained_and_lost(demo: Gate) -> None:
    who = allowed(demo, "10d")
    assert who >= {DAN, "alice@example.test", "bob@example.test", "ci"}
    assert FATIMA not in allowed(demo, "13d")
    (published,) = (each for each in changes_of(demo) if each["type"] == "guardrail.published")
    ends = max(each["at"] for each in changes_of(demo) if each["type"] == "agent.revoked")
    found = demo.cli("access", "diff", published["at"], ends)["differences"]
    assert {each["change"] for each in found if each["principal"] == DAN} == {"lost"}
    assert {each["change"] for each in found if each["principal"] == FATIMA} == {"gained"}
    lost = demo.cli("access", "history", DAN)["intervals"]
    why = {each["ended"]["why"] for each in lost if each["ended"]["kind"] == "member.revoked"}
    assert why == {"demo/HR-12"}


def test_it_holds_a_denial_a_drift_with_its_approval_and_a_revocation(demo: Gate) -> None:
    denied = demo.cli("audit", "search", "--outcome", "denied", "--limit", "100")["items"]
    reasons = {each["outcome"].partition(": ")[2] for each in denied}
    assert reasons >= {"guardrail", "tool_changed", "no_grant"}
    calls = demo.cli("audit", "search", "--type", "call.intent", "--limit", "500")["items"]
    assert len(calls) > 200
    assert len({each["who"] for each in calls}) >= 7
    changes = changes_of(demo)
    kinds = Counter(each["type"] for each in changes)
    assert kinds.keys() >= {"catalog.observed", "tool.reviewed", "member.suspended", "audit.read"}
    # git_diff was approved as it was at first, and then as it became.
    assert sum(each["subject"].get("tool") == "git_diff" for each in changes) >= 3
    (ended,) = (each for each in changes if each["type"] == "member.revoked")
    assert ended["by_name"] == "ravi@example.test"
    receipts = [each["subject"] for each in changes if each["type"] == "revocation.receipt"]
    assert any(each["kind"] == "member" and each["completed_ms"] <= 1000 for each in receipts)


def test_its_times_never_go_back_and_end_before_what_the_gate_does_itself(demo: Gate) -> None:
    demo.cli("member", "add", "now@example.test")
    times = [each["at"] for each in reversed(changes_of(demo))]
    assert times == sorted(times)
    begins = datetime.fromisoformat(times[0])
    assert timedelta(days=DAYS - 1) < datetime.now(UTC) - begins < timedelta(days=DAYS + 1)
    calls = demo.cli("audit", "search", "--limit", "500")["items"]
    assert calls.pop()["type"] == "log.opened"
    at = [each["at"] for each in calls]
    assert at == sorted(at, reverse=True)
    # A call's id holds its time too.
    names = [urlsafe_b64decode(each["call"][2:] + "==")[:6] for each in calls if each["call"]]
    assert names == sorted(names, reverse=True)


def test_its_logs_hold_and_a_call_of_it_is_proven(demo: Gate, tmp_path: Path) -> None:
    checked = demo.command("audit", "fsck")
    assert checked.returncode == 0, checked.stdout
    (call, *_) = demo.cli("audit", "search", "--member", DAN, "--outcome", "ok")["items"]
    assert demo.cli("access", "replay", call["call"])["verdict"] == "same"
    proof = tmp_path / "call.json"
    demo.cli("audit", "prove", call["call"], "-o", str(proof))
    key = tmp_path / "gate.key"
    key.write_text(demo.command("audit", "key").stdout)
    assert "VERIFIED" in demo.command("audit", "verify", str(proof), "--key", str(key)).stdout


def test_it_says_that_it_is_made_up(demo: Gate) -> None:
    assert "made up" in demo.cli("node", "status")["demo"]
    (workspace,) = demo.cli("workspace", "list")
    assert workspace["name"] == "Demo data, made up"
    reasons = {each["why"] for each in changes_of(demo)} - {""}
    assert reasons
    assert all(each.startswith("demo/") for each in reasons)


def test_no_server_of_it_is_ever_started(demo: Gate) -> None:
    servers = demo.cli("server", "list")
    assert {each["status"] for each in servers} == {"disabled"}
    assert demo.cli("instance", "list") == []


def test_a_kill_in_the_middle_leaves_nothing_of_it_and_the_next_start_begins_anew(
    tmp_path: Path,
) -> None:
    gate = Gate(tmp_path / "data")
    begun = Path(beside(Settings(data_dir=str(gate.directory))).data_dir)
    gate.spawn("--demo")
    ends = time.monotonic() + 30
    while not (begun / "gatelodge.db").exists():
        assert time.monotonic() < ends
        assert gate.process is not None
        assert gate.process.poll() is None
    gate.kill()
    with gate.running():  # without --demo: what is left of it is no house
        assert [each["email"] for each in gate.cli("member", "list")] == ["owner@localhost"]
        assert not begun.exists()


@pytest.mark.parametrize("moved", [(), ("guard", "keys")])
def test_a_kill_between_the_moves_is_finished_by_the_next_start(
    tmp_path: Path, house: Path, moved: tuple[str, ...]
) -> None:
    directory = tmp_path / "data"
    made = directory / "demo-made"
    shutil.copytree(house, made)
    for each in moved:
        (made / each).rename(directory / each)
    with Gate(directory).running() as gate:
        assert gate.cli("node", "status")["demo"]
        assert gate.command("audit", "fsck").returncode == 0
    assert not made.exists()


def test_a_gate_in_production_has_no_demo(tmp_path: Path) -> None:
    gate = Gate(
        tmp_path / "data", "hosting.production=true", GATELODGE_HOSTING__PLAIN_COMMANDS="sandbox"
    )
    done = gate.command("up", "--demo", "--port", "0")
    assert done.returncode != 0
    assert re.search("in production.*has no demo", done.stderr + done.stdout)
    assert not gate.directory.exists() or not any(gate.directory.iterdir())


def allowed(gate: Gate, moment: str) -> set[str]:
    """Who could use anything then."""
    cells = gate.cli("access", "at", moment)["cells"]
    return {each["principal"] for each in cells if each["allowed"]}


def changes_of(gate: Gate) -> list[dict[str, Any]]:
    """All changes, newest first."""
    return list(gate.cli("audit", "changes", "search", "--limit", "500")["items"])
