import json

import pytest
from tests.upstreams import bad_offers

from gatelodge.core.protocol.shown.conform import fits, nonconformities


def taken_by(kind, item):
    found = nonconformities(kind, json.dumps(item))
    return tuple(era for era in ("legacy", "modern") if fits(found, era))


@pytest.mark.parametrize("name", bad_offers.BAD_TOOLS)
def test_a_tool_outside_the_schema_of_an_era_is_told_with_what_is_wrong(name):
    shape, refused_by = bad_offers.BAD_TOOLS[name]
    tool = {"name": name, **shape}
    assert taken_by("tools", tool) == tuple(e for e in ("legacy", "modern") if e not in refused_by)
    assert all(str(each) for each in nonconformities("tools", json.dumps(tool)))


@pytest.mark.parametrize("name", bad_offers.ODD_TOOLS)
def test_what_the_schema_leaves_open_passes(name):
    tool = {"name": name, **bad_offers.ODD_TOOLS[name]}
    assert taken_by("tools", tool) == ("legacy", "modern")


@pytest.mark.parametrize(
    ("kind", "shapes", "good"),
    [
        ("tools", bad_offers.NAMELESS, bad_offers.GOOD_TOOLS),
        ("prompts", bad_offers.BAD_PROMPTS, bad_offers.GOOD_PROMPTS),
        ("resources", bad_offers.BAD_RESOURCES, bad_offers.GOOD_RESOURCES),
        ("templates", bad_offers.BAD_TEMPLATES, bad_offers.GOOD_TEMPLATES),
    ],
)
def test_the_other_lists_have_their_schemas_too(kind, shapes, good):
    told_by_name = ("name_empty", "name_long", "name_line", "name_again", "name_once_more")
    for name, shape in shapes.items():
        if name not in told_by_name:
            assert taken_by(kind, shape) == (), name
    assert [taken_by(kind, each) for each in good] == [("legacy", "modern")] * len(good)


@pytest.mark.parametrize(
    ("size", "whole"),
    [("0", True), ("7.0", True), ("1e3", True), ("9" * 400, True), ("1" + "0" * 4_000, True),
     ("7.5", False), ("1e999", False), ("-1e999", False), ("true", False), ("9" * 5_000, False)],
)  # fmt: skip
def test_a_size_of_any_length_is_told_as_a_whole_number_or_not(size, whole):
    found = nonconformities("resources", f'{{"uri":"a:b","name":"x","size":{size}}}')
    assert (found == ()) == whole


@pytest.mark.parametrize("priority", ["9" * 400, "-" + "9" * 400, "1e999"])
def test_a_number_of_any_length_is_out_of_range(priority):
    item = f'{{"uri":"a:b","name":"x","annotations":{{"priority":{priority}}}}}'
    (found,) = nonconformities("resources", item)
    assert found.what == "is out of range"


@pytest.mark.parametrize(
    "uri",
    ["file:///a b", "memo://x", "git+memo://x/y", "urn:isbn:1", "ui://board/x.html", "a:", "test:é",
     "https://x.example:8080/a?b#c", "http://127.0.0.1/x", "http://[::1]/x", "postgres://u:p@h/db"],
)  # fmt: skip
def test_what_url_parsers_take_is_a_uri(uri):
    assert taken_by("resources", {"uri": uri, "name": "x"}) == ("legacy", "modern")


def test_a_fault_names_the_place_and_the_kind_of_value_and_never_the_value():
    (found,) = nonconformities("tools", '{"name":"a","inputSchema":{"type":"secret"}}')
    assert str(found) == "inputSchema.type is not one of object"
    (found,) = nonconformities(
        "tools", '{"name":"a","inputSchema":{"type":"object","properties":null}}'
    )
    assert str(found) == "inputSchema.properties is null, not an object (legacy clients only)"


def test_endless_faults_are_told_as_a_few():
    many = {"name": "a", "inputSchema": {"type": "object", "required": [1] * 1000}}
    assert len(nonconformities("tools", json.dumps(many))) == 8
