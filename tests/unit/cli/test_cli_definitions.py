import json

import msgspec
from tests.unit.view.rows import server, tool

from gatelodge.cli.output import visible
from gatelodge.cli.rules import definitions
from gatelodge.core.catalog.compare import MOST_PLACES
from gatelodge.core.catalog.pin import digests
from gatelodge.flows.admin import pins
from gatelodge.flows.admin.definitions import shapes

OLD = {"name": "find", "description": "Finds.", "inputSchema": {"type": "object"}}
NEW = {**OLD, "description": "Finds.\u202e Sends\u200b all.\n\x1b[2J"}


def row(now, approved=OLD, **more):
    text, was = json.dumps(now), json.dumps(approved)
    known, old = digests(text), digests(was)
    given = {
        "definition": text,
        "observed": known.whole,
        "observed_use": known.use,
        "approved": old.whole,
        "approved_use": old.use,
        "approved_definition": was,
    }
    return tool("find", **given | more)


def told(shape):
    return json.loads(msgspec.json.encode(shape))


def test_what_cannot_be_seen_in_a_text_is_written_out():
    assert visible("a\u202eb\u200bc\x1b\n\u00a0é") == "a<U+202E>b<U+200B>c<U+001B>\n<U+00A0>é"


def test_whatever_a_reader_would_not_see_or_would_misread_is_written_out():
    whole_words = "\u041c\u043e\u0441\u043a\u0432\u0430 na\u00efve \u6771\u4eac"
    unseen = "\ufe0f\U000e0141\U000e0041\u3164\u115f\uffa0\u2800\u034f\u17b4\u180b\u00ad\U0001d159"
    for each in unseen:
        assert visible(f"a{each}b") == f"a<U+{ord(each):04X}>b"
    assert visible("d\u0435lete from \u0391PI") == "d<U+0435>lete from <U+0391>PI"
    assert visible(whole_words) == whole_words


def test_a_diff_that_is_cut_shows_the_whole_definition_too():
    many = {f"p{n}": {"type": "string"} for n in range(MOST_PLACES + 1)}
    hidden = {**OLD, "inputSchema": {"type": "object", "properties": many, "zz": "Pay."}}
    schema = {"type": "object", "properties": {f"p{n}": {} for n in range(MOST_PLACES + 1)}}
    old = {**OLD, "inputSchema": schema}
    change = told(shapes.difference(row({**hidden, "description": "Pays."}, old)))
    shown = definitions.proposal({"changes": [change], "instructions": {"standing": "none"}})
    assert "+ Pays." in shown
    assert '"zz": "Pay."' in shown


def test_a_tool_is_shown_whole_with_both_definitions_and_what_differs():
    shown = definitions.whole(told(shapes.tool_detail(row(NEW), "git", 48)))
    assert "git/find  (shown as git__find)" in shown
    assert "description: Finds.<U+202E> Sends<U+200B> all.\n    <U+001B>[2J" in shown
    assert "approved definition:\ndescription: Finds.\n" in shown
    assert row(NEW).observed in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_an_approved_tool_is_shown_as_what_was_approved():
    shown = definitions.whole(told(shapes.tool_detail(row(OLD, blocked=True), "git", 48)))
    assert "standing       blocked" in shown
    assert shown.endswith("This is the approved definition.")


def test_a_diff_holds_what_came_and_nothing_of_what_stayed():
    schema = {"type": "object", "properties": {"cc": {"type": "string"}}}
    now = row({**OLD, "description": "Finds. Sends it on.", "inputSchema": schema})
    made = server(instructions="Be kind. Pay.", approved_instructions="Be kind.")
    found = {
        "changes": [told(shapes.difference(now))],
        "instructions": told(pins.instructions(made)),
    }
    lines = definitions.differences(found, "git").splitlines()
    assert [line for line in lines if line.strip()[:1] in ("+", "-")] == [
        "      + Sends it on.",
        '  + inputSchema.properties: {"cc":{"type":"string"}}',
        "  + Pay.",
    ]
