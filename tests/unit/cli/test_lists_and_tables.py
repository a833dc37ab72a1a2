"""What commands print of what a gate answers: columns, warnings, CSV, and who is left out."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from gatelodge.cli import main, output
from gatelodge.cli.client import ApiRequest, ApiResponse, GateClient
from gatelodge.cli.house.doctor import _check_offer
from gatelodge.cli.terminal import CommandRun

HERE = "/api/v1/workspaces/main"
POISONED = {
    "id": "tol_1",
    "server": "crm",
    "name": "find",
    "shown": "crm__find",
    "standing": "changed",
    "digest": "aa",
    "approved": "bb",
    "reviewed": False,
    "read_only": False,
    "destructive": True,
    "open_world": True,
    "hints": {"read_only": True},
    "unfit": ["inputSchema: is null"],
}
SILENT = {**POISONED, "name": "count", "digest": "cc", "hints": {}, "unfit": []}
DIFF = {
    "changes": [
        {
            "name": each["name"],
            "standing": "changed",
            "digest": each["digest"],
            "approved_definition": None,
            "definition": {"name": each["name"]},
        }
        for each in (POISONED, SILENT)
    ],
    "instructions": {"standing": "none", "digest": ""},
}
MEMBERS = [
    {"email": f"{status}@x.test", "name": "", "role": "member", "status": status, "id": status}
    for status in ("active", "suspended", "revoked")
]


class Scripted:
    """A way on which each path has its answer; remembers what it was sent."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.sent: list[tuple[str, str, Any]] = []

    def send(self, asked: ApiRequest) -> ApiResponse:
        path, _, _ = asked.path.partition("?")
        body = msgspec.json.decode(asked.body) if asked.body else None
        self.sent.append((asked.method, asked.path.removeprefix(HERE), body))
        return ApiResponse(200, msgspec.json.encode(self.answers[path.removeprefix(HERE)]))

    def close(self) -> None:
        return


Script = Callable[[dict[str, Any]], Scripted]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    def answering(answers: dict[str, Any]) -> Scripted:
        way = Scripted(answers)
        monkeypatch.setattr(CommandRun, "gate", GateClient(way, "main"))
        return way

    return answering


def page(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"items": items, "next": ""}


def row_of(text: str, first: str) -> dict[str, str]:
    """The cells of the row that begins so, by the head over them."""
    head, *rows = text.splitlines()
    row = next(each for each in rows if each.startswith(first))
    starts = [
        at for at, each in enumerate(head) if each != " " and (at < 2 or head[at - 2 : at] == "  ")
    ]
    cells = [slice(a, b) for a, b in zip(starts, [*starts[1:], None], strict=True)]
    return {head[cell].strip(): row[cell].strip() for cell in cells}


def test_a_list_of_servers_counts_the_tools_that_are_not_as_they_were_approved(
    script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    script({"/servers": page([{"alias": "crm", "tools": 9, "changed": 2, "new": 1}])})
    assert main.run(["server", "list"]) == output.OK
    row = row_of(capsys.readouterr().out, "crm")
    assert (row["TOOLS"], row["CHANGED"], row["NEW"]) == ("9", "2", "1")


def test_the_doctor_notes_each_way_in_which_an_offer_is_not_as_it_was_approved() -> None:
    well = {
        "alias": "crm",
        "status": "approved",
        "changed": 0,
        "instructions": "approved",
        "unfit": 0,
    }
    assert list(_check_offer("main", well)) == []
    for change in ({"changed": 2}, {"instructions": "changed"}, {"unfit": 1}):
        (found,) = _check_offer("main", {**well, **change})
        assert found.state == "note"
        assert "crm" in found.remedy
        assert list(_check_offer("main", {**well, **change, "status": "proposed"})) == []


def test_whoever_approves_a_server_is_told_which_tools_clients_would_not_see(
    script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    described = {"alias": "crm", "status": "proposed", "digest": "dd", "tools": 2}
    way = script(
        {"/servers/crm": described, "/servers/crm/tools/diff": DIFF, "/tools": page([POISONED])}
    )
    assert main.run(["server", "approve", "crm", "--dry-run"]) == output.OK
    told = capsys.readouterr().out
    assert "not listed to some clients: find: inputSchema: is null" in told
    assert "count" not in told.partition("not listed")[2]
    assert all(method == "GET" for method, _, _ in way.sent)


def test_a_list_of_tools_shows_what_their_server_says_of_them_as_hints(
    script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    script({"/tools": page([POISONED, SILENT])})
    assert main.run(["tool", "list"]) == output.OK
    told = capsys.readouterr().out
    row = row_of(told, "crm     find")
    assert (row["HINTS"], row["READ ONLY"]) == ("read_only=yes", "no")
    assert row["UNFIT"] == "inputSchema: is null"


def test_one_command_takes_the_hints_of_all_tools_for_their_review(
    script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    way = script(
        {
            "/tools": page([POISONED, SILENT]),
            "/servers/crm/tools/review": {"reviewed": [POISONED]},
        }
    )
    assert main.run(["tool", "review", "crm", "*", "--hints", "--yes"]) == output.OK
    assert "1 tool left out: its server says nothing of it." in capsys.readouterr().out
    _, _, body = way.sent[-1]
    finding = {"digest": "aa", "read_only": True, "destructive": False, "open_world": True}
    assert body == {"tools": {"find": finding}}


def test_what_an_admin_says_counts_more_than_a_hint(script: Script) -> None:
    way = script(
        {
            "/tools": page([POISONED]),
            "/servers/crm/tools/review": {"reviewed": [POISONED]},
        }
    )
    said = ["--hints", "--not-read-only", "--destructive", "--yes"]
    assert main.run(["tool", "review", "crm", "find", *said]) == output.OK
    finding = way.sent[-1][2]["tools"]["find"]
    assert (finding["read_only"], finding["destructive"]) == (False, True)


@pytest.mark.parametrize(
    ("noun", "rows"),
    [
        ("member", MEMBERS),
        ("agent", [{**each, "owner": "o@x.test"} for each in MEMBERS]),
        (
            "token",
            [
                {**each, "status": s}
                for each, s in zip(MEMBERS, ("active", "revoked", "expired"), strict=True)
            ],
        ),
    ],
)
def test_who_left_and_what_ended_is_listed_only_when_asked_for(
    noun: str, rows: list[dict[str, Any]], script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    script({f"/{noun}s": page(rows)})
    ended = {"revoked", "expired"}
    assert main.run([noun, "list", "--json"]) == output.OK
    shown = json.loads(capsys.readouterr().out)
    assert shown == [each for each in rows if each["status"] not in ended]
    assert main.run([noun, "list", "--all", "--json"]) == output.OK
    assert json.loads(capsys.readouterr().out) == rows


def test_a_renamed_member_keeps_their_address(
    script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    way = script({"/members/ada@x.test/rename": {"email": "ada@x.test", "name": "Ada L."}})
    assert main.run(["member", "rename", "ada@x.test", "Ada L."]) == output.OK
    assert way.sent == [("POST", "/members/ada@x.test/rename", {"name": "Ada L."})]
    assert "ada@x.test is called Ada L." in capsys.readouterr().out


def test_a_matrix_is_a_spreadsheet_of_what_is_allowed_or_of_all(
    script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [
        {
            "principal": who,
            "tool": "crm/find",
            "decision": "allow" if allowed else "deny",
            "allowed": allowed,
            "conditional": False,
            "rule": "grn_1",
        }
        for who, allowed in (("=ada@x.test", True), ("bob@x.test", False))
    ]
    script(
        {
            "/access/matrix": {
                "gov": 7,
                "at": "2026-11-30T12:00:00Z",
                "kind": "tools",
                "cells": cells,
            }
        }
    )
    assert main.run(["access", "matrix", "--csv"]) == output.OK
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["principal"] for row in rows] == ["'=ada@x.test"]  # which no spreadsheet runs
    assert main.run(["access", "matrix", "--csv", "--all"]) == output.OK
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["decision"] for row in rows] == ["allow", "deny"]


def test_a_search_is_a_spreadsheet_with_a_row_for_each_record(
    script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    record = {"index": 4, "type": "call.intent", "who": "ada@x.test", "tool": "a,b\nc", "call": "x"}
    script({"/audit/records": page([record])})
    assert main.run(["audit", "search", "--csv"]) == output.OK
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["index"], row["who"], row["call"]) == ("4", "ada@x.test", "x")
    assert row["tool"].startswith("a,b")
