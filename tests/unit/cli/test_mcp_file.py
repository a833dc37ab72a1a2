"""Files of clients, read into definitions; what cannot be taken is told and never sent as it is."""

import pytest

from gatelodge.cli.rules.mcp_file import entries
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


def test_a_file_without_servers_is_refused():
    with pytest.raises(Invalid, match="names no servers"):
        entries({"x": {}}, "own")
