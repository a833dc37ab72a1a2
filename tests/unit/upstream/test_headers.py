"""Headers that repeat the body: values, marks of a schema, and what arguments give."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gatelodge.core.errors import Invalid
from gatelodge.core.protocol import upstream_headers
from gatelodge.core.protocol.envelope import members_of
from gatelodge.core.protocol.upstream_headers import (
    HeaderMirror,
    header_value,
    mirror_headers,
    mirrors,
)


@given(st.text())
def test_a_value_survives_and_is_always_a_legal_field(text):
    value = header_value(text)
    assert value.isascii()
    assert value == value.strip()
    assert not set(value) & set("\r\n\0")
    if value.startswith("=?base64?"):
        assert base64.b64decode(value[9:-2]).decode() == text
    else:
        assert value == text


@pytest.mark.parametrize("text", ["plain", "a b", "a/b:c", "x" * 9000, "=?base64?"])
def test_a_plain_value_is_itself(text):
    assert header_value(text) == text


@pytest.mark.parametrize("text", [" edge", "edge ", "é", "a\nb", "\x7f", "=?base64?YQ==?="])
def test_any_other_value_travels_as_base64(text):
    assert header_value(text).startswith("=?base64?")
    assert header_value(text).endswith("?=")


def schema(**properties):
    return Raw(json.dumps({"type": "object", "properties": properties}).encode())


def test_marks_are_found_through_chains_of_properties():
    found = mirrors(
        schema(
            a={"type": "string", "x-mcp-header": "A"},
            b={"type": "object", "properties": {"c": {"type": "integer", "x-mcp-header": "C"}}},
            plain={"type": "string", "default": {"x-mcp-header": "is only a value"}},
        )
    )
    assert found == (
        HeaderMirror(("a",), "Mcp-Param-A"),
        HeaderMirror(("b", "c"), "Mcp-Param-C", number=True),
    )


@pytest.mark.parametrize(
    "text", [b"{}", b"true", b'{"type":"object","properties":[]}', b"nonsense"]
)
def test_a_schema_without_marks_has_none(text):
    assert mirrors(Raw(text)) == ()


S = {"type": "string", "x-mcp-header": "A"}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"x-mcp-header": "A", "type": "string"}),
        json.dumps({"properties": {"a": {"type": "number", "x-mcp-header": "A"}}}),
        json.dumps({"properties": {"a": {"type": ["string"], "x-mcp-header": "A"}}}),
        json.dumps({"properties": {"a": {"x-mcp-header": "A"}}}),
        json.dumps({"properties": {"a": {**S, "x-mcp-header": "a b"}}}),
        json.dumps({"properties": {"a": {**S, "x-mcp-header": "a\r\nX: y"}}}),
        json.dumps({"properties": {"a": {**S, "x-mcp-header": ""}}}),
        json.dumps({"properties": {"a": {**S, "x-mcp-header": 5}}}),
        json.dumps({"properties": {"a": S, "b": {**S, "x-mcp-header": "a"}}}),
        json.dumps({"properties": {"a": {"type": "array", "items": S}}}),
        json.dumps({"properties": {"a": {"items": {"properties": {"b": S}}}}}),
        json.dumps({"anyOf": [{"properties": {"a": S}}]}),
        json.dumps({"$defs": {"x": S}}),
        json.dumps({"if": {"properties": {"a": S}}}),
        json.dumps({"patternProperties": {"^a": S}}),
        '{"x-mcp-header',
    ],
)
def test_a_mark_that_breaks_a_rule_is_refused(text):
    with pytest.raises(Invalid):
        mirrors(Raw(text.encode()))


@pytest.mark.parametrize(
    ("value", "header"),
    [
        ('"x"', "x"), ('""', ""), ('"é"', "=?base64?w6k=?="), ("true", "true"), ("false", "false"),
        ("42", "42"), ("42.0", "42"), ("-7", "-7"), ("9007199254740991", "9007199254740991"),
    ],
)  # fmt: skip
def test_a_scalar_is_repeated_as_text(value, header):
    given_arguments = Raw(f'{{"a":{value}}}'.encode())
    assert mirror_headers((HeaderMirror(("a",), "H"),), given_arguments) == (("H", header),)


@pytest.mark.parametrize(
    "arguments",
    ["{}", '{"a":null}', '{"a":[1]}', '{"a":{}}', '{"a":1.5}', '{"a":9007199254740992}',
     '{"b":1}', "[]", "null", "nonsense"],
)  # fmt: skip
def test_what_no_header_can_say_gives_none(arguments):
    assert mirror_headers((HeaderMirror(("a",), "H"),), Raw(arguments.encode())) == ()


def test_a_path_ends_where_there_is_no_object():
    assert mirror_headers((HeaderMirror(("a", "b"), "H"),), Raw(b'{"a":"text"}')) == ()


@pytest.mark.parametrize("beside", ["1E400", "9" * 5000, '{"deep":[1e999]}'], ids=lambda b: b[:9])
def test_no_argument_hides_the_one_that_is_repeated(beside):
    given_arguments = Raw(f'{{"x":{beside},"a":"eu"}}'.encode())
    assert mirror_headers((HeaderMirror(("a",), "H"),), given_arguments) == (("H", "eu"),)


def test_an_object_on_the_way_to_many_mirrored_arguments_is_read_once(monkeypatch):
    reads = []

    def reading(raw):
        reads.append(raw)
        return members_of(raw)

    monkeypatch.setattr(upstream_headers, "members_of", reading)
    wanted = tuple(HeaderMirror(("a", f"k{n}"), f"Mcp-Param-K{n}") for n in range(50))
    arguments = Raw(b'{"a":{"k3":"x","k4":[1],"k5":{}},"b":[[]]}')
    assert mirror_headers(wanted, arguments) == (("Mcp-Param-K3", "x"),)
    assert len(reads) == 2
