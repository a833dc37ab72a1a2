"""What is said to an upstream and what is read from its answers: bytes in, values out.

Only envelopes are decoded; params and results stay raw, so numbers, escapes and unknown members
pass unchanged. Ids and progress tokens of the upstream side are this house's own integers.
"""

from functools import lru_cache
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from gatelodge.core.protocol.version import (
    LEGACY_UPSTREAM,
    META_CLIENT_CAPABILITIES,
    META_CLIENT_INFO,
    META_PROGRESS,
    META_PROTOCOL_VERSION,
    MODERN,
)

RESERVED: Final = frozenset(
    (META_PROTOCOL_VERSION, META_CLIENT_CAPABILITIES, META_CLIENT_INFO, META_PROGRESS)
)
"""`_meta` keys that end at each hop and are issued anew."""

CHANGED: Final = "notifications/tools/list_changed"
LISTEN: Final = {"notifications": Raw(b'{"toolsListChanged":true}')}
"""The params of the modern `subscriptions/listen` that asks for `CHANGED`."""

_encode = msgspec.json.Encoder().encode


class Message(Struct):
    """One JSON-RPC message of an upstream; what is absent is UNSET."""

    id: int | str | UnsetType | None = UNSET
    method: str = ""
    params: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class Fault(Struct):
    """The members of a JSON-RPC error that era detection and session loss look at."""

    code: int = 0
    message: str = ""
    data: Raw = Raw(b"null")


_messages = msgspec.json.Decoder(Message)
_faults = msgspec.json.Decoder(Fault)
_members = msgspec.json.Decoder(dict[str, Raw])


def parse_message(body: bytes) -> Message | None:
    """The message in these bytes, or None when they are not one UTF-8 JSON-RPC object."""
    try:
        if not body.isascii():
            body.decode()
        return _messages.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def parse_fault(error: Raw) -> Fault:
    """The error's code, message and details; code 0 when it is not a JSON-RPC error object."""
    try:
        return _faults.decode(error)
    except (msgspec.MsgspecError, RecursionError):
        return Fault()


@lru_cache(maxsize=1024)
def modern_meta(version: str, client: str) -> bytes:
    """The members of `_meta` that every modern request carries, without the closing brace.

    We declare no capabilities; `clientInfo` names this gate and, in brackets, whom it asks for.
    """
    ours = {"name": "gatelodge", "version": f"{version} ({client})" if client else version}
    meta = {META_PROTOCOL_VERSION: MODERN, META_CLIENT_CAPABILITIES: {}, META_CLIENT_INFO: ours}
    return _encode(meta)[:-1]


def meta_bytes(opening: bytes, extra: dict[str, Raw], token: int) -> bytes:
    """`_meta` as JSON: `opening` (from `modern_meta`, or b"{"), what may pass, our own token.

    `token` 0 means none. Empty when there is nothing to say, which is only so in the legacy era.
    """
    passing = {key: value for key, value in extra.items() if key not in RESERVED} if extra else None
    body = opening
    if passing:
        body += (b"" if body == b"{" else b",") + _encode(passing)[1:-1]
    if token:
        body += (b"" if body == b"{" else b",") + b'"progressToken":%d' % token
    return b"" if body == b"{" else body + b"}"


def request_bytes(number: int, method: str, params: dict[str, Raw], meta: bytes) -> bytes:
    """One request as JSON text, `meta` (from `meta_bytes`) as the `_meta` member of its params."""
    if "_meta" in params:
        params = {key: value for key, value in params.items() if key != "_meta"}
    if not params:
        inner = b'{"_meta":' + meta + b"}" if meta else b"{}"
    elif meta:
        inner = _encode(params)[:-1] + b',"_meta":' + meta + b"}"
    else:
        inner = _encode(params)
    return b'{"jsonrpc":"2.0","id":%d,"method":%b,"params":%b}' % (number, _quoted(method), inner)


@lru_cache(maxsize=256)
def _quoted(method: str) -> bytes:
    return _encode(method)


def notification_bytes(method: str, params: dict[str, object] | None = None) -> bytes:
    """One notification as JSON text."""
    said: dict[str, object] = {"jsonrpc": "2.0", "method": method}
    return _encode(said | {"params": params} if params is not None else said)


def initialize_params(version: str) -> dict[str, Raw]:
    """The params of `initialize`: the newest legacy revision, no capabilities, our name."""
    return {
        "protocolVersion": Raw(_encode(LEGACY_UPSTREAM[0])),
        "capabilities": Raw(b"{}"),
        "clientInfo": Raw(_encode({"name": "gatelodge", "version": version})),
    }


def answer_bytes(asked: Message) -> bytes:
    """What a server that asks us something is told: `ping` is answered, all else is unknown.

    We declare no client capabilities, so a server has nothing else to ask (2025-11-25 lifecycle).
    """
    said: dict[str, object] = {"jsonrpc": "2.0", "id": asked.id}
    if asked.method == "ping":
        return _encode(said | {"result": {}})
    return _encode(said | {"error": {"code": -32_601, "message": "Method not found"}})


def cancelled_bytes(number: int, reason: str) -> bytes:
    """`notifications/cancelled` for one of our requests."""
    return notification_bytes("notifications/cancelled", {"requestId": number, "reason": reason})


def progress_number(params: bytes) -> int:
    """The token of ours that a `notifications/progress` bears; 0 when it bears none."""
    try:
        token = _tokens.decode(params).progressToken
    except (msgspec.MsgspecError, RecursionError):
        return 0
    return token if isinstance(token, int) else 0


class _Token(Struct):
    progressToken: int | str | None = None  # noqa: N815 - the wire's spelling


_tokens = msgspec.json.Decoder(_Token)


def progress_restored(params: bytes, token: Raw) -> bytes:
    """The same params with the caller's own token in the place of ours.

    Raises msgspec.MsgspecError when they are not an object; ask `progress_number` first.
    """
    members = _members.decode(params)
    members[META_PROGRESS] = token
    return _encode(members)


class Page(Struct):
    """One page of `tools/list`: raw tool objects and the cursor of the next page (None = last)."""

    tools: list[Raw]
    nextCursor: str | None = None  # noqa: N815 - the wire's spelling


_pages = msgspec.json.Decoder(Page)


def parse_page(result: Raw) -> Page | None:
    """The page in this result, or None when it is not one."""
    try:
        return _pages.decode(result)
    except (msgspec.MsgspecError, RecursionError):
        return None
