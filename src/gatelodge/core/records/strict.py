"""Leaves read strictly: one byte string for one value, or none at all.

A lenient reader would let one leaf mean two things: `json.loads` keeps the last of two equal keys.
So the bytes are hashed first, elsewhere, and then have to be exactly what RFC 8785 would write.
"""

import json
from typing import NoReturn

import rfc8785

_DEEPEST = 32


class NotCanonical(ValueError):
    """The bytes are not the one canonical form of a leaf; the text names the rule."""


def parse_leaf(body: bytes) -> dict[str, object]:
    """The fields of a leaf. Raises NotCanonical.

    Refused are repeated keys, floats, integers beyond 2^53-1, lone surrogates, anything but an
    object, deep nesting, and every spelling that differs from the canonical one.
    """
    try:
        value = json.loads(
            body.decode(),
            object_pairs_hook=_refuse_repeated_keys,
            parse_float=_no_floats,
            parse_constant=_no_floats,
        )
        # The depth has a bound of its own: where recursion gives out depends on the caller's stack.
        fields = _checked_object(value)
        written = rfc8785.dumps(fields)  # type: ignore[arg-type]
    except NotCanonical:
        raise
    except (ValueError, RecursionError) as fault:
        raise NotCanonical("a leaf is not JSON that RFC 8785 can write") from fault
    # One rule for all spellings: order, escapes, blanks and numbers need none of their own.
    if written != body:
        raise NotCanonical("a leaf is not in its canonical spelling")
    return fields


def _refuse_repeated_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotCanonical("a leaf repeats a key")
    return found


def _no_floats(_: str) -> NoReturn:
    raise NotCanonical("a leaf holds a number that is no integer")


def _checked_object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise NotCanonical("a leaf is an object")
    _check_depth(value, 0)
    return value


def _check_depth(value: object, depth: int) -> None:
    if depth > _DEEPEST:
        raise NotCanonical("a leaf is nested too deeply")
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        _check_depth(each, depth + 1)
