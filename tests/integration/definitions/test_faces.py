"""What one face refuses of a server's definition every face refuses, and nobody reaches it."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.gate import Gate
from tests.integration.definitions.table import (
    REFUSED,
    TABLE,
    WEB,
    entry,
    is_mixed,
    said,
    tables,
    transport,
)
from tests.upstreams.pools import make_pool, server

from gatelodge.core.catalog.server import Transport
from gatelodge.core.errors import UpstreamUnreachable

pytestmark = pytest.mark.slow

W = "/workspaces/main"
INVALID = "error.refused.invalid"

NO_ROWS = [(place, each) for place, each in REFUSED if not is_mixed(each)]

each_definition = pytest.mark.parametrize(
    ("place", "definition"), TABLE, ids=[said(each) for _, each in TABLE]
)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A gate with one server over HTTP, which the edits begin with."""
    with Gate(tmp_path_factory.mktemp("faces") / "data").running() as gate:
        gate.api(
            "POST", f"{W}/servers", {"alias": "web", "transport": {"type": "http", "url": WEB}}
        )
        yield gate


def refusal(asked: tuple[int, Any]) -> str:
    """What it was refused for as invalid, "" when it was taken."""
    status, told = asked
    assert status < 300 or (status == 400 and told["code"] == INVALID), told
    return "" if status < 300 else f"{told['detail']} {told['remedy']}"


@each_definition
def test_it_is_added_edited_and_applied_or_it_is_refused_for_the_same_place(
    gate: Gate, place: str, definition: dict[str, Any]
) -> None:
    edit = refusal(gate.ask("POST", f"{W}/servers/web/edit?dry_run=true", definition, local=True))
    file = {"text": tables("filed", definition)}
    applied = refusal(gate.ask("POST", f"{W}/apply?dry_run=true", file, local=True))
    faces = [edit, applied]
    if not is_mixed(definition):
        body = {"alias": "added", "transport": transport(definition)}
        faces.append(refusal(gate.ask("POST", f"{W}/servers", body, local=True)))
        if not faces[-1]:
            gate.api("POST", f"{W}/servers/added/remove", {"why": ""}, local=True)
    assert [bool(each) for each in faces] == [bool(place)] * len(faces), faces
    assert all(place in each for each in faces)
    assert "pw" not in edit + applied


def test_a_clients_file_is_taken_and_refused_entry_by_entry_in_the_same_way(
    gate: Gate, tmp_path: Path
) -> None:
    known = [(place, each) for place, each in TABLE if "allow_private" not in each]
    file = tmp_path / "mcp.json"
    entries = {f"n{number}": entry(each) for number, (_, each) in enumerate(known)}
    file.write_text(json.dumps({"mcpServers": entries}))
    for more, taken in (("--dry-run",), "would be proposed"), ((), "proposed"):
        done = gate.command("--json", "server", "import", str(file), "--run-as", "gateway", *more)
        rows = json.loads(done.stdout)
        expected = ["refused" if place else taken for place, _ in known]
        assert [row["outcome"] for row in rows] == expected, done.stdout
        for (place, _), row in zip(known, rows, strict=True):
            assert place in row["why"]
    aliases = [row["alias"] for row in gate.api("GET", f"{W}/servers?limit=200")["items"]]
    assert aliases == ["web", *(f"n{n}" for n, (place, _) in enumerate(known) if not place)]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--url", WEB, "--header", "accept-encoding=identity"), "accept-encoding"),
        (("--url", WEB, "--header", "X=\u2603"), "no header may"),
        (("--url", "https://b\u00fccher.example/mcp"), "https://xn--bcher-kva.example"),
        (("--url", "https://web.example/caf\u00e9"), "%C3%A9"),
        (("--url", WEB, "--env", "A=1"), "env: only for"),
        (("--url", WEB, "--", "/bin/cat"), "not both"),
        (("--header", "A=1", "--", "/bin/cat"), "headers: only for"),
        (("--", "./server.py"), "whole path"),
        ((), "--url URL"),
    ],
)
def test_the_command_line_says_what_to_write_instead_and_leaves_nothing_behind(
    gate: Gate, given: tuple[str, ...], said: str
) -> None:
    done = gate.command("server", "add", "odd", *given)
    assert done.returncode == 2, done
    assert said.removeprefix("https://") in done.stderr
    assert gate.ask("GET", f"{W}/servers/odd")[0] == 404


@pytest.mark.parametrize(
    ("place", "definition"),
    NO_ROWS,
    ids=[said(each) for _, each in NO_ROWS],
)
def test_what_is_refused_is_not_reached_either(place: str, definition: dict[str, Any]) -> None:
    async def reach() -> None:
        pool = make_pool()
        way: Transport = msgspec.convert(transport(definition), Transport)
        try:
            with pytest.raises(UpstreamUnreachable, match=f"cannot be used: {place}"):
                await pool.observe(server("odd", way))
        finally:
            await pool.close()

    asyncio.run(reach())


def test_a_server_over_http_is_remote_whether_it_is_approved_or_not(gate: Gate) -> None:
    url = {"type": "http", "url": "http://127.0.0.1:1/mcp", "allow_private": True}
    made = gate.api("POST", f"{W}/servers", {"alias": "far", "transport": url})
    shown = [made["isolation"]]
    unseen = {"description": made["digest"], "tools": {}, "instructions": ""}
    gate.api("POST", f"{W}/servers/far/approve", unseen)
    shown.append(gate.api("GET", f"{W}/servers/far")["isolation"])
    gate.api("POST", f"{W}/servers/far/disable", {"why": ""})
    shown.append(gate.api("GET", f"{W}/servers/far")["isolation"])
    shown.append(gate.api("GET", f"{W}/servers/far/health")["isolation"])
    listed = gate.api("GET", f"{W}/servers?limit=200")["items"]
    shown += [row["isolation"] for row in listed if row["kind"] == "http"]
    assert set(shown) == {"remote"}
    local = {"type": "stdio", "command": ["/bin/cat"]}
    near = gate.api("POST", f"{W}/servers", {"alias": "near", "transport": local}, local=True)
    assert near["isolation"] == "not started"
