"""JSON-RPC errors of one era as the other knows them, and the HTTP status they come with.

Source: MCP 2026-07-28 basic/index (Error Codes), basic/transports/streamable-http (Server
Validation), server/resources (Error Handling); 2025-11-25 client/elicitation.
"""

from typing import Final

import msgspec
from msgspec import Raw

from gatelodge.core.jsontext.jsonrpc import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    parse_fault,
)
from gatelodge.core.protocol.bridge.questions import URL_REQUIRED
from gatelodge.core.protocol.envelope import join_members, members_of, read_text
from gatelodge.core.protocol.version import (
    HEADER_MISMATCH,
    MISSING_CAPABILITY,
    MODERN_ERRORS,
    UNSUPPORTED_VERSION,
    Era,
)

NOT_FOUND: Final = -32_002
"""A resource that is not there, up to 2025-11-25; since then it is -32602 with `data.uri`."""

_STATUS: Final = {
    METHOD_NOT_FOUND: 404,
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    INVALID_PARAMS: 400,
    HEADER_MISMATCH: 400,
    MISSING_CAPABILITY: 400,
    UNSUPPORTED_VERSION: 400,
}
_HOP: Final = frozenset((HEADER_MISMATCH, UNSUPPORTED_VERSION))
"""Errors of the connection between a server and this gate; its client has no part in them."""
_URL_NEEDED: Final = Raw(b'{"requiredCapabilities":{"elicitation":{"url":{}}}}')

_encode = msgspec.json.Encoder().encode


def http_status(code: int | None, era: Era) -> int:
    """The HTTP status of an answer with this JSON-RPC error code; None = an error without one.

    In the legacy era an error is an answer like any other, and its status is 200.
    """
    return 200 if era == "legacy" or code is None else _STATUS.get(code, 200)


def error_for(error: Raw, method: str, spoken: Era, era: Era, uri: str = "") -> Raw:
    """A server's JSON-RPC error, `spoken` in one era, as a client of this one knows it.

    Between equals it is the same, but for errors of the modern connection between the server and
    this gate. Else message and details stay. `uri` is what was asked for, put in where a modern
    error must name it and the server did not. A `-32042` that was not turned into questions
    (`from_url_required`) means in the modern era that URL elicitation was not declared.
    """
    code = parse_fault(error).code
    if spoken == era:
        return (
            _error_with_code(error, INTERNAL_ERROR) if era == "modern" and code in _HOP else error
        )
    if code in MODERN_ERRORS and not (era == "modern" and _names_capabilities(error, code)):
        return _error_with_code(
            error, INTERNAL_ERROR
        )  # of the connection, or of the server's own making
    if era == "modern":
        return _for_modern(error, code, method, uri)
    # The code means bad params as well: only with a URI it says that a resource is missing.
    if code == INVALID_PARAMS and method.startswith("resources/") and _uri_of(error) is not None:
        return _error_with_code(error, NOT_FOUND)
    return error


def _for_modern(error: Raw, code: int, method: str, uri: str) -> Raw:
    if code == URL_REQUIRED:
        return _error_with_code(error, MISSING_CAPABILITY, _URL_NEEDED)
    if code != NOT_FOUND or not method.startswith("resources/"):
        return error
    if not uri or _uri_of(error) is not None:
        return _error_with_code(error, INVALID_PARAMS)
    data = parse_fault(error).data
    details = {} if bytes(data) == b"null" else members_of(data)
    if details is None:  # of another kind, and there is no place for it beside them
        return _error_with_code(error, INVALID_PARAMS)
    return _error_with_code(
        error, INVALID_PARAMS, Raw(join_members({**details, "uri": Raw(_encode(uri))}))
    )


def _names_capabilities(error: Raw, code: int) -> bool:
    """True for what this gate itself told a legacy server which asked its client in vain."""
    details = members_of(parse_fault(error).data) or {}
    needed = details.get("requiredCapabilities")
    return code == MISSING_CAPABILITY and members_of(needed) is not None


def _uri_of(error: Raw) -> str | None:
    """The URI that an error is about, None when it names none."""
    return read_text((members_of(parse_fault(error).data) or {}).get("uri"))


def _error_with_code(error: Raw, code: int, details: Raw | None = None) -> Raw:
    """The error under another code, and with other details when they are given."""
    members = dict(members_of(error) or {})
    members["code"] = Raw(b"%d" % code)
    if details is not None:
        members["data"] = details
    return Raw(join_members(members))
