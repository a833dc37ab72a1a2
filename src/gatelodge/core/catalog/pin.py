"""The pin of a tool's definition: the digest by which it is approved, and that of its use.

Both digests are of the definition with the sets in its schemas (`required`, `dependentRequired`,
lists of types) in one order, for that order means nothing. The digest of the definition covers all
of it. The digest of its use leaves out what no caller goes by: icons, and the members of `_meta`
that neither MCP nor a convention of clients gives a meaning. What differs in those alone is no
drift; clients go on seeing what was approved (decision 0018).

A digest is the SHA-256 of the RFC 8785 form, extended where that RFC refuses, so that every
JSON text has exactly one form and no difference but a number's beyond a double's precision can
hide: integers are written with all their digits, numbers too large for a double keep their text,
a lone surrogate is written as UTF-8 would, and a member that stands twice is written twice, in the
order sent. For texts that RFC 8785 accepts the form is the RFC's own (a property test compares).
"""

import json
from collections.abc import Callable
from hashlib import sha256
from math import isinf
from typing import Any, NoReturn

import rfc8785
from msgspec import Struct

from gatelodge.core.errors import Invalid

DEEPEST = 100
"""Levels of nesting in a definition; no schema that a person can review needs more."""


class DefinitionDigests(Struct, frozen=True):
    """What a definition is known by: its digest, and the digest of its use."""

    whole: str
    use: str


def digests(text: str | bytes) -> DefinitionDigests:
    """The digests of a tool's definition (JSON text).

    Raises Invalid when the text is not JSON, or nested deeper than 100 levels.
    """
    tool = _with_sets(_parse_definition(text))
    # Most tools have no looks: then it is the same object, and is hashed once.
    use = _without_looks(tool)
    whole = sha256(_canonical_bytes(tool)).hexdigest()
    return DefinitionDigests(
        whole, whole if use is tool else sha256(_canonical_bytes(use)).hexdigest()
    )


def definition_digest(text: str | bytes) -> str:
    """The digest by which a definition is approved. Raises Invalid."""
    return sha256(_canonical_bytes(_with_sets(_parse_definition(text)))).hexdigest()


def first_digest(text: str | bytes) -> str:
    """The digest that release 0.1 pinned: of the text with its sets as they were sent.

    Raises Invalid.
    """
    return sha256(canonical(text)).hexdigest()


def canonical(text: str | bytes) -> bytes:
    """The one form of a JSON text, see the head of this module. Raises Invalid."""
    return _canonical_bytes(_parse_definition(text))


def _parse_definition(text: str | bytes) -> Any:
    try:
        return _decoder.decode(text if isinstance(text, str) else text.decode("utf-8"))
    except (ValueError, RecursionError) as fault:
        raise Invalid("The definition is not JSON text.") from fault


def _canonical_bytes(parsed: Any) -> bytes:
    out: list[bytes] = []
    _write_canonical_value(parsed, out.append, DEEPEST)
    return b"".join(out)


def _without_looks(tool: Any) -> Any:
    """The definition without what no caller goes by; the same object when it has nothing of it."""
    if not isinstance(tool, _Members):
        return tool
    kept = _Members()
    for name, member in tool:
        # Frameworks count starts in `_meta`: with all of it a harmless server drifts for ever.
        if name == "_meta" and isinstance(member, _Members):
            told = _Members(each for each in member if _is_telling(each[0]))
            kept += [(name, told)] if told else []
        elif name != "icons":
            kept.append((name, member))
    return tool if kept == tool else kept


def _is_telling(name: str) -> bool:
    """True for members of `_meta` that clients go by: MCP's own prefixes, how a page is bound."""
    prefix, slash, _ = name.partition("/")
    if not slash:
        return name == "ui"
    return prefix in ("ui", "openai") or not _OWN_LABELS.isdisjoint(prefix.split("."))


_OWN_LABELS = frozenset(("modelcontextprotocol", "mcp"))


def _with_sets(tool: Any) -> Any:
    """The definition with the sets of its schemas in one order."""
    if not isinstance(tool, _Members):
        return tool
    return _Members(
        (
            name,
            _sort_sets_in_schema(member, DEEPEST)
            if name in ("inputSchema", "outputSchema")
            else member,
        )
        for name, member in tool
    )


def _sort_sets_in_schema(value: Any, levels: int) -> Any:
    # Counted here, since where Python's own recursion gives out depends on the caller.
    if levels == 0:
        raise Invalid(f"The definition is nested deeper than {DEEPEST} levels.")
    if not isinstance(value, _Members):
        return value
    return _Members((name, _KEYWORDS.get(name, _as_sent)(each, levels - 1)) for name, each in value)


def _as_sent(value: Any, _levels: int) -> Any:
    return value


def _sort_string_set(value: Any, _levels: int) -> Any:
    plain = isinstance(value, list) and not isinstance(value, _Members)
    if plain and all(isinstance(each, str) for each in value):
        return sorted(set(value))
    return value


def _set_or_schema(value: Any, levels: int) -> Any:
    return (
        _sort_sets_in_schema(value, levels)
        if isinstance(value, _Members)
        else _sort_string_set(value, levels)
    )


def _sort_sets_in_schema_list(value: Any, levels: int) -> Any:
    """A list of schemas, in the order sent, or one schema."""
    if isinstance(value, list) and not isinstance(value, _Members):
        # The order of schemas stays: only sets of words have none (decision 0018).
        return [_sort_sets_in_schema(each, levels) for each in value]
    return _sort_sets_in_schema(value, levels)


def _map_of(change: Callable[[Any, int], Any]) -> Callable[[Any, int], Any]:
    def each(value: Any, levels: int) -> Any:
        if not isinstance(value, _Members):
            return value
        # These names are the server's own: a property called `required` is no keyword.
        return _Members((name, change(member, levels)) for name, member in value)

    return each


_KEYWORDS: dict[str, Callable[[Any, int], Any]] = {
    **dict.fromkeys(("required", "type"), _sort_string_set),
    **dict.fromkeys(("items", "allOf", "anyOf", "oneOf", "prefixItems"), _sort_sets_in_schema_list),
    **dict.fromkeys(
        (
            "not", "if", "then", "else", "contains", "propertyNames", "contentSchema",
            "additionalProperties", "additionalItems", "unevaluatedItems", "unevaluatedProperties",
        ),
        _sort_sets_in_schema,
    ),
    **dict.fromkeys(
        ("properties", "patternProperties", "$defs", "definitions"), _map_of(_sort_sets_in_schema)
    ),
    "dependentSchemas": _map_of(_sort_sets_in_schema),
    "dependentRequired": _map_of(_sort_string_set),
    "dependencies": _map_of(_set_or_schema),
}  # fmt: skip
"""Where schemas and sets stand within a schema; what other keywords hold is left as it was sent."""


class _Members(list[tuple[str, Any]]):
    """An object's members as sent, doubles included."""


class _Number(bytes):
    """A number in its final form."""

    __slots__ = ()


def _canonical_integer(token: str) -> _Number:
    # By its text: as doubles two long integers could be one, and hide behind one digest.
    return _Number(b"0" if token == "-0" else token.encode())  # noqa: S105 - a JSON token


def _canonical_fraction(token: str) -> _Number:
    # All numbers beyond a double are one infinity: by their text they stay different.
    value = float(token)
    return _Number(token.lower().encode() if isinf(value) else rfc8785.dumps(value))


def _not_json(token: str) -> NoReturn:
    raise ValueError(token)


_decoder = json.JSONDecoder(
    object_pairs_hook=_Members,
    parse_int=_canonical_integer,
    parse_float=_canonical_fraction,
    parse_constant=_not_json,
)
_quote = json.JSONEncoder(ensure_ascii=False).encode


def _write_canonical_value(value: Any, put: Any, levels: int) -> None:
    """Append the canonical bytes of a parsed value. Any: what a JSON text may hold."""
    if levels == 0:
        raise Invalid(f"The definition is nested deeper than {DEEPEST} levels.")
    if isinstance(value, _Number):
        put(bytes(value))
    elif isinstance(value, str):
        put(_quote(value).encode("utf-8", "surrogatepass"))
    # Asked before `list`, which `_Members` is as well.
    elif isinstance(value, _Members):
        for place, (name, member) in enumerate(sorted(value, key=_by_name)):
            put(b"," if place else b"{")
            put(_quote(name).encode("utf-8", "surrogatepass") + b":")
            _write_canonical_value(member, put, levels - 1)
        put(b"}" if value else b"{}")
    elif isinstance(value, list):
        for place, element in enumerate(value):
            put(b"," if place else b"[")
            _write_canonical_value(element, put, levels - 1)
        put(b"]" if value else b"[]")
    else:
        put(b"null" if value is None else b"true" if value else b"false")


def _by_name(member: tuple[str, Any]) -> bytes:
    """RFC 8785, 3.2.3: names are sorted by their UTF-16 code units."""
    return member[0].encode("utf-16-be", "surrogatepass")
