"""Headers that repeat what a modern request's body says (2026-07-28, streamable HTTP 2.2).

`Mcp-Name` and `Mcp-Param-*` let intermediaries route without reading bodies. A value that an HTTP
field cannot carry travels as `=?base64?...?=`.
"""

import base64
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from gatelodge.core.errors import Invalid
from gatelodge.core.jsontext.shape import read_as
from gatelodge.core.protocol.envelope import Members, members_of
from gatelodge.core.protocol.version import PARAM_HEADER

_PLAIN = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_LARGEST: Final = (1 << 53) - 1


def header_value(text: str) -> str:
    """The text as a field value: itself where that is safe, else the Base64 form."""
    lookalike = text.startswith("=?base64?") and text.endswith("?=")
    # A plain text that looks coded would be decoded by its reader, so it travels coded.
    if not text or (_PLAIN.fullmatch(text) and not lookalike):
        return text
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


class HeaderMirror(Struct, frozen=True):
    """One argument that a header repeats: where it stands in the arguments, and the header.

    `number` = the schema says integer, so that 42 and 42.0 are the same.
    """

    path: tuple[str, ...]
    header: str
    number: bool = False


_ONE: Final = frozenset((
    "items", "contains", "unevaluatedItems", "additionalProperties", "propertyNames", "not", "if",
    "then", "else", "unevaluatedProperties", "contentSchema",
))  # fmt: skip
_SOME: Final = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
_NAMED: Final = frozenset(("patternProperties", "dependentSchemas", "$defs", "definitions"))


def mirrors(schema: Raw) -> tuple[HeaderMirror, ...]:
    """The mirrored arguments of a tool's `inputSchema`, in document order.

    Raises Invalid when an annotation breaks a rule: only on a string, integer or boolean that is
    reached through `properties` alone, a header token, and unique when case is ignored.
    """
    if b"x-mcp-header" not in bytes(schema):
        return ()
    try:
        root = msgspec.json.decode(schema)
    except (msgspec.MsgspecError, RecursionError) as broken:
        raise Invalid("inputSchema is not JSON") from broken
    found: list[HeaderMirror] = []
    seen: set[str] = set()
    for path, part in _subschemas_with_paths(root):
        if "x-mcp-header" not in part:
            continue
        name = part["x-mcp-header"]
        if not path:
            raise Invalid("x-mcp-header stands where no chain of properties leads")
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise Invalid("x-mcp-header is not a header token")
        if part.get("type") not in ("string", "integer", "boolean"):
            raise Invalid("x-mcp-header is only for strings, integers and booleans")
        # Case makes no second field of a name (RFC 9110 clause 5.1).
        if name.lower() in seen:
            raise Invalid("x-mcp-header names one header twice")
        seen.add(name.lower())
        found.append(HeaderMirror(path, PARAM_HEADER + name, part["type"] == "integer"))
    return tuple(found)


def _subschemas_with_paths(root: Any) -> Iterator[tuple[tuple[str, ...] | None, dict[str, Any]]]:
    """Each schema in the schema, with the chain of `properties` that leads to it (None = none)."""
    todo: list[tuple[tuple[str, ...] | None, Any]] = [((), root)]
    # A list instead of recursion: how deep a schema nests is its server's choice.
    while todo:
        path, part = todo.pop()
        if not isinstance(part, dict):
            continue
        yield path, part
        below: list[tuple[tuple[str, ...] | None, Any]] = []
        for key, value in part.items():
            if key == "properties" and isinstance(value, dict):
                chain = [(None if path is None else (*path, name), s) for name, s in value.items()]
                below.extend(chain)
            elif key in _ONE:
                below.append((None, value))
            elif key in _SOME and isinstance(value, list):
                below.extend((None, each) for each in value)
            elif key in _NAMED and isinstance(value, dict):
                below.extend((None, each) for each in value.values())
        todo.extend(reversed(below))


def mirror_headers(wanted: tuple[HeaderMirror, ...], arguments: Raw) -> tuple[tuple[str, str], ...]:
    """The `Mcp-Param-*` headers for these arguments; an absent or null argument gives none.

    Nothing is read but what is mirrored, so that no argument beside it can hide it; and each object
    on the way to it once, however many are mirrored.
    """
    made: list[tuple[str, str]] = []
    read: _Read = {}
    for mirror in wanted:
        text = _text_of_scalar(_argument_at_path(arguments, mirror.path, read))
        if text is not None:
            made.append((mirror.header, header_value(text)))
    return tuple(made)


_Read = dict[tuple[str, ...], Members]
"""The objects that were read on the way to mirrored arguments, by path."""


def _argument_at_path(arguments: Raw, path: tuple[str, ...], read: _Read) -> Any:
    """The scalar at the end of that path; None for one that is not there or cannot be read."""
    value: Raw | None = arguments
    for at, key in enumerate(path):
        # Arguments may be large: each object is parsed once, whatever number of headers lies in it.
        members = read.get(path[:at])
        if members is None:
            members = read[path[:at]] = members_of(value) or {}
        value = members.get(key)
    # The first byte tells a scalar, so nothing large is decoded only to be thrown away.
    if value is None or bytes(memoryview(value)[:1]) in {b"[", b"{"}:
        return None  # no header says it
    return read_as(value, object)


def _text_of_scalar(value: Any) -> str | None:
    """A scalar as a header says it; None for what no header can say."""
    match value:
        # Python's bool is an int too, so it has to be asked for first.
        case bool():
            return "true" if value else "false"
        case str():
            return value
        # Beyond this range readers of JSON disagree about an integer (RFC 8259 clause 6).
        case int() if abs(value) <= _LARGEST:
            return str(value)
        case float() if value.is_integer() and abs(value) <= _LARGEST:
            return str(int(value))
    return None
