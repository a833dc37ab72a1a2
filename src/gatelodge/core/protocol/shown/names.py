"""The names clients see: `alias__tool`, safe for every model vendor's function-name rule.

Policy keys on (server id, original name), never on what this module makes. An alias holds no
underscore, so a shown name splits at its first `__`, and two servers can never share one.
"""

import re
import unicodedata
from collections.abc import Iterable
from hashlib import sha256

LONGEST = 48
"""Characters in a shown name, unless `limits.name_length` says another number.

The vendors' rule is `[A-Za-z0-9_-]{1,64}`, and clients put a prefix of theirs before each name.
"""

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_MARKED = re.compile(r".*_[0-9a-f]{8}", re.DOTALL)
_ALIAS_LENGTH = 20
"""So short that the shortest `limits.name_length` cuts no alias."""
ALIAS = f"[a-z][a-z0-9-]{{0,{_ALIAS_LENGTH - 1}}}"
"""What a server's alias looks like, in names and in the paths of endpoints."""
_ALIAS = re.compile(ALIAS)


def is_alias(text: str) -> bool:
    """True when `text` may be a server's alias: `[a-z][a-z0-9-]{0,19}`."""
    return _ALIAS.fullmatch(text) is not None


def alias_for(name: str) -> str:
    """An alias that reminds of this name."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if not words[:1].isalpha():
        words = f"mcp-{words}" if words else "server"
    return words[:_ALIAS_LENGTH].rstrip("-")


def shown_name(alias: str, tool: str, longest: int = LONGEST) -> str:
    """The name clients see, at most `longest` characters of `[A-Za-z0-9_-]`.

    Characters outside become `_`, and what is too long is cut. A name that was changed so ends in
    a mark: `_` and eight hex digits of the SHA-256 of the full name as it was. One that looks as
    if it had a mark gets one too, so that no name is shown as another one is.
    """
    full = f"{alias}__{tool}"
    mapped = _UNSAFE.sub("_", full)
    if mapped == full and len(full) <= longest and _MARKED.fullmatch(full) is None:
        return full
    mark = sha256(full.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{mapped[: longest - 9]}_{mark}"


def colliding_names(
    alias: str, tools: Iterable[str], longest: int = LONGEST
) -> dict[str, tuple[str, ...]]:
    """The shown names that several tools of a server would have, with their own names: refuse them.

    Marks collide by chance once in four thousand million, or because a server's author meant it.
    """
    seen: dict[str, list[str]] = {}
    for tool in tools:
        seen.setdefault(shown_name(alias, tool, longest), []).append(tool)
    return {shown: tuple(names) for shown, names in seen.items() if len(names) > 1}
