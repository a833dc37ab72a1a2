import json
from hashlib import sha256

import pytest

from gatelodge.core.catalog.pin import (
    canonical,
    definition_digest,
    digests,
)
from gatelodge.core.errors import Invalid


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ('{"b":1,"a":[true,null,"x"]}', b'{"a":[true,null,"x"],"b":1}'),
        ('{ "n" : 1.0e3 }', b'{"n":1000}'),
        ("-0", b"0"),
        ("-0.0", b"0"),
        ("1e21", b"1e+21"),
        ("9007199254740993", b"9007199254740993"),
        ("123456789012345678901234567890", b"123456789012345678901234567890"),
        ("1E400", b"1e400"),
        ('{"a":1,"a":2}', b'{"a":1,"a":2}'),
        ('"\\ud800"', b'"\xed\xa0\x80"'),
        ('"\\u00e9\\u001f\\n\\u007f"', b'"\xc3\xa9\\u001f\\n\x7f"'),
        ('{"\\ufb33":1,"\\ud83d\\ude00":2}', '{"\U0001f600":2,"\ufb33":1}'.encode()),
        ("[]", b"[]"),
        ("{}", b"{}"),
    ],
)
def test_a_json_text_has_one_form(text, form):
    assert canonical(text) == form
    assert canonical(text.encode()) == form
    assert definition_digest(text) == sha256(form).hexdigest()


@pytest.mark.parametrize(
    "pair",
    [
        ("9007199254740993", "9007199254740992"),
        ("1e400", "2e400"),
        ("1e400", "-1e400"),
        ('{"a":1,"a":2}', '{"a":3,"a":2}'),
        ('"1"', "1"),
        ('"\\ud800"', '"\\ud801"'),
        ('{"a":[]}', '{"a":{}}'),
    ],
)
def test_a_difference_that_another_form_would_hide_changes_the_digest(pair):
    first, second = pair
    assert definition_digest(first) != definition_digest(second)


@pytest.mark.parametrize("text", ["", "{", "NaN", "Infinity", "{'a':1}", b"\xff", "[1,]", "1 2"])
def test_what_is_not_json_is_refused(text):
    with pytest.raises(Invalid):
        definition_digest(text)


@pytest.mark.parametrize("depth", [101, 100_000])
def test_an_endless_nest_is_refused(depth):
    with pytest.raises(Invalid):
        definition_digest("[" * depth + "]" * depth)


def test_a_reviewable_nest_is_taken():
    assert canonical("[" * 99 + "]" * 99) == b"[" * 99 + b"]" * 99


def spelled(**schema):
    return json.dumps({"name": "a", "inputSchema": {"type": "object", **schema}})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"required": ["a", "b"]}, {"required": ["b", "a"]}),
        ({"dependentRequired": {"x": ["a", "b"]}}, {"dependentRequired": {"x": ["b", "a"]}}),
        ({"dependencies": {"x": ["a", "b"]}}, {"dependencies": {"x": ["b", "a"]}}),
        (
            {"properties": {"p": {"type": ["string", "null"]}}},
            {"properties": {"p": {"type": ["null", "string"]}}},
        ),
        (
            {"$defs": {"d": {"items": [{"required": ["a", "b"]}]}}},
            {"$defs": {"d": {"items": [{"required": ["b", "a"]}]}}},
        ),
        ({"anyOf": [{"required": ["a", "b"]}]}, {"anyOf": [{"required": ["b", "a"]}]}),
    ],
)
def test_the_order_of_a_set_is_no_difference(one, other):
    assert digests(spelled(**one)) == digests(spelled(**other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"required": ["a", "b"]}, {"required": ["a", "c"]}),
        ({"required": ["a", "b"]}, {"required": ["a"]}),
        ({"enum": ["a", "b"]}, {"enum": ["b", "a"]}),
        ({"anyOf": [{"const": 1}, {"const": 2}]}, {"anyOf": [{"const": 2}, {"const": 1}]}),
        ({"oneOf": [{"const": 1}, {"const": 2}]}, {"oneOf": [{"const": 2}, {"const": 1}]}),
        ({"default": {"required": ["a", "b"]}}, {"default": {"required": ["b", "a"]}}),
        ({"const": {"type": ["a", "b"]}}, {"const": {"type": ["b", "a"]}}),
        (
            {"properties": {"p": {"x-order": {"required": ["a", "b"]}}}},
            {"properties": {"p": {"x-order": {"required": ["b", "a"]}}}},
        ),
    ],
)
def test_another_member_or_another_order_of_what_is_no_set_is_a_difference(one, other):
    assert digests(spelled(**one)).use != digests(spelled(**other)).use


@pytest.mark.parametrize(
    ("more", "used"),
    [
        ({"icons": [{"src": "https://x.example/i.png"}]}, False),
        ({"_meta": {"starts": 7}}, False),
        ({"_meta": {"com.example/starts": 7}}, False),
        ({"_meta": {"ui": {"resourceUri": "ui://x"}}}, True),
        ({"_meta": {"ui/resourceUri": "ui://x"}}, True),
        ({"_meta": {"openai/outputTemplate": "ui://x"}}, True),
        ({"_meta": {"io.modelcontextprotocol/x": 1}}, True),
        ({"_meta": {"mcp/x": 1}}, True),
        ({"_meta": {"com.mcp.tools/x": 1}}, True),
        ({"_meta": {"com.mcpx/y": 1}}, False),
        ({"_meta": {"com.example/mcp/y": 1}}, False),
        ({"_meta": {"mcp": 1}}, False),
        pytest.param({"_meta": {"mcp." * 60_000: 1}}, False, id="endless labels"),
        ({"title": "A"}, True),
        ({"annotations": {"readOnlyHint": True}}, True),
        ({"execution": {"taskSupport": "optional"}}, True),
        ({"x-unknown": 1}, True),
    ],
)
def test_what_no_caller_goes_by_is_in_the_digest_and_not_in_that_of_the_use(more, used):
    plain = {"name": "a", "inputSchema": {"type": "object"}}
    one, other = digests(json.dumps(plain)), digests(json.dumps(plain | more))
    assert one.whole != other.whole
    assert (one.use != other.use) is used
