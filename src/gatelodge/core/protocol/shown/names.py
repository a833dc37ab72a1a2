"""The names clients see: `alias__tool`, safe for every model vendor's function-name rule.

Policy keys on (server id, original name), never on what this module makes. An alias holds no
underscore, so a shown name splits at its first `__`, and two servers can never share one.
"""

import re
from collections.abc import Iterable
from hashlib import sha256

from msgspec import Struct

LONGEST = 64
"""Characters in a shown name; the vendors' rule is `[A-Za-z0-9_-]{1,64}`."""

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_ALIAS = re.compile(r"[a-z][a-z0-9-]{0,15}")


class Names(Struct, frozen=True):
    """Original names by shown name, one for each tool."""

    table: dict[str, str]


class Collisions(Struct, frozen=True):
    """Shown names that more than one tool would have, with the original names. Refuse these."""

    names: dict[str, tuple[str, ...]]


def is_alias(text: str) -> bool:
    """True when `text` may be a server's alias: `[a-z][a-z0-9-]{0,15}`."""
    return _ALIAS.fullmatch(text) is not None


def shown_name(alias: str, tool: str) -> str:
    """The name clients see, at most 64 characters of `[A-Za-z0-9_-]`.

    Characters outside become `_`; what is too long is cut and ends in `_` and six hex digits of
    the SHA-256 of the unmapped full name.
    """
    full = f"{alias}__{tool}"
    mapped = _UNSAFE.sub("_", full)
    if len(mapped) <= LONGEST:
        return mapped
    mark = sha256(full.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{mapped[: LONGEST - 7]}_{mark}"


def shown_names(alias: str, tools: Iterable[str]) -> Names | Collisions:
    """The table of a server's shown names, or the collisions that forbid it."""
    seen: dict[str, list[str]] = {}
    for tool in tools:
        seen.setdefault(shown_name(alias, tool), []).append(tool)
    clashing = {shown: tuple(names) for shown, names in seen.items() if len(names) > 1}
    if clashing:
        return Collisions(clashing)
    return Names({shown: names[0] for shown, names in seen.items()})
