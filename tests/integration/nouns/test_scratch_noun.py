"""A made-up noun costs one file and a table: API, description, commands and `apply` follow."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from openapi_spec_validator import validate
from tests.integration.nouns import scratch

from gatelodge.adapters.store import rows
from gatelodge.cli import main
from gatelodge.cli.client import GateClient
from gatelodge.cli.lazy import LazyCommand
from gatelodge.cli.terminal import CommandRun, GlobalOptions
from gatelodge.config.schema import Settings
from gatelodge.core.errors import Invalid, NotFound
from gatelodge.flows.admin.declared import tables
from gatelodge.web.api import nouns, routes

B = "/workspaces/main/buoys"


@pytest.fixture(scope="module", autouse=True)
def _declared() -> Iterator[None]:
    """The noun stands where each other one does: in the rows, the routes, the table of commands."""
    added = nouns.routes(scratch.buoy)
    routes.describe_routes(added)
    later = LazyCommand("tests.integration.nouns.scratch:buoy", "Marks in the water.")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(rows.KEPT, scratch.Buoy, scratch.KEPT)
        patch.setattr(routes, "IN_WORKSPACE", (*routes.IN_WORKSPACE, *added))
        patch.setitem(main.root._later, "buoy", later)
        patch.setattr(tables, "TABLES", (*tables.TABLES, scratch.BuoyTable()))
        yield


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A data directory with the table of the noun."""
    place = tmp_path / "data"
    assert main.run(["--data-dir", str(place), "init"]) == 0
    with sqlite3.connect(place / "gatelodge.db") as database:
        database.execute(scratch.MIGRATION)
    database.close()
    capsys.readouterr()
    return place


@pytest.fixture
def gate(place: Path) -> Iterator[GateClient]:
    """The API over it, as its operator asks."""
    terminal = CommandRun(GlobalOptions(data_dir=str(place)))
    yield terminal.gate
    terminal.close()


def described() -> dict:
    app = routes.assembled(SimpleNamespace(settings=Settings(), ids=None), local=True)
    return app.openapi_schema.to_schema()


@pytest.mark.slow
def test_its_routes_stand_in_a_valid_description():
    document = json.loads(json.dumps(described()))
    # The others are valid already (`tests/unit/api`).
    own = {path: item for path, item in document["paths"].items() if "/buoys" in path}
    validate(document | {"paths": own})
    found = {
        (method, path.removeprefix("/api/v1/workspaces/{workspace}"), each["operationId"])
        for path, item in document["paths"].items()
        for method, each in item.items()
        if "buoys" in each.get("tags", ())
    }
    assert found == {
        ("get", "/buoys", "buoys_list"),
        ("post", "/buoys", "buoys_lay"),
        ("get", "/buoys/{name}", "buoys_show"),
        ("post", "/buoys/{name}/paint", "buoys_paint"),
        ("delete", "/buoys/{name}", "buoys_raise_buoy"),
    }
    schemas = document["components"]["schemas"]
    assert schemas["BuoyLay"]["required"] == ["name"]
    assert schemas["BuoyPaint"]["properties"]["colour"]["enum"] == ["red", "green"]


def test_it_is_made_seen_changed_and_removed_over_the_api(gate: GateClient):
    north = gate.post(B, {"name": "north"})
    south = gate.post(B, {"name": "south", "colour": "green", "beside": "north"})
    assert (north["colour"], south["beside"]) == ("red", "north")
    assert gate.get(B)["items"] == [north, south]
    assert gate.get(f"{B}/north") == gate.get(f"{B}/{north['id']}") == north
    assert gate.post(f"{B}/north/paint", {"colour": "green"})["colour"] == "green"
    for wrong in ({}, {"colour": "blue"}, {"colour": "red", "depth": 3}):
        with pytest.raises(Invalid):
            gate.post(f"{B}/north/paint", wrong)
    with pytest.raises(NotFound, match="no buoy is called 'west'"):
        gate.post(B, {"name": "east", "beside": "west"})
    tried = gate.delete(f"{B}/south", dry_run=True)
    assert tried["changes"] == [{"what": "buoy.raised", "subject": {"buoy": south["id"]}}]
    assert gate.delete(f"{B}/south") == {"raised": "south"}
    leaves = gate.get("/workspaces/main/audit/changes")["items"]
    kinds = [each["type"] for each in reversed(leaves) if each["type"].startswith("buoy.")]
    assert kinds == ["buoy.laid", "buoy.laid", "buoy.painted", "buoy.raised"]


@pytest.mark.slow
def test_its_commands_are_there_and_say_what_they_did(
    place: Path, capsys: pytest.CaptureFixture[str]
):
    def said(*words: str) -> str:
        """What a command writes; the last is its exit code where that is no success."""
        ended = main.run(["--data-dir", str(place), *words])
        told = capsys.readouterr()
        return told.out if ended == 0 else f"{told.err}{ended}"

    assert "buoy        Marks in the water." in said("--help")
    assert "paint" in said("buoy", "--help")
    assert "[red|green]" in said("buoy", "lay", "--help")
    assert said("buoy", "list") == "No buoys yet. Lay one: gatelodge buoy lay north\n"
    assert said("buoy", "lay", "north", "--colour", "green") == "north is laid, green.\n"
    assert "there is a buoy 'north' already" in said("buoy", "lay", "north")
    assert said("buoy", "lay", "south", "--beside", "north") == "south is laid, red.\n"
    assert said("buoy", "paint", "south", "green") == "south is green now.\n"
    head, *lines = said("buoy", "list").splitlines()
    assert head.split() == ["NAME", "COLOUR", "BESIDE", "ID"]
    assert [line.split()[:3] for line in lines] == [
        ["north", "green", "-"],
        ["south", "green", "north"],
    ]
    assert json.loads(said("buoy", "show", "south", "--json"))["beside"] == "north"
    assert "buoy.raised" in said("buoy", "raise", "south", "--dry-run")
    assert "Say --yes, or look first: gatelodge buoy list" in said("buoy", "raise", "south")
    assert said("buoy", "raise", "south", "--yes") == "south is gone.\n"
    assert "no buoy is called 'south'" in said("buoy", "show", "south")


def test_its_rows_are_made_by_a_file_and_exported_as_one(gate: GateClient):
    def made(*tables: str, **more: bool) -> list[str]:
        text = 'workspace = "main"\n' + "\n".join(f"[[buoys]]\n{each}" for each in tables)
        return gate.post("/workspaces/main/apply", {"text": text, **more})["lines"]

    both = ('name = "north"', 'name = "south"\ncolour = "green"')
    assert made(*both) == ["+ buoy north", "+ buoy south"]
    assert made(*both) == []
    # Rows of one transaction are of one moment: their ids, which are random, order them.
    colours = {each["name"]: each["colour"] for each in gate.get(B)["items"]}
    assert colours == {"north": "red", "south": "green"}
    told = gate.get("/workspaces/main/export")["text"]
    assert '{ name = "north" },\n    { name = "south", colour = "green" },\n]' in told
    assert gate.post("/workspaces/main/apply", {"text": told})["lines"] == []
    assert made('name = "south"', prune=True) == ["~ buoy south is red", "- buoy north"]
    with pytest.raises(Invalid, match=r"buoys\[0\] \(line 2\): colour: 'blue' is not one of red"):
        made('name = "south"\ncolour = "blue"')
