import json
from hashlib import sha256

import pytest

from gatelodge.core.catalog.server import HttpTransport, Tool
from gatelodge.flows.admin import pins, servers, tools


def definition(name, **more):
    return json.dumps({"name": name, "inputSchema": {"type": "object"}, **more}).encode()


def digest(name, **more):
    fields = {"name": name, "inputSchema": {"type": "object"}, **more}
    return sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@pytest.fixture
def server(house):
    proposal = servers.ServerProposal(transport=HttpTransport(url="https://x.example.com/mcp"))
    made = house.do(servers.register, house.workspace, "x", proposal).id
    house.leaves()
    return made


@pytest.fixture
def stock(house, server):
    """Take stock of the server with these definitions."""
    return lambda *texts: house.do(tools.take_stock, house.workspace, server, texts)


def rows(house):
    return {tool.name: tool for tool in house.find(Tool, workspace=house.workspace)}


def test_what_is_observed_is_kept_word_by_word_and_approves_nothing(house, server, stock):
    text = b'{ "name" : "log",\n "inputSchema": {"type":"object"}, "x": 1.0 }'
    assert stock(text).new == ("log",)
    tool = rows(house)["log"]
    assert tool.definition == text.decode()
    assert (tool.approved, tool.pinned, tool.present) == ("", False, True)
    assert (tool.read_only, tool.destructive, tool.open_world) == (False, True, True)


def test_the_digest_is_that_of_the_canonical_form(house, server, stock):
    stock(b'{"inputSchema":{"type":"object"},"name":"log"}')
    assert rows(house)["log"].observed == digest("log")
    assert stock(b' {"name":"l\\u006fg","inputSchema":{"type" :"object"}}').changed == ()
    assert rows(house)["log"].observed == digest("log")


def test_an_observation_is_recorded_by_name_and_digest_once(house, server, stock):
    stock(definition("a"), definition("b"))
    stock(definition("a"), definition("b"))
    assert house.leaves() == [
        (
            "catalog.observed",
            {"server": server, "tools": {"a": digest("a"), "b": digest("b")}, "gone": []},
        )
    ]


def test_changes_are_told_apart(house, server, stock):
    stock(definition("a"), definition("b"), definition("c"))
    house.leaves()
    seen = stock(definition("c"), definition("b", description="new"), definition("d"))
    assert (seen.new, seen.changed, seen.gone) == (("d",), ("b",), ("a",))
    assert house.leaves() == [
        (
            "catalog.observed",
            {
                "server": server,
                "tools": {"b": digest("b", description="new"), "d": digest("d")},
                "gone": ["a"],
            },
        )
    ]
    assert [t.name for t in rows(house).values() if t.present] == ["c", "b", "d"]


def test_a_new_order_reaches_the_view_too(house, server, stock):
    stock(definition("a"), definition("b"))
    house.leaves()
    stock(definition("b"), definition("a"))
    assert house.leaves() == [("catalog.observed", {"server": server, "tools": {}, "gone": []})]
    assert list(rows(house)) == ["b", "a"]


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"[]",
        b"null",
        b'"log"',
        b"{}",
        b'{"name":""}',
        b'{"name":7}',
        b'{"name":"a\\u0000b"}',
        b'{"name":"a\\nb"}',
        b'{"name":"' + b"x" * 129 + b'"}',
        b'{"name":"a","name":"b"}',
        b'{"name":"a","x":{"k":1,"k":2}}',
        b'{"name":"a","x":NaN}',
        b'{"name":"a","x":"\\ud800"}',
        b'{"name":"a","x":"\xff"}',
        b'\xff\xfe{\x00"\x00n\x00',
        b'{"name":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"name":"a","x":"' + b"y" * 300_000 + b'"}',
        b'{"name":"a"',
    ],
)
def test_what_is_no_tool_is_skipped_and_told_and_the_others_are_kept(house, server, stock, bad):
    seen = stock(definition("good"), bad)
    assert list(rows(house)) == ["good"]
    assert len(seen.skipped) == 1
    assert seen.skipped[0].startswith("tool 2: ")


def test_a_name_used_twice_is_nobodys(house, server, stock):
    seen = stock(definition("a"), definition("b"), definition("a", description="other"))
    assert (seen.new, seen.skipped) == (("b",), ("a: named twice",))


@pytest.mark.slow
def test_a_thousand_tools_fit_into_leaves(house, server, stock):
    names = [f"tool_{number:04}_" + "é" * 100 for number in range(1000)]
    stock(*map(definition, names))
    leaves = house.leaves()
    told = {}
    for kind, subject in leaves:
        assert kind == "catalog.observed"
        assert len(json.dumps(subject, ensure_ascii=False).encode()) < 16_384
        told |= subject["tools"]
    assert list(told) == names
    stock()
    gone = [name for _, subject in house.leaves() for name in subject["gone"]]
    assert gone == names


def test_a_stock_is_kept_in_parts_that_begin_with_what_an_admin_approved(house, server):
    def keep(*texts):
        return house.do(tools.keep_stock, house.workspace, server, tools.read_stock(texts), 2)

    names = ["a", "b", "c", "d", "e"]
    while keep(*map(definition, names)).more:
        pass
    assert list(rows(house)) == names
    house.do(pins.approve, house.workspace, server, {"e": digest("e")})
    house.leaves()
    others = [definition(f"x{name}") for name in names]
    first = keep(*others, definition("e", description="changed"))
    assert (first.changed, first.more, first.leaves) == (("e",), True, 1)
    assert not rows(house)["e"].pinned


def test_a_server_that_renames_its_tools_for_ever_leaves_no_rows_behind(house, server, stock):
    stock(definition("kept"), definition("reviewed"), definition("blocked"))
    house.do(pins.approve, house.workspace, server, {"kept": digest("kept")})
    house.do(pins.block, house.workspace, server, "blocked")
    found = pins.ToolFinding(digest=digest("reviewed"), read_only=True, open_world=False)
    house.do(pins.review, house.workspace, server, {"reviewed": found})
    for turn in range(3):
        seen = stock(*(definition(f"tool_{turn}_{number}") for number in range(4)))
        assert len(seen.gone) == (3 if turn == 0 else 4)
    present = {name for name, tool in rows(house).items() if tool.present}
    assert set(rows(house)) - present == {"kept", "reviewed", "blocked"}
    assert len(present) == 4
