"""Which era a client speaks, and whether its headers say what its body says.

The era follows from the version header or the `_meta` key, never from the method's name: a client
may send `initialize` in modern shape and must then hear that there is no such method.
Source: MCP 2026-07-28 basic/versioning and basic/transports/streamable-http (Server Validation).
"""

import base64
import binascii
import re
from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

from gatelodge.core.jsontext.jsonrpc import INVALID_PARAMS
from gatelodge.core.jsontext.shape import read_as
from gatelodge.core.protocol.envelope import (
    ClientMessage,
    Era,
    Members,
    MessageFault,
    RequestFault,
    given,
    read_text,
)
from gatelodge.core.protocol.upstream_headers import HeaderMirror, mirror_headers
from gatelodge.core.protocol.version import (
    HEADER_MISMATCH,
    LEGACY,
    META_CLIENT_CAPABILITIES,
    META_CLIENT_INFO,
    META_PREFIX,
    META_PROTOCOL_VERSION,
    MODERN,
    NAMED,
    UNSUPPORTED_VERSION,
)

_SENTINEL = b"=?base64?"
_BAGGAGE = "baggage"
_WHOLE = re.compile(rb"(-?[0-9]{1,16})(?:\.0{1,16})?")


def client_era(version_header: str | None, message: ClientMessage) -> Era:
    """Modern when the header names no legacy version, or the body carries the modern `_meta`."""
    # The body goes first: a modern one under a legacy header has to fail, not to pass as legacy.
    if META_PROTOCOL_VERSION in message.meta:
        return "modern"
    # An unknown version counts as modern, since that era's error tells what is supported.
    if version_header is not None and version_header not in LEGACY:
        return "modern"
    return "legacy"


def header_text(value: bytes) -> str | None:
    """A mirrored header's text; undoes the Base64 sentinel. None when it cannot be read."""
    if value.startswith(_SENTINEL) and value.endswith(b"?="):
        try:
            # Without `validate` odd bytes are dropped in silence: two fields would name one tool.
            value = base64.b64decode(value[len(_SENTINEL) : -2], validate=True)
        except (binascii.Error, ValueError):
            return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _fault_of_message(
    code: int, text: str, message: ClientMessage, data: bytes = b""
) -> MessageFault:
    reason = "invalid_params" if code == INVALID_PARAMS else "header_mismatch"
    if code == UNSUPPORTED_VERSION:
        reason = "unsupported_version"
    return MessageFault(RequestFault(400, code, text, reason, message.id or b"null", data))  # type: ignore[arg-type]


def _check_version(message: ClientMessage, header: str | None) -> None:
    version = read_text(message.meta.get(META_PROTOCOL_VERSION))
    # Whoever speaks an unknown version may know no such `_meta`: it is not what they lack.
    if version is None and header is not None and header != MODERN:
        raise _unsupported_version_fault(header, message, (MODERN, *LEGACY))
    if version is None:
        raise _fault_of_message(
            INVALID_PARAMS, f"params._meta must hold {META_PROTOCOL_VERSION}", message
        )
    # A proxy acts on the header and the gate on the body: both have to say one thing.
    if header is None or header != version:
        text = "header MCP-Protocol-Version must equal the version in params._meta"
        raise _fault_of_message(HEADER_MISMATCH, text, message)
    if version != MODERN:
        raise _unsupported_version_fault(version, message, (MODERN,))


def _unsupported_version_fault(
    version: str, message: ClientMessage, supported: tuple[str, ...]
) -> MessageFault:
    data = msgspec.json.encode({"supported": supported, "requested": version})
    return _fault_of_message(UNSUPPORTED_VERSION, "unsupported protocol version", message, data)


def check_modern(message: ClientMessage, headers: Mapping[bytes, bytes]) -> None:
    """Check what a modern message must carry. Raises MessageFault.

    A version in `_meta`, capabilities, and headers that repeat the body are asked of requests
    alone: the header of a notification names this version, or none. `headers` are lower-case names
    to values; a repeated one was refused before. What follows from `_meta` and the version header
    alone comes first: see `check_repeated`.
    """
    raw_version = headers.get(b"mcp-protocol-version")
    version = None if raw_version is None else raw_version.decode("latin-1")
    if not message.id:  # a notification
        if version not in {None, MODERN}:
            raise _unsupported_version_fault(version or "", message, (MODERN, *LEGACY))
        return
    _check_version(message, version)
    if META_CLIENT_CAPABILITIES not in message.meta:
        raise _fault_of_message(
            INVALID_PARAMS, f"params._meta must hold {META_CLIENT_CAPABILITIES}", message
        )
    check_repeated(message, headers)


def check_repeated(message: ClientMessage, headers: Mapping[bytes, bytes]) -> None:
    """Check that the headers of a modern request repeat its method and name. Raises MessageFault.

    It is all of `check_modern` that is left for a request whose `_meta` and version were good.
    """
    if headers.get(b"mcp-method", b"").decode("latin-1") != message.method:
        raise _fault_of_message(HEADER_MISMATCH, "header Mcp-Method must equal the method", message)
    member = NAMED.get(message.method)
    if member is None:
        return
    name = read_text(message.params.get(member))
    named = headers.get(b"mcp-name")
    # A name that is no text is refused by its method, in the words for wrong params.
    if name is not None and (named is None or header_text(named) != name):
        text = f"header Mcp-Name must equal params.{member}"
        raise _fault_of_message(HEADER_MISMATCH, text, message)


def headers_mirror(
    headers: Mapping[bytes, bytes], wanted: tuple[HeaderMirror, ...], arguments: Raw
) -> bool:
    """Say whether the `Mcp-Param-*` headers repeat these arguments, no more and no less.

    Numbers are compared as numbers (MCP 2026-07-28 transports: 42 equals 42.0).
    """
    expected = dict(mirror_headers(wanted, arguments))
    for mirror in wanted:
        sent = headers.get(mirror.header.lower().encode("latin-1"))
        due = expected.get(mirror.header)
        # A field too many is as false as one too few: something in front may have routed by it.
        if (sent is None) != (due is None):
            return False
        if sent is None or due is None:
            continue
        if header_text(sent) != header_text(due.encode("latin-1")) and not (
            mirror.number
            and _whole_number_or_field(sent) == _whole_number_or_field(due.encode("latin-1"))
        ):
            return False
    return True


def _whole_number_or_field(value: bytes) -> int | bytes:
    """The whole number that a field says, or the field itself when it says none."""
    number = _WHOLE.fullmatch(value)
    return value if number is None else int(number[1])


def passing_meta(meta: Members) -> Members:
    """The `_meta` members that may go on to an upstream: reserved ones end at each hop.

    Trace context goes on, its baggage does not: that may say more of a caller than a server of
    somebody else should know (W3C Baggage, Privacy Considerations).
    """
    return {
        key: value
        for key, value in meta.items()
        if not key.startswith(META_PREFIX) and key != _BAGGAGE
    }


def said_of_itself(message: ClientMessage) -> Raw | None:
    """What the client says of itself (raw JSON), in either era."""
    return given(message.meta, META_CLIENT_INFO) or given(message.params, "clientInfo")


def client_text(raw: bytes) -> str:
    """`name/version` of a client's info; unverified, at most 64 characters."""
    said = read_as(raw, _Implementation)
    if said is None:
        return ""  # what a client calls itself is unproven: what cannot be read refuses nobody
    return f"{_text_or_raw_excerpt(said.name)}/{_text_or_raw_excerpt(said.version)}"[:64]


class _Implementation(Struct):
    """What a client says of itself; all else in it is passed over unread."""

    name: Raw = Raw(b'""')
    version: Raw = Raw(b'""')


def _text_or_raw_excerpt(raw: Raw) -> str:
    """A text, or as much as can matter of what stands in its place."""
    text = read_text(raw)
    return bytes(memoryview(raw)[:64]).decode(errors="replace") if text is None else text
