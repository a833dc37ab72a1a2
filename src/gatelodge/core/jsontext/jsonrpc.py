"""JSON-RPC messages as bytes, whoever they go to: ids, params, results and errors are raw JSON.

Source: JSON-RPC 2.0.
"""

from functools import lru_cache
from typing import Final

import msgspec

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
