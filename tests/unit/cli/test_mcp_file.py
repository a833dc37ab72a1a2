"""Files of clients, read into definitions; what cannot be taken is told and never sent as it is."""

import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from gatelodge.cli.output import NEGATIVE
from gatelodge.cli.rules.mcp_file import entries
from gatelodge.cli.rules.serving import import_
from gatelodge.core.errors import Invalid

STDIO = {"command": "npx", "args": ["-y", "server-git"], "env": {"A": "1", "T": "${TOKEN}"}}
TAKEN = {
    "type": "stdio",
    "command": ["npx", "-y", "server-git"],
    "env": {"A": "1", "T": "env:TOKEN"},
    "cwd": "",
    "run_as": "own",
}


@pytest.mark.parametrize(
    "file",
    [
        {"mcpServers": {"git": STDIO}},
        {"servers": {"git": {"type": "stdio", **STDIO}}, "inputs": []},
        {"mcp": {"servers": {"git": STDIO}}},
    ],
)
def test_each_form_is_read(file):
    (entry,) = entries(file, "own")
    assert (entry.alias, entry.transport, entry.fault) == ("git", TAKEN, "")


def test_an_endpoint_keeps_its_headers_and_a_placeholder_becomes_a_reference():
    web = {"type": "http", "url": "https://x.example/mcp", "headers": {"A": "Bearer ${env:T}"}}
    (entry,) = entries({"mcpServers": {"GSD-2 Code": web}}, "own")
    assert entry.alias == "gsd-2-code"
    assert entry.transport["headers"] == {"A": "Bearer env:T"}


@pytest.mark.parametrize(
    "said",
    [
        {},
        "npx",
        {"command": ["npx"]},
        {"command": "npx", "args": ["--key=${input:key}"]},
        {"command": "npx", "env": {"A": "${input:key}"}},
        {"command": "npx", "env": {"A": "x${B}"}},
        {"url": "https://x.example/${B}"},
    ],
)
def test_what_cannot_be_taken_says_why_and_the_others_are_taken(said):
    bad, good = entries({"mcpServers": {"bad": said, "git": STDIO}}, "own")
    assert bad.fault
    assert not bad.transport
    assert good.transport == TAKEN


@pytest.mark.parametrize("value", [None, True, [], {}])
def test_what_is_neither_text_nor_number_is_refused_by_its_place(value):
    for said, place in (({"args": ["a", value]}, "args[1]"), ({"env": {"A": value}}, "env.A")):
        (entry,) = entries({"mcpServers": {"s": {"command": "npx", **said}}}, "own")
        assert place in entry.fault
    numbers = {"command": "npx", "args": [8080], "env": {"A": 1.5}}
    (entry,) = entries({"mcpServers": {"s": numbers}}, "own")
    assert (entry.transport["command"], entry.transport["env"]) == (["npx", "8080"], {"A": "1.5"})


def test_a_file_without_servers_is_refused():
    with pytest.raises(Invalid, match="names no servers"):
        entries({"x": {}}, "own")


@pytest.mark.parametrize("first", [{"command": ["npx"]}, {"command": "refused"}])
def test_of_two_entries_of_one_alias_the_one_that_can_be_taken_is(tmp_path, first):
    file = tmp_path / "mcp.json"
    file.write_text(json.dumps({"mcpServers": {"My Git": first, "my git": STDIO, "MY git": STDIO}}))
    told, posted = [], []

    def post(_path, body):
        if body["transport"]["command"][0] == "refused":
            raise Invalid("no such command")
        posted.append(body)

    gate = SimpleNamespace(here=lambda what: what, every=lambda _path: [], post=post)
    shown = SimpleNamespace(gate=gate, rows=lambda rows, *_: told.extend(rows))
    ran = CliRunner().invoke(import_, [str(file)], obj=shown)
    assert ran.exit_code == NEGATIVE
    outcomes = [(each["name"], each["outcome"]) for each in told]
    assert outcomes == [
        ("My Git", "refused"), ("my git", "proposed"), ("MY git", "there already")
    ]  # fmt: skip
    assert [each["transport"] for each in posted] == [TAKEN]
