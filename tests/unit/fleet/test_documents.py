"""Files as people and programs leave them: read, or refused in words that hold nothing of them."""

import codecs
import json

import pytest

from gatelodge.core.errors import Invalid
from gatelodge.core.fleet.documents import LARGEST_FILE, read_document
from gatelodge.core.fleet.places import said_entries

PLAIN = {"mcpServers": {"a": {"command": "x", "args": ["//", "/*", ",}"]}}}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(PLAIN),
        '{"mcpServers": {"a": {"command": "x", "args": ["//", "/*", ",}",],},},} // end',
        '/* { */ {"mcpServers": // "\n {"a": {"command": "x", "args": ["//", "/*", ",}" /*,*/ ]}}}',
    ],
)
def test_json_is_read_with_comments_and_commas(text):
    assert read_document(text.encode(), "json") == PLAIN


@pytest.mark.parametrize(
    "octets",
    [
        codecs.BOM_UTF8 + b'{"a": "\xc3\xa9"}',
        '{"a": "é"}'.encode("utf-16"),
        '{"a": "é"}'.encode("utf-16-le"),
        codecs.BOM_UTF32_LE + '{"a": "é"}'.encode("utf-32-le"),
        b'{"a": "\xe9"}',
    ],
)
def test_each_encoding_is_read(octets):
    assert read_document(octets, "json") == {"a": "é"}


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("[" * 100_000, "json"),
        ('{"a":' * 100_000, "json"),
        ('"\\"' * 300_000, "json"),
        (",/*" * 300_000, "json"),
        ("a=" + "[" * 100_000, "toml"),
        ("a." * 100_000 + "a = 1", "toml"),
        ("[" * 100_000, "yaml"),
        ("- " * 100_000, "yaml"),
        ("a: b\n" * 60_000, "yaml"),
        ("a: !!python/object:os.system [x]\nb: *c", "json"),
        (" " * (LARGEST_FILE + 1), "json"),
    ],
)
def test_what_is_too_much_is_refused_at_once(text, form):
    with pytest.raises(Invalid, match="too"):
        read_document(text.encode(), form)


def test_yaml_is_read_by_its_events_and_no_tag_makes_an_object():
    text = "x: !!python/object/apply:os.getcwd []\na: &a {k: v}\nb: {<<: *a, n: 1, t: on, q: 'on'}"
    found = read_document(text.encode(), "yaml")
    assert found == {"x": [], "a": {"k": "v"}, "b": {"k": "v", "n": "1", "t": True, "q": "on"}}


def test_anchors_that_stand_for_each_other_cost_what_is_written():
    lines = ["a0: &a0 {x: y}"]
    lines += [f"a{n}: &a{n} {{l: *a{n - 1}, r: *a{n - 1}}}" for n in range(1, 60)]
    assert said_entries(read_document("\n".join(lines).encode(), "yaml")) == []


def test_a_name_that_is_written_twice_is_found_twice():
    text = b'{"mcpServers": {"a": {"command": "x"}, "a": {"command": "y"}}}'
    one, two = said_entries(read_document(text, "json"))
    assert (one.said, one.fault) == ({"command": "y"}, "")
    assert "twice" in two.fault
