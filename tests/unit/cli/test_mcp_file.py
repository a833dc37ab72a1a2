"""Files of clients, read into definitions; what cannot be taken is told and never sent as it is."""

import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from gatelodge.cli.output import NEGATIVE
from gatelodge.cli.rules.mcp_file import entries
from gatelodge.cli.rules.mcp_import import import_
from gatelodge.config.schema import HostingSettings, Settings
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
    settings = Settings(hosting=HostingSettings(plain_commands="process"))
    shown = SimpleNamespace(
        gate=gate,
        rows=lambda rows, *_: told.extend(rows),
        loaded=SimpleNamespace(settings=settings),
    )
    ran = CliRunner().invoke(import_, [str(file)], obj=shown)
    assert ran.exit_code == NEGATIVE
    outcomes = [(each["name"], each["outcome"]) for each in told]
    assert outcomes == [
        ("My Git", "refused"), ("my git", "proposed"), ("MY git", "there already")
    ]  # fmt: skip
    assert [each["transport"] for each in posted] == [TAKEN]


@pytest.mark.parametrize(
    ("words", "source", "script", "args"),
    [
        ("npx -y @a/server-git@1.2.3 --root /x", "npm:@a/server-git@1.2.3", "", ("--root", "/x")),
        ("/usr/bin/npx --package=git@1.2.3-rc.1 gitd", "npm:git@1.2.3-rc.1", "gitd", ()),
        ("npx -y -- git@1.2.3 -y", "npm:git@1.2.3", "", ("-y",)),
        ("uvx mcp-server-git@2026.10.19", "pypi:mcp-server-git@2026.10.19", "", ()),
        ("uvx mcp-server-git==2.1 --x", "pypi:mcp-server-git@2.1", "", ("--x",)),
        ("uvx --from git==2.1 gitd", "pypi:git@2.1", "gitd", ()),
        ("uv tool run git@2.1", "pypi:git@2.1", "", ()),
    ],
)
def test_what_a_client_would_fetch_at_an_exact_version_is_hosted(words, source, script, args):
    command, *rest = words.split()
    said = {"command": command, "args": rest, "env": {"T": "${TOKEN}"}}
    (entry,) = entries({"mcpServers": {"git": said}}, "own", hosted=True)
    wanted = {"type": "artifact", "source": source, "args": args, "env": {"T": "env:TOKEN"}}
    assert (entry.fault, entry.transport, entry.script) == ("", wanted, script)


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("npx -y @a/server-git", "gatelodge server add git npm:@a/server-git@VERSION"),
        ("npx -y server-git@latest", "npm:server-git@VERSION"),
        ("npx -y server-git@^1.2.0", "npm:server-git@VERSION"),
        ("npx -y", "npm:NAME@VERSION"),
        ("npx -c run", "npm:NAME@VERSION"),
        ("uvx server-git", "pypi:server-git@VERSION"),
        ("uvx server-git==2.*", "pypi:server-git@VERSION"),
        ("uvx --with other --from server-git==2.1 gitd", "pypi:NAME@VERSION"),
    ],
)
def test_what_names_no_exact_version_is_told_what_to_write(words, remedy):
    command, *rest = words.split()
    file = {"mcpServers": {"git": {"command": command, "args": rest}}}
    (entry,) = entries(file, "own", hosted=True)
    assert remedy in entry.fault
    assert not entry.transport


def test_a_command_that_fetches_nothing_and_an_endpoint_stay_as_they_are_beside_hosted_ones():
    file = {"mcpServers": {"a": {"command": "/opt/git"}, "b": {"url": "https://x.example/mcp"}}}
    assert entries(file, "own", hosted=True) == entries(file, "own")


def test_a_hosted_package_has_no_directory_of_this_machine():
    said = {"command": "npx", "args": ["a@1.2.3"], "cwd": "/srv"}
    (entry,) = entries({"mcpServers": {"a": said}}, "own", hosted=True)
    assert "cwd" in entry.fault
