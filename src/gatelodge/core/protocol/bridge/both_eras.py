"""In which era a server that speaks both can ask its client, told from how it answered.

A tool that answers `input_required` can ask in the modern era only, one that sends a request in the
middle of the call in a legacy one only; an SDK that does not turn the one into the other says so in
an error. Source: decision 0020; the Python SDK 2.3, the TypeScript SDK 2.4 and rmcp 3.11.
"""

import re
from typing import Final

import msgspec
from msgspec import Raw, Struct

from gatelodge.core.jsontext.jsonrpc import INTERNAL_ERROR, parse_fault
from gatelodge.core.protocol.envelope import join_members, members_of
from gatelodge.core.protocol.result import result_kind
from gatelodge.core.protocol.version import MODERN, Era

_LONGEST: Final = 64 * 1024
"""Bytes of a result that is looked at; questions and errors are shorter."""
_WANTED_TO_ASK: Final = re.compile(
    r"InputRequiredResult requires negotiated protocol version \S+ or newer"
    r"|Handler for \S+ returned an input-required result, but this request is served on protocol "
    r"revision \S+, which has no input_required vocabulary"
)
"""What rmcp and the TypeScript SDK say of it, whole: the request is sent once more then, which an
error that only speaks of such things, after an effect, must not bring about."""
_NOT_A_RESULT: Final = "Handler returned an invalid result"
"""What the Python SDK says of it, and of any other result that is none."""
_NO_WAY_BACK: Final = (
    b"has no back-channel for server-initiated requests",
    b"Server-to-client requests are not available on protocol revision",
)

_CURE: Final = (
    f". If it wanted to ask something: call it again, {MODERN} is spoken to it from now on, "
    "in which it can"
)


class AskingSign(Struct, frozen=True):
    """The era in which a tool can ask; `sure` when nothing but that can be meant."""

    era: Era
    sure: bool = True


def asking_sign(spoken: Era, result: Raw | None, error: Raw | None) -> AskingSign | None:
    """What an answer in this era tells; None when it tells nothing.

    A legacy answer that is a sure sign of the modern era comes of a handler that ended with its
    questions: to ask it once more is what a client of that era does.
    """
    if error is not None:
        return _of_error(spoken, error)
    if result is None or memoryview(result).nbytes > _LONGEST:
        return None
    raw = bytes(result)
    if b'"input_required"' in raw and result_kind(members_of(result) or {}) == "input_required":
        return AskingSign("modern")
    if spoken == "modern" and any(words in raw for words in _NO_WAY_BACK):
        # A tool may write these words itself, so the sign is believed for one call only.
        return AskingSign("legacy", sure=False)
    return None


def _of_error(spoken: Era, error: Raw) -> AskingSign | None:
    if spoken == "modern":
        lost = any(words in bytes(error) for words in _NO_WAY_BACK)
        return AskingSign("legacy", sure=False) if lost else None
    fault = parse_fault(error)
    if _WANTED_TO_ASK.fullmatch(fault.message):
        return AskingSign("modern")
    if fault.code == INTERNAL_ERROR and fault.message == _NOT_A_RESULT:
        return AskingSign("modern", sure=False)
    return None


def with_cure(error: Raw) -> Raw:
    """The error of an unsure sign, and what to do about it; its code and details stay."""
    members = dict(members_of(error) or {})
    members["message"] = Raw(msgspec.json.encode(parse_fault(error).message + _CURE))
    return Raw(join_members(members))
