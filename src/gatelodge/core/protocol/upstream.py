"""What is said to an upstream and what is read from its answers: bytes in, values out.

Only envelopes are decoded; params and results stay raw, so numbers, escapes and unknown members
pass unchanged. Ids and progress tokens of the upstream side are this house's own integers.
"""

import re
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from gatelodge.core.jsontext.jsonrpc import (
    INTERNAL_ERROR,
    METHOD_NOT_FOUND,
    error_body,
    notification_body,
    raw_error_body,
    request_body,
    result_body,
)
from gatelodge.core.jsontext.shape import read_as
from gatelodge.core.jsontext.weight import MOST_DEPTH, burden
from gatelodge.core.protocol.capabilities import NOTHING, for_legacy, for_modern
from gatelodge.core.protocol.envelope import NULL, members_of
from gatelodge.core.protocol.version import (
    LEGACY_UPSTREAM,
    META_CLIENT_CAPABILITIES,
    META_CLIENT_INFO,
    META_LOG_LEVEL,
    META_PROGRESS,
    META_PROTOCOL_VERSION,
    META_SUBSCRIPTION,
    MODERN,
)

RESERVED: Final = frozenset((
    META_PROTOCOL_VERSION, META_CLIENT_CAPABILITIES, META_CLIENT_INFO, META_LOG_LEVEL,
    META_PROGRESS, META_SUBSCRIPTION,
))  # fmt: skip
"""`_meta` keys that end at each hop and are issued anew."""

CHANGED: Final = frozenset((
    "notifications/tools/list_changed",
    "notifications/prompts/list_changed",
    "notifications/resources/list_changed",
))  # fmt: skip
UPDATED: Final = "notifications/resources/updated"
PROGRESS: Final = "notifications/progress"
CANCELLED: Final = "notifications/cancelled"
ROOTS_CHANGED: Final = "notifications/roots/list_changed"
ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"

_encode = msgspec.json.Encoder().encode


AskedId = int | str | UnsetType | None
"""The id of a server's message, as it may stand there."""


class UpstreamMessage(Struct):
    """One JSON-RPC message of an upstream; what is absent, or null beside something, is UNSET."""

    id: AskedId = UNSET
    method: str = ""
    params: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


_messages = msgspec.json.Decoder(UpstreamMessage)
_members = msgspec.json.Decoder(dict[str, Raw])


class UnreadableBytes(Struct, frozen=True):
    """Bytes that are no message. `too_much` says why they are not handed on, if they were one."""

    too_much: str = ""


def parse_message(body: bytes) -> UpstreamMessage | None:
    """The message in these bytes, or None when there is none that can be read."""
    message = read_message(body)
    return None if isinstance(message, UnreadableBytes) else message


def read_message(body: bytes) -> UpstreamMessage | UnreadableBytes:
    """The message in these bytes, if they are one UTF-8 JSON-RPC object and not too much to read.

    They are weighed once. Members that are null are as good as absent where libraries write them
    so: a null `error` beside a result, the `params` of a request, the id of a notification.
    """
    if len(body) > _LIGHT and (too_much := burden(body, MOST_DEPTH)):
        return UnreadableBytes(too_much)
    try:
        # What stays raw is handed on without being read, so it has to be UTF-8 by now.
        if not body.isascii():
            body.decode()
        message = _messages.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _NO_MESSAGE
    if message.error is not UNSET:
        if memoryview(message.error).nbytes > MOST_ERROR:
            return UnreadableBytes(f"its error is of more than {MOST_ERROR >> 20} MiB")
        if message.error == NULL:
            message.error = UNSET
    if message.method:
        # As a request it would be answered, which a server does not expect of a notification.
        if message.id is None:
            message.id = UNSET
        if message.params is not UNSET and message.params == NULL:
            message.params = UNSET
    return message


MOST_ERROR: Final = 1 << 20
"""Bytes of a server's error: its text is read wherever somebody is told why a call failed."""
_NO_MESSAGE: Final = UnreadableBytes()
_LIGHT: Final = 512
"""Bytes of a message that cannot nest too deep."""


def answered_number(body: bytes) -> int:
    """The request of ours that an unreadable message answers; 0 when that cannot be told.

    A response tells at its beginning or at its end, in every order of its members that libraries
    write. What lies between, above all what makes it unreadable, is not looked at.
    """
    found = _HEAD.match(body[:_EDGE]) or (
        _OPENS.match(body[:_EDGE]) and _TAIL.search(body[-_EDGE:])
    )
    return int(found[1]) if found else 0


_EDGE: Final = 256
_JSONRPC: Final = rb'\s*"jsonrpc"\s*:\s*"2\.0"\s*'
_ID: Final = rb'\s*"id"\s*:\s*(\d{1,18})\s*'
_HEAD: Final = re.compile(
    rb'\s*\{(?:%b,)?%b,(?:%b,)?\s*"(?:result|error)"' % (_JSONRPC, _ID, _JSONRPC)
)
_OPENS: Final = re.compile(rb'\s*\{(?:%b,)?\s*"(?:result|error)"' % _JSONRPC)
_TAIL: Final = re.compile(rb",(?:%b,)?%b(?:,%b)?\}\s*$" % (_JSONRPC, _ID, _JSONRPC))


@lru_cache(maxsize=1024)
def modern_meta(version: str, client: str, capabilities: bytes = NOTHING, level: str = "") -> bytes:
    """The members of `_meta` that every modern request carries, without the closing brace.

    Declared is what the caller's client declared; `clientInfo` names this gate and, in brackets,
    whom it asks for.
    """
    ours = {"name": "gatelodge", "version": f"{version} ({client})" if client else version}
    meta: dict[str, object] = {
        META_PROTOCOL_VERSION: MODERN,
        META_CLIENT_CAPABILITIES: for_modern(capabilities),
        META_CLIENT_INFO: ours,
    }
    if level:
        meta[META_LOG_LEVEL] = level
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
    # Beside the one that is written here it would be a repeated key, which has two readings.
    if "_meta" in params:
        params = {key: value for key, value in params.items() if key != "_meta"}
    if not params:
        inner = b'{"_meta":' + meta + b"}" if meta else b"{}"
    elif meta:
        inner = _encode(params)[:-1] + b',"_meta":' + meta + b"}"
    else:
        inner = _encode(params)
    return request_body(number, method, inner)


def initialize_params(version: str, capabilities: bytes) -> dict[str, Raw]:
    """The params of `initialize`: the newest legacy revision, what is declared, our name."""
    return {
        "protocolVersion": Raw(_encode(LEGACY_UPSTREAM[0])),
        "capabilities": for_legacy(capabilities),
        "clientInfo": Raw(_encode({"name": "gatelodge", "version": version})),
    }


def level_params(level: str) -> dict[str, Raw]:
    """The params of `logging/setLevel`."""
    return {"level": Raw(_encode(level))}


def uri_params(uri: str) -> dict[str, Raw]:
    """The params of `resources/subscribe` and `resources/unsubscribe`."""
    return {"uri": Raw(_encode(uri))}


def response_bytes(number: AskedId, result: Raw | None, error: Raw | None) -> bytes:
    """Our response to a request of a legacy server; without either it is an internal error."""
    if result is not None:
        return result_body(_id_bytes(number), bytes(result))
    if error is None:
        return error_body(_id_bytes(number), INTERNAL_ERROR, "Internal error")
    return raw_error_body(_id_bytes(number), bytes(error))


def refusal_bytes(number: AskedId) -> bytes:
    """Our response to a request of a server that nobody here can answer."""
    return error_body(_id_bytes(number), METHOD_NOT_FOUND, "Method not found")


def answer_bytes(asked: UpstreamMessage) -> bytes:
    """What a server that asks us something is told: `ping` is answered, all else is unknown."""
    # A server whose ping is not answered may take the connection for dead (basic/utilities/ping).
    if asked.method == "ping":
        return result_body(_id_bytes(asked.id), b"{}")
    return refusal_bytes(asked.id)


def _id_bytes(number: AskedId) -> bytes:
    return b"null" if number is UNSET else _encode(number)


def cancelled_bytes(number: int, reason: str) -> bytes:
    """`notifications/cancelled` for one of our requests."""
    return notification_body(CANCELLED, _encode({"requestId": number, "reason": reason}))


class _Progress(Struct):
    progressToken: int | str | None = None  # noqa: N815 - the wire's spelling


class _Step(Struct):
    progress: float


class _Update(Struct):
    uri: str


class _Withdrawal(Struct):
    requestId: int | str  # noqa: N815 - the wire's spelling


class _Subscribed(Struct, rename={"meta": "_meta"}):
    meta: dict[str, object] = {}


class _Cursor(Struct):
    nextCursor: str | None = None  # noqa: N815 - the wire's spelling


def progress_number(params: bytes) -> int:
    """The token of ours that a `notifications/progress` bears; 0 when it bears none."""
    found = read_as(params, _Progress)
    # The tokens of this side are numbers, so a text that spells one belongs to nobody.
    return found.progressToken if found and isinstance(found.progressToken, int) else 0


def progress_made(params: bytes) -> float | None:
    """How far a `notifications/progress` says it is; None when it does not say."""
    found = read_as(params, _Step)
    return None if found is None else found.progress


def progress_restored(params: bytes, token: Raw) -> bytes:
    """The same params with the caller's own token in the place of ours.

    Raises msgspec.MsgspecError when they are not an object; ask `progress_number` first.
    """
    members = _members.decode(params)
    members[META_PROGRESS] = token
    return _encode(members)


def updated_uri(params: bytes) -> str:
    """The resource that a `notifications/resources/updated` names; empty when it names none."""
    found = read_as(params, _Update)
    return "" if found is None else found.uri


def withdrawn(params: bytes) -> int | str | None:
    """The question of its own that a server's `notifications/cancelled` takes back, if any."""
    found = read_as(params, _Withdrawal)
    return None if found is None else found.requestId


def subscription(params: bytes) -> int:
    """The listen request of ours to which a notification belongs; 0 when it names none."""
    found = read_as(params, _Subscribed)
    number = None if found is None else found.meta.get(META_SUBSCRIPTION)
    return number if isinstance(number, int) else 0


class UpstreamPage(Struct, frozen=True):
    """One page of a list: raw objects and the cursor of the next page (None = last)."""

    items: list[Raw]
    cursor: str | None = None


def parse_page(result: Raw, member: str) -> UpstreamPage | None:
    """The page in this result, whose objects stand in `member`; None when it is not one."""
    items = read_as((members_of(result) or {}).get(member, b""), list[Raw])
    rest = read_as(result, _Cursor)
    return None if items is None or rest is None else UpstreamPage(items, rest.nextCursor)
