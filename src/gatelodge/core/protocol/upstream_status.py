"""What an HTTP answer other than 200 means for the request that it answers.

Nothing of the body is ever shown: an upstream's words are a payload. A JSON-RPC error in the body
is the answer itself and is handed on raw (2026-07-28 transports: 4xx with a JSON-RPC body).
"""

import re
from typing import Literal
from urllib.parse import urljoin, urlsplit

from msgspec import UNSET, Raw

from gatelodge.core.errors import HouseError, UpstreamBrokeProtocol, UpstreamUnreachable
from gatelodge.core.jsontext.jsonrpc import METHOD_NOT_FOUND, parse_fault
from gatelodge.core.protocol.upstream import UpstreamMessage, parse_message

Rejection = Raw | HouseError | Literal["session_lost"]
"""The JSON-RPC error that answers the request; our own error; or a legacy session that is gone."""

_REFUSES_US = "Check the server's headers and secrets with `gatelodge server show`."
_NO_SESSION = -32_000
_LONGEST_URL = 300


def rejected(status: int, body: bytes, number: int, *, session: bool, wait: float) -> Rejection:
    """Judge an answer whose status is not 200 to our request `number`.

    `session` says that the request bore a session id; `wait` is its Retry-After in seconds or 0.
    """
    judged = _judge_rejection(status, body, number, session=session, wait=wait)
    if isinstance(judged, HouseError):
        judged.final = 300 <= status < 500 and status not in (408, 429)
    return judged


def _judge_rejection(
    status: int, body: bytes, number: int, *, session: bool, wait: float
) -> Rejection:
    refused = refusal(status, wait)
    # Such a body may be a proxy's, and is no answer of the tool.
    if refused is not None:
        return refused
    message = parse_message(body)
    # A lost session comes as an error too, and the caller must not take it for the tool's.
    if session and _session_lost(status, message):
        return "session_lost"
    error = _error_for(number, message) if status >= 400 else None
    if error is not None:
        return error
    if status in _ABSENT:
        return UpstreamUnreachable(f"{_ABSENT[status]} (HTTP {status}).")
    return UpstreamBrokeProtocol(f"The server answered with HTTP {status} and no JSON-RPC message.")


def _error_for(number: int, message: UpstreamMessage | None) -> Raw | None:
    # Whoever refuses before the id was read answers with null (JSON-RPC 2.0 clause 5).
    if message is None or message.error is UNSET or message.id not in (number, None, UNSET):
        return None
    return message.error


_ABSENT = {
    404: "The server has no MCP endpoint there",
    405: "The server has no MCP endpoint there",
    410: "The server has no MCP endpoint there any more",
}


def refusal(status: int, wait: float, to: str = "") -> HouseError | None:
    """The error of an answer that speaks for the whole server and not for one request.

    `to` is where a redirect leads, as far as it may be told (`redirected`).
    """
    if status in (401, 403, 407):
        return UpstreamUnreachable(f"The server refused us (HTTP {status}).", remedy=_REFUSES_US)
    # Followed, it would carry credentials and arguments wherever the server likes.
    if 300 <= status < 400:
        return UpstreamUnreachable(
            f"The server answered with a redirect (HTTP {status})"
            f"{f' to {to}' if to else ''}, which is never followed.",
            remedy="Name the URL that it redirects to, if you trust it: "
            f"gatelodge server edit ALIAS --url {to or 'URL'}",
        )
    if status in (429, 503):
        return UpstreamUnreachable(f"The server is busy (HTTP {status}).", retry_after=wait or None)
    return None


def redirected(location: bytes, url: str) -> str:
    """Scheme, host and path of a Location on the server's own host; "" for any other, or none.

    Its query may be a secret, and another host's name is an upstream's word.
    """
    try:
        to = urlsplit(urljoin(url, location.decode("ascii")))
        port = f":{to.port}" if to.port else ""
    except ValueError:
        return ""
    own = bool(location) and to.hostname == urlsplit(url).hostname
    told = f"{to.scheme}://{to.hostname}{port}{to.path}"
    # It is shown to an admin, whose terminal no server may steer by control characters.
    fits = to.scheme in ("http", "https") and len(told) <= _LONGEST_URL
    return told if own and fits and re.fullmatch(r"[!-~]+", told) else ""


def _session_lost(status: int, message: UpstreamMessage | None) -> bool:
    """True when the request was not run because the server forgot our session.

    2025-11-25 transports: 404. Some answer 400 and -32000 instead and tell it only in words. A 404
    that says "method not found" about our request is an answer, not a lost session.
    """
    fault = None
    if message is not None and message.error is not UNSET:
        fault = parse_fault(message.error)
    if status == 404:
        return fault is None or fault.code != METHOD_NOT_FOUND
    if status != 400 or fault is None or fault.code != _NO_SESSION:
        return False
    return "session" in fault.message.lower()


def retry_after(value: bytes) -> float:
    """Seconds of a Retry-After field; 0 for an absent one, a date or nonsense."""
    return min(float(value), 3600.0) if value.isdigit() else 0.0
