"""The trust card of a package: made before anything of it runs, approved by what was shown."""

from collections.abc import Iterator

import pytest
from tests.gate import Gate
from tests.integration.packages.wheels import NEEDS, publish

pytestmark = pytest.mark.slow
TINY = "pypi:mcp-server-tiny@1.0"


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    place = tmp_path_factory.mktemp("wheels") / "place"
    publish(place, NEEDS, "1.0")
    publish(place, "mcp-server-tiny", "1.0", f"{NEEDS}==1.0")
    directory = tmp_path_factory.mktemp("cards") / "data"
    sets = ("trust.require_card=true",)
    with Gate(directory, *sets, UV_FIND_LINKS=str(place), UV_OFFLINE="1").running() as made:
        yield made


@pytest.fixture(scope="module")
def refused(gate: Gate) -> str:
    """What is said of a package that was added, and whose card nobody approved."""
    done = gate.command("server", "add", TINY)
    assert done.returncode != 0
    return done.stdout + done.stderr


def test_a_card_is_shown_before_anything_of_a_package_starts(gate: Gate, refused: str) -> None:
    assert "Grade ?" in refused
    assert "What it needs is locked" in refused
    assert refused.index("Grade ?") < refused.index("nobody approved a card of it")
    assert gate.cli("instance", "list") == []
    (card,) = gate.cli("card", "list")
    assert (card["status"], card["servers"]) == ("made", ["tiny"])


def test_no_way_starts_an_image_without_an_approved_card(gate: Gate, refused: str) -> None:
    observed = gate.command("server", "observe", "tiny")
    assert (observed.returncode != 0, "nobody approved" in observed.stderr) == (True, True)
    shown = gate.cli("server", "show", "tiny")
    gate.cli("server", "approve", "tiny", "--digest", shown["digest"])
    again = gate.command("server", "restart", "tiny")
    assert "ready" not in again.stdout
    assert gate.cli("instance", "list") == []


def test_what_is_approved_is_the_evidence_that_was_shown(gate: Gate, refused: str) -> None:
    (card,) = gate.cli("card", "list")
    other = gate.command("card", "approve", card["id"], "--evidence", "0" * 64)
    assert (other.returncode != 0, "not what was shown" in other.stderr) == (True, True)
    before = gate.cli("card", "explain", card["id"])
    done = gate.cli("card", "approve", card["id"], "--evidence", card["evidence"])
    assert done["status"] == "approved"
    after = gate.cli("card", "explain", card["id"])
    assert (after["score"], after["evidence"]) == (before["score"], before["evidence"])
    seen = gate.cli("server", "observe", "tiny")
    assert [each["name"] for each in seen["tools"]] == ["echo", "count"]


def test_the_log_names_the_evidence_of_each_decision(gate: Gate, refused: str) -> None:
    (card,) = gate.cli("card", "list")
    gate.cli("server", "approve", "tiny", "--yes")
    for kind in ("card.made", "card.approved"):
        told = gate.command("--json", "audit", "changes", "search", "--type", kind).stdout
        assert f'"evidence_sha256": "{card["evidence"]}"' in told, (kind, told)


def test_a_rejected_card_stops_its_image_whatever_was_approved(gate: Gate, refused: str) -> None:
    (card,) = gate.cli("card", "list")
    newer = gate.cli("catalog", "card", TINY)["card"]
    assert gate.cli("card", "reject", newer["id"])["status"] == "rejected"
    observed = gate.command("server", "observe", "tiny")
    gone = "its card was rejected" in observed.stderr
    running = [each["server"] for each in gate.cli("instance", "list")]
    # An instance that runs goes on until it ends: what is refused is the next start.
    assert gone or "tiny" in running
    late = gate.command("card", "approve", newer["id"], "--evidence", newer["evidence"])
    assert "was rejected" in late.stderr
    assert gate.cli("card", "show", card["id"])["status"] == "approved"


def test_a_pipeline_fails_below_a_grade(gate: Gate, refused: str) -> None:
    done = gate.command("catalog", "card", TINY, "--fail-below", "A")
    assert (done.returncode != 0, "its grade is" in done.stderr) == (True, True)


def test_tools_of_an_earlier_definition_are_no_evidence_about_a_later_one(
    gate: Gate, refused: str
) -> None:
    before = gate.cli("catalog", "card", TINY)["evidence"]
    assert (before["start"]["started"], before["interface"]["tools"]) == (True, 2)
    gate.cli("server", "edit", "tiny", "--hide-capability", "roots")
    after = gate.cli("catalog", "card", TINY)["evidence"]
    assert not after.get("start")
    assert not after.get("interface")
