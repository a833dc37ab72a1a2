"""The search index of a gate fills itself and is made anew when asked; rows are streamed."""

import csv
import io
import json
from collections.abc import Iterator

import pytest
from tests.gate import Gate
from tests.integration.admin_house import House, W
from tests.ledgers import grow_calls_log
from tests.wire import until


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gate that finds a long log of calls when it starts."""
    gate = Gate(tmp_path_factory.mktemp("index") / "data").prepared()
    with gate.running():
        workspace = gate.api("GET", W)["id"]
    grow_calls_log(gate.directory, f"calls:{workspace}", 5_000)
    with gate.running():
        yield House(gate)


@pytest.mark.slow
def test_a_gate_fills_its_index_and_makes_it_anew(house: House) -> None:
    def filled() -> bool:
        (state,) = house.gate.cli("audit", "index")
        return bool(state["indexed"] >= 4_096 and not state["filling"])

    until(filled)
    (rebuilt,) = house.gate.cli("audit", "index", "--rebuild")
    assert (rebuilt["indexed"], rebuilt["filling"]) == (0, True)
    found = house.gate.cli("audit", "search", "--type", "log.opened")
    assert len(found["items"]) == 1
    until(filled)
    assert house.gate.cli("audit", "search", "--type", "log.opened")["items"] == found["items"]


def test_only_the_operator_throws_the_index_away(house: House) -> None:
    refused = house.ask("POST", f"{W}/audit/index/rebuild", {}, by="owner")
    assert refused.status == 403
    assert house.ok("GET", f"{W}/audit/index", by="auditor")


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_more_records_than_a_page_are_written_as_they_are_found(house: House, form: str) -> None:
    asked = ("audit", "search", "--type", "request.answered", "--format", form)
    told = house.gate.command(*asked, "--limit", "1200").stdout
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(told)))
    else:
        rows = [json.loads(line) for line in told.splitlines()]
    assert len(rows) == 1_200
    places = [int(row["index"]) for row in rows]
    assert places == sorted(set(places), reverse=True)


@pytest.mark.slow
def test_a_long_table_is_asked_for_with_a_format(house: House) -> None:
    done = house.gate.command("audit", "search", "--limit", "501")
    assert done.returncode == 2
    assert "--format" in done.stderr
