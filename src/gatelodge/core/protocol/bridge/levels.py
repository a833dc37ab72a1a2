"""What of a server's notifications a client hears: log messages by their level.

Source: MCP 2026-07-28 server/utilities/logging (the levels of RFC 5424; `logLevel` for each
request); 2025-11-25 server/utilities/logging (`logging/setLevel` for a session).
"""

from typing import Final

from msgspec import Raw

from gatelodge.core.protocol.envelope import members_of, read_text

LEVELS: Final = (
    "debug", "info", "notice", "warning", "error", "critical", "alert", "emergency",
)  # fmt: skip
"""Least severe first."""

_MESSAGE: Final = "notifications/message"
_COMPLETE: Final = "notifications/elicitation/complete"
"""That a page was visited; no later revision than 2025-11-25 has it."""
_RANK: Final = {level: rank for rank, level in enumerate(LEVELS)}


def read_level(raw: Raw | None) -> str:
    """The level in a `level` member or in `_meta`'s `logLevel`; empty when it is none.

    An absent one asks for nothing; one that is there and empty here is invalid (-32602).
    """
    level = read_text(raw)
    return level if level in _RANK else ""


def message_level(params: bytes) -> str:
    """The level of a `notifications/message` with these params; empty when it names none."""
    return read_level((members_of(Raw(params)) or {}).get("level"))


def passes(wanted: str, level: str) -> bool:
    """Say whether a message of this level is at least as severe as the level that is wanted.

    Nothing passes where no level is wanted, as the modern era has it, and no message without a
    level of the eight: clients know no other.
    """
    return wanted in _RANK and level in _RANK and _RANK[level] >= _RANK[wanted]


def heard(method: str, params: bytes, level: str, *, session: bool) -> bool:
    """Say whether a client that wants this level hears a notification, progress aside.

    In a `session` (legacy) it hears of visited pages too, and where it never named a level every
    log message that the server sends.
    """
    if method != _MESSAGE:
        return session and method == _COMPLETE
    said = message_level(params)
    return bool(said) and ((session and not level) or passes(level, said))
