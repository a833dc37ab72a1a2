"""Tables as files: made beside the loop, and named for what they hold."""

import json
import threading
from types import SimpleNamespace

import anyio
import pytest
from msgspec import Struct

from gatelodge.web.console import rendering
from gatelodge.web.console.tables import FilePart, as_file, moment_word, table_file

pytestmark = pytest.mark.anyio
NEXT = FilePart(next="17@2", address="/console/w/main/recorded?cursor=17@2")
NAMES = (
    ("csv", FilePart(), 'attachment; filename="calls.csv"', ""),
    ("json", FilePart(), 'inline; filename="calls.json"', ""),
    ("jsonl", FilePart(begins="9"), 'attachment; filename="calls-last-part.jsonl"', ""),
    ("csv", NEXT, 'attachment; filename="calls-part-to-17@2.csv"', NEXT.address),
    ("json", NEXT, 'attachment; filename="calls-part-to-17@2.json"', NEXT.address),
)
"""A form, what part it is, and what the answer's head says of it, with the linked address."""


class Line(Struct):
    name: str
    made: int


CALLS = table_file(Line, "calls")


def lines(count):
    for at in range(count):
        yield Line(f"={at}" if at else "no", threading.get_ident())


@pytest.fixture
async def place():
    return SimpleNamespace(gate=SimpleNamespace(writing=anyio.CapacityLimiter(1)))


@pytest.mark.parametrize("form", ["csv", "json", "jsonl"])
async def test_a_file_is_made_and_written_beside_the_loop(place, form):
    made = (await as_file(place, lines(1_201), form, CALLS)).content
    assert made.count(b"\n") == {"csv": 1_201, "json": 0, "jsonl": 1_201}[form]
    if form == "csv":
        head, first, second = made.decode().split("\n")[:3]
        assert (head, second.partition(",")[0]) == ("name,made", "'=1")
        thread = int(first.partition(",")[2])
    elif form == "json":
        rows = json.loads(made)
        assert len(rows) == 1_201
        thread = rows[0]["made"]
    else:
        thread = json.loads(made.splitlines()[0])["made"]
    assert thread != threading.get_ident()


@pytest.mark.parametrize("form", ["csv", "json", "jsonl"])
async def test_a_table_without_rows_is_a_file_of_its_head_alone(place, form):
    made = (await as_file(place, (), form, CALLS)).content
    assert made == {"csv": b"name,made", "json": b"[]", "jsonl": b""}[form]


@pytest.mark.parametrize(("form", "part", "disposition", "link"), NAMES)
async def test_a_files_name_says_what_part_it_is(place, form, part, disposition, link):
    told = (await as_file(place, (), form, CALLS, part)).headers
    assert told["content-disposition"] == disposition
    assert told.get("link", "") == (link and f'<{link}>; rel="next"')


async def test_a_files_name_says_whom_and_when_in_signs_that_every_system_takes(place):
    of = table_file(Line, "tools", '../a"b\r\nX: y', "", moment_word("2026-03-01T12:30:00.000001Z"))
    told = (await as_file(place, (), "csv", of)).headers["content-disposition"]
    assert told == 'attachment; filename="tools-_a_b_X_y-2026-03-01T12-30-00Z.csv"'
    assert len(table_file(Line, "é" * 400, "x" * 400).name) < 200


async def test_a_page_that_grows_with_the_house_is_made_beside_the_loop(place, monkeypatch):
    monkeypatch.setattr(rendering, "page", lambda *_, **__: threading.get_ident())
    assert await rendering.page_beside("access.html", place, "access") != threading.get_ident()
