"""Tables as files: made beside the loop, and named for what they hold."""

import json
import threading
from types import SimpleNamespace

import anyio
import pytest
from msgspec import Struct

from gatelodge.web.console import rendering
from gatelodge.web.console.tables import FilePart, as_file

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


def lines(count):
    for at in range(count):
        yield Line(f"={at}" if at else "no", threading.get_ident())


@pytest.fixture
async def place():
    return SimpleNamespace(gate=SimpleNamespace(writing=anyio.CapacityLimiter(1)))


@pytest.mark.parametrize("form", ["csv", "json", "jsonl"])
async def test_a_file_is_made_and_written_beside_the_loop(place, form):
    made = (await as_file(place, lines(1_201), form, "calls")).content
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
async def test_a_table_without_rows_is_an_empty_file(place, form):
    made = (await as_file(place, (), form, "calls")).content
    assert made == {"csv": b"", "json": b"[]", "jsonl": b""}[form]


@pytest.mark.parametrize(("form", "part", "disposition", "link"), NAMES)
async def test_a_files_name_says_what_part_it_is(place, form, part, disposition, link):
    told = (await as_file(place, (), form, "calls", part)).headers
    assert told["content-disposition"] == disposition
    assert told.get("link", "") == (link and f'<{link}>; rel="next"')


async def test_a_page_that_grows_with_the_house_is_made_beside_the_loop(place, monkeypatch):
    monkeypatch.setattr(rendering, "page", lambda *_, **__: threading.get_ident())
    assert await rendering.page_beside("access.html", place, "access") != threading.get_ident()
