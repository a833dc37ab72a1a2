"""The search index after a restore, and after the node that fills it was killed: all is found."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from tests import postgres
from tests.fault.scene.nodes import two_nodes
from tests.gate import WAIT, Gate
from tests.integration.admin_house import W
from tests.ledgers import grow_calls_log
from tests.wire import until

from gatelodge.core.searching.places import CHUNK

ANN = "ann@example.test"
MANY = CHUNK * 2 + 500
"""Records in a log of which the index holds two chunks."""
LEAVES = CHUNK * 10
"""Of so many records the index takes long enough that its node can be killed in the middle."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def reach_of(gate: Gate, log: str) -> Any:
    states = gate.api("GET", f"{W}/audit/index", local=True)
    return next(each for each in states if each["log"] == log)


def until_filled(gate: Gate, log: str, leaves: int) -> None:
    least = leaves // CHUNK * CHUNK
    until(lambda: reach_of(gate, log)["indexed"] >= least, seconds=WAIT * 3)


def found_by(gate: Gate, *filters: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = gate.cli("audit", "search", *filters)["items"]
    return items


def house_with_a_long_log(gate: Gate) -> str:
    """Let Ann ask for something before very much else happens on the gate; its log."""
    with gate.prepared().running():
        log = f"calls:{gate.api('GET', W)['id']}"
        assert gate.client(gate.member(ANN)).tools() == []
    grow_calls_log(gate.directory, log, MANY)
    return log


def of_everybody_and_of_ann(gate: Gate, *shard: str) -> list[list[dict[str, Any]]]:
    """What three questions find for which the index has words."""
    questions = (("--type", "log.opened"), ("--member", ANN), ("--outcome", "ok", "--limit", "20"))
    return [found_by(gate, *asked, *shard) for asked in questions]


def test_a_restored_house_finds_what_it_found_before_and_makes_its_index_anew(tmp_path) -> None:
    gate = Gate(tmp_path / "data")
    log = house_with_a_long_log(gate)
    with gate.running():
        until_filled(gate, log, MANY)
        before = of_everybody_and_of_ann(gate)
        gate.cli("backup", str(tmp_path / "backup"))  # while it runs
    assert all(before)
    gate.cli("restore", str(tmp_path / "backup"), "--replace", "--yes")
    # First without an index, then by it.
    assert of_everybody_and_of_ann(gate, "--shard", "1") == before
    with gate.running():
        until_filled(gate, f"{log}@1", MANY)
        assert of_everybody_and_of_ann(gate, "--shard", "1") == before
        check_that_ann_is_told_of_both_shards(gate)


def check_that_ann_is_told_of_both_shards(gate: Gate) -> None:
    """What was recorded of her goes on behind the restore, the newest first."""
    gate.token = gate.cli("token", "create", "--member", ANN)["token"]
    assert gate.client(gate.token).tools() == []
    told = gate.api("GET", f"{W}/recorded/calls")
    assert [each["shard"] for each in told["items"]] == [0, 1]
    assert {each["method"] for each in told["items"]} == {"tools/list"}
    part = gate.api("GET", f"{W}/recorded/calls?limit=1")
    rest = gate.api("GET", f"{W}/recorded/calls?cursor={part['next']}")
    assert [*part["items"], *rest["items"]] == told["items"]
    changes = gate.api("GET", f"{W}/recorded/changes")["items"]
    assert (changes[0]["type"], changes[0]["shard"]) == ("audit.read", 0)
    assert (changes[-1]["type"], changes[-1]["shard"]) == ("member.added", 1)


def test_an_index_that_does_not_fit_its_log_is_made_anew_at_the_start(tmp_path) -> None:
    gate = Gate(tmp_path / "data")
    log = house_with_a_long_log(gate)
    with gate.running():
        until_filled(gate, log, MANY)
        before = of_everybody_and_of_ann(gate)
    # As when a file of another day was put back: its index was made of other leaves.
    with closing(sqlite3.connect(gate.directory / "gatelodge.db")) as database, database:
        database.execute("UPDATE index_log SET root = zeroblob(32)")
        database.execute("DELETE FROM index_posting")
    with gate.running():
        until(lambda: f"the index of {log} is of another history" in gate.stderr)
        until_filled(gate, log, MANY)
        assert of_everybody_and_of_ann(gate) == before


def test_what_a_killed_node_left_of_the_index_another_one_goes_on_with(
    tmp_path, postgres_url
) -> None:
    url = postgres.fresh_database(postgres_url)
    made = Gate(tmp_path / "first", f"store.url={url}")
    with made.running():
        log = f"calls:{made.api('GET', W)['id']}"
    grow_calls_log(made.directory, log, LEAVES, url)
    with two_nodes(tmp_path, url) as (first, second):
        # The first one leads. Whatever it filled until now, it begins anew.
        second.api("POST", f"{W}/audit/index/rebuild", {}, local=True)
        until(lambda: reach_of(second, log)["indexed"], seconds=WAIT)
        first.kill()
        left = reach_of(second, log)["indexed"]
        assert CHUNK <= left < LEAVES, left
        until_filled(second, log, LEAVES)
        assert "made anew" not in second.stderr, "it goes on with what is there"
        assert places_of(second, "request.answered") == [*range(LEAVES, 0, -1)]
        assert places_of(second, "log.opened") == [0]


def places_of(gate: Gate, kind: str) -> list[int]:
    """Where each record of this type is found, over all pages."""
    found: list[int] = []
    cursor = ""
    while True:
        asked = f"{W}/audit/records?type={kind}&limit=500&who=false&cursor={cursor}"
        page = gate.api("GET", asked, local=True)
        found += [each["index"] for each in page["items"]]
        cursor = page["next"]
        if not cursor:
            return found
