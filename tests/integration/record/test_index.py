"""The search index of a gate fills itself and is made anew when asked; rows are had as files."""

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.console.pages import HOME, Visitor
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


def looks_of(house: House) -> list[dict[str, Any]]:
    told = house.ok("GET", f"{W}/audit/changes?type=audit.read&limit=500")["items"]
    return [each["subject"] for each in told if each["subject"]["what"] == "records"]


@pytest.mark.slow
def test_a_file_that_leaves_records_out_says_so_and_links_to_them(house: House) -> None:
    auditor = Visitor(house)
    assert auditor.enter(house.tokens["auditor"]).status == 204
    # The newest of them tells of a person: a file that tells of nobody is no look.
    house.gate.client(house.tokens["member"]).call("nowhere__none")
    looked = len(looks_of(house))
    first = auditor.ask("GET", f"{HOME}/audit?form=csv&since=2026-01-01")
    rows = list(csv.DictReader(io.StringIO(first.body.decode())))
    assert len(rows) == 5_000
    begins = re.search(r"records-part-to-([0-9]+)\.csv", first.headers["content-disposition"])
    assert begins is not None
    following = re.fullmatch(r'<([^>]+)>; rel="next"', first.headers["link"])
    assert following is not None
    # It is one look, of as many records as it shows.
    looks = looks_of(house)
    assert (len(looks), looks[0]["records"]) == (looked + 1, 5_000)

    rest = auditor.ask("GET", following[1])
    assert 'filename="records-last-part.csv"' in rest.headers["content-disposition"]
    assert "link" not in rest.headers
    rows += csv.DictReader(io.StringIO(rest.body.decode()))
    places = [int(row["index"]) for row in rows]
    assert places == [*range(places[0], -1, -1)]
    # The page has a form for whoever follows no link in an answer's head.
    page = auditor.page("/audit")
    assert "A file holds 5,000 rows at most" in page
    typed = auditor.ask("GET", f"{HOME}/audit?since=2026-01-01&cursor={begins[1]}&form=csv")
    assert typed.body == rest.body


def test_a_file_of_all_records_that_match_is_called_no_part(house: House) -> None:
    auditor = Visitor(house)
    assert auditor.enter(house.tokens["auditor"]).status == 204
    whole = auditor.ask("GET", f"{HOME}/audit?form=jsonl&type=log.opened")
    assert 'filename="records.jsonl"' in whole.headers["content-disposition"]
    assert "link" not in whole.headers
    assert len(whole.body.splitlines()) == 1
