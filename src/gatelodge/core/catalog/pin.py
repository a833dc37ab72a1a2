"""The pin of a tool's definition: one digest for what was approved, and how to see a drift.

The digest is the SHA-256 of the RFC 8785 form, extended where that RFC refuses, so that every
JSON text has exactly one form and no difference but a number's beyond a double's precision can
hide: integers are written with all their digits, numbers too large for a double keep their text,
a lone surrogate is written as UTF-8 would, and a member that stands twice is written twice, in the
order sent. For texts that RFC 8785 accepts the form is the RFC's own (a property test compares).
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from math import isinf
from typing import Any, NoReturn

import rfc8785
from msgspec import Struct

from gatelodge.core.errors import Invalid

DEEPEST = 100
"""Levels of nesting in a definition; no schema that a person can review needs more."""


class Drift(Struct, frozen=True):
    """How the tools observed differ from those approved, by original name, sorted."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """True when anything differs."""
        return bool(self.added or self.changed or self.removed)


def drift(approved: Mapping[str, str], observed: Mapping[str, str]) -> Drift:
    """Compare digests by original name: what is new, what is different, what is gone."""
    return Drift(
        added=tuple(sorted(observed.keys() - approved.keys())),
        changed=tuple(
            sorted(
                name
                for name in observed.keys() & approved.keys()
                if observed[name] != approved[name]
            )
        ),
        removed=tuple(sorted(approved.keys() - observed.keys())),
    )


def definition_digest(text: str | bytes) -> str:
    """Hex SHA-256 of the canonical form of a tool's definition (JSON text).

    Raises Invalid when the text is not JSON, or nested deeper than 100 levels.
    """
    return sha256(canonical(text)).hexdigest()


def canonical(text: str | bytes) -> bytes:
    """The one form of a JSON text, see the head of this module. Raises Invalid."""
    try:
        parsed = _decoder.decode(text if isinstance(text, str) else text.decode("utf-8"))
    except (ValueError, RecursionError) as fault:
        raise Invalid("The definition is not JSON text.") from fault
    out: list[bytes] = []
    _write(parsed, out.append, DEEPEST)
    return b"".join(out)


class _Members(list[tuple[str, Any]]):
    """An object's members as sent, doubles included."""


class _Number(bytes):
    """A number in its final form."""

    __slots__ = ()


def _integer(token: str) -> _Number:
    return _Number(b"0" if token == "-0" else token.encode())  # noqa: S105 - a JSON token


def _fraction(token: str) -> _Number:
    value = float(token)
    return _Number(token.lower().encode() if isinf(value) else rfc8785.dumps(value))


def _not_json(token: str) -> NoReturn:
    raise ValueError(token)


_decoder = json.JSONDecoder(
    object_pairs_hook=_Members,
    parse_int=_integer,
    parse_float=_fraction,
    parse_constant=_not_json,
)
_quote = json.JSONEncoder(ensure_ascii=False).encode


def _write(value: Any, put: Any, levels: int) -> None:
    """Append the canonical bytes of a parsed value. Any: what a JSON text may hold."""
    if levels == 0:
        raise Invalid(f"The definition is nested deeper than {DEEPEST} levels.")
    if isinstance(value, _Number):
        put(bytes(value))
    elif isinstance(value, str):
        put(_quote(value).encode("utf-8", "surrogatepass"))
    elif isinstance(value, _Members):
        for place, (name, member) in enumerate(sorted(value, key=_by_name)):
            put(b"," if place else b"{")
            put(_quote(name).encode("utf-8", "surrogatepass") + b":")
            _write(member, put, levels - 1)
        put(b"}" if value else b"{}")
    elif isinstance(value, list):
        for place, element in enumerate(value):
            put(b"," if place else b"[")
            _write(element, put, levels - 1)
        put(b"]" if value else b"[]")
    else:
        put(b"null" if value is None else b"true" if value else b"false")


def _by_name(member: tuple[str, Any]) -> bytes:
    """RFC 8785, 3.2.3: names are sorted by their UTF-16 code units."""
    return member[0].encode("utf-16-be", "surrogatepass")
