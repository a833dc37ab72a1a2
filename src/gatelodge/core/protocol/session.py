"""A legacy session as a sealed id: any node can read it, nobody can make one.

The id is no authentication: every request still carries its own token, and a session that another
principal opened is unknown to this one (MCP 2025-11-25 transports, Session Management).
"""

from typing import TypeVar

import msgspec
from msgspec import Struct

Packed = TypeVar("Packed")

CONTEXT = b"mcp-session"


class LegacySession(Struct, frozen=True, array_like=True):
    """What initialize settled. `ends_at` is microseconds UTC; `nonce` tells sessions apart.

    `capabilities` is what the client declared, in the form of `core.protocol.capabilities`. New
    members stand at the end and have a default, so that sessions sealed before them are read.
    """

    principal: str
    workspace: str
    alias: str
    version: str
    client: str
    ends_at: int
    nonce: bytes
    capabilities: bytes = b"{}"


class PageCursor(Struct, frozen=True, array_like=True):
    """The last item of a page; the next page begins after it.

    It counts in lists of this kind, at the endpoint of this alias (empty = that of all servers).
    """

    principal: str
    alias: str
    position: int
    name: str
    kind: str = "tools"
    endpoint: str = ""


_sessions = msgspec.msgpack.Decoder(LegacySession)
_cursors = msgspec.msgpack.Decoder(PageCursor)
pack = msgspec.msgpack.Encoder().encode


def unpacked(plain: bytes | None, decoder: "msgspec.msgpack.Decoder[Packed]") -> Packed | None:
    """The value in opened bytes, None when there is none.

    Where the seal was good and the value is not, another release made it: its client begins anew.
    """
    try:
        return None if plain is None else decoder.decode(plain)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def read_session(plain: bytes | None) -> LegacySession | None:
    """The session in opened bytes, None when there is none."""
    return unpacked(plain, _sessions)


def read_cursor(plain: bytes | None) -> PageCursor | None:
    """The cursor in opened bytes, None when there is none."""
    return unpacked(plain, _cursors)
