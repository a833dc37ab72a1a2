"""JSON-RPC as bytes, whoever it goes to or comes from: messages are written here, errors read.

Ids, params, results and errors are raw JSON. How a message is read is for each side to say: an
agent's is taken apart to be refused exactly and comes back with the id as it was spelled
(`protocol.envelope`); a server's answers ids of this house's own (`protocol.upstream`).
Source: JSON-RPC 2.0.
"""

from functools import lru_cache
from typing import Annotated, Final

import msgspec
from msgspec import Raw, Struct

from gatelodge.core.jsontext.shape import read_as

PARSE_ERROR: Final = -32_700
INVALID_REQUEST: Final = -32_600
METHOD_NOT_FOUND: Final = -32_601
INVALID_PARAMS: Final = -32_602
INTERNAL_ERROR: Final = -32_603
UNAVAILABLE: Final = -32_000

_encode = msgspec.json.Encoder().encode


def request_body(number: int, method: str, params: bytes) -> bytes:
    """A request of ours (hot path); its methods are few, and kept as JSON."""
    return b'{"jsonrpc":"2.0","id":%d,"method":%b,"params":%b}' % (
        number,
        _encoded_method(method),
        params,
    )


@lru_cache(maxsize=256)
def _encoded_method(method: str) -> bytes:
    return _encode(method)


def notification_body(method: str, params: bytes = b"") -> bytes:
    """A notification, without params when there are none."""
    if not params:
        return b'{"jsonrpc":"2.0","method":%b}' % _encode(method)
    return b'{"jsonrpc":"2.0","method":%b,"params":%b}' % (_encode(method), params)


def result_body(raw_id: bytes, result: bytes) -> bytes:
    """A response with a result."""
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (raw_id, result)


def error_body(raw_id: bytes, code: int, message: str, data: bytes = b"") -> bytes:
    """A response with an error, and details about it when there are any."""
    text = _encode(message)
    if data:
        return raw_error_body(raw_id, b'{"code":%d,"message":%b,"data":%b}' % (code, text, data))
    return raw_error_body(raw_id, b'{"code":%d,"message":%b}' % (code, text))


def raw_error_body(raw_id: bytes, error: bytes) -> bytes:
    """A response with an error object that somebody else wrote."""
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (raw_id, error)


class ErrorObject(Struct):
    """The members of an error object that somebody here looks at."""

    code: int = 0
    message: str = ""
    data: Raw = Raw(b"null")


class _WholeError(Struct):
    code: int
    message: str


class _ErrorCode(Struct):
    code: Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)] | None = None


def parse_fault(error: Raw) -> ErrorObject:
    """The error's code, message and details; code 0 when it is not a JSON-RPC error object."""
    return read_as(error, ErrorObject) or ErrorObject()


def is_error(error: Raw) -> bool:
    """True for a JSON-RPC error object: a whole number as its code, a text as its message."""
    return read_as(error, _WholeError) is not None


def rpc_code(error: Raw) -> int | None:
    """The code of a JSON-RPC error object, None when it has none that fits.

    One that needs more than 32 bits is a message and no code: the code stands in the log, in which
    nothing that a server says may stand (guarantee audit:no-payload).
    """
    found = read_as(error, _ErrorCode)
    return None if found is None else found.code
