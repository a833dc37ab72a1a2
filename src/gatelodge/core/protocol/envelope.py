"""One JSON-RPC message, read without touching what is not ours.

Only the three levels that this gate owns are decoded: the envelope, `params` and `params._meta`.
Everything else stays raw JSON, so that integers beyond 64 bits, spellings of numbers and unknown
members survive byte for byte (guarantee protocol:lossless). Because what is forwarded is written
anew from the decoded levels, a repeated key there is refused instead of being read in two ways.
Source: JSON-RPC 2.0; MCP 2026-07-28 basic/index.
"""

from functools import lru_cache
from typing import Literal, NoReturn

import msgspec
from msgspec import Raw, Struct

from gatelodge.core.jsontext.jsonrpc import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR
from gatelodge.core.jsontext.keys import repeats_a_key
from gatelodge.core.jsontext.weight import MOST_MEMBERS, burden
from gatelodge.core.records.leaves import RefusedReason

Members = dict[str, Raw]
NULL = Raw(b"null")
"""JSON's null; a value that was read is compared with it without a copy."""
_NOTIFICATIONS = "notifications/"

_members = msgspec.json.Decoder(Members).decode
_KNOWN_BYTES = 512
"""Bytes of a `_meta` that is remembered."""
_text = msgspec.json.Decoder(str).decode
_anything = msgspec.json.Decoder(Raw).decode
_encode = msgspec.json.Encoder().encode


class RequestFault(Struct, frozen=True):
    """Why a message is turned away: the HTTP status, the JSON-RPC error, the record's reason.

    `data` is raw JSON for the error's `data` member, empty when there is none.
    """

    http: int
    code: int
    message: str
    reason: RefusedReason
    id: bytes = b"null"
    data: bytes = b""


class ClientMessage(Struct, frozen=True):
    """A request or a notification. `id` is raw JSON, empty for a notification."""

    method: str
    id: bytes
    params: Members
    meta: Members


class ClientResponse(Struct, frozen=True):
    """A client's answer to a question of ours (legacy revisions): a result, or an error."""

    id: bytes
    result: Raw | None = None
    error: Raw | None = None


class _UsualRequest(Struct, forbid_unknown_fields=True):
    """A request with params, as nearly all are written."""

    jsonrpc: Literal["2.0"]
    id: Raw
    method: str
    params: Members


_usual = msgspec.json.Decoder(_UsualRequest).decode


class MessageFault(Exception):
    """Carries a Fault out of the reading functions."""

    def __init__(self, fault: RequestFault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def _raise_message_fault(
    code: int, message: str, reason: RefusedReason, *, raw_id: bytes = b"null", http: int = 400
) -> NoReturn:
    raise MessageFault(RequestFault(http, code, message, reason, raw_id))


def read_members(raw: bytes | Raw, what: str, raw_id: bytes) -> Members:
    """Decode one object level. Raises MessageFault when it is no object or repeats a key."""
    try:
        members = _members(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        _raise_message_fault(
            INVALID_PARAMS, f"{what} must be an object", "invalid_params", raw_id=raw_id
        )
    _check_members(members, raw, what, raw_id)
    return members


def _check_members(members: Members, raw: bytes | Raw, what: str, raw_id: bytes) -> None:
    # To look for a second key means to walk through all of them: too many are refused before.
    if len(members) > MOST_MEMBERS:
        text = f"{what} has more than {MOST_MEMBERS} members"
        _raise_message_fault(INVALID_REQUEST, text, "too_large", raw_id=raw_id, http=413)
    if repeats_a_key(raw, members):
        text = f"{what} repeats a key"
        _raise_message_fault(INVALID_REQUEST, text, "duplicate_key", raw_id=raw_id)


def read_text(raw: Raw | None) -> str | None:
    """The string in `raw`, or None when it is absent or something else."""
    if raw is None:
        return None
    try:
        return _text(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def members_of(raw: Raw | None) -> Members | None:
    """The members of the object in `raw`, or None when it is absent or something else."""
    if raw is None:
        return None
    try:
        return _members(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def is_object(raw: Raw) -> bool:
    """Say whether this value, which was parsed, is an object; it is not taken apart."""
    return bytes(memoryview(raw)[:1]) == b"{"


def given(members: Members, name: str) -> Raw | None:
    """A member, or None when it is absent or null: many libraries write the one for the other."""
    raw = members.get(name)
    return None if raw is None or raw == NULL else raw


def _id_of(envelope: Members) -> bytes:
    """The id, empty for a notification: one that writes it as null is one too, by its method.

    A request whose id is null could not be answered, and one that nobody awaits is refused.
    """
    raw = envelope.get("id")
    if raw is None:
        return b""
    # Kept as it was spelled: a number beyond 64 bits must come back as the one that was sent.
    text = bytes(raw)
    first = text[:1]
    if first == b'"':
        return text
    digits = text[1:] if first == b"-" else text
    if digits.isdigit() and len(text) <= 64:
        return text
    if raw == NULL and (read_text(envelope.get("method")) or "").startswith(_NOTIFICATIONS):
        return b""
    _raise_message_fault(INVALID_REQUEST, "id must be a string or an integer", "invalid_request")


def _read_envelope(body: bytes) -> Members:
    try:
        envelope = _members(body)
    except RecursionError:
        _raise_message_fault(PARSE_ERROR, "the JSON nests too deep", "malformed_json")
    except (msgspec.DecodeError, UnicodeDecodeError):
        _refuse_body(body)
    _check_members(envelope, body, "the message", b"null")
    return envelope


def _refuse_body(body: bytes) -> NoReturn:
    try:
        _anything(body)  # walked through, and nothing is made of it
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        _raise_message_fault(PARSE_ERROR, "the body is not JSON", "malformed_json")
    if body.lstrip()[:1] == b"[":
        _raise_message_fault(INVALID_REQUEST, "batches are not accepted", "invalid_request")
    _raise_message_fault(INVALID_REQUEST, "the body is not a JSON-RPC object", "invalid_request")


def check_burden(body: bytes, depth: int) -> None:
    """Raise MessageFault for a body that is too much work to read."""
    if too_much := burden(body, depth):
        _refuse_burden(too_much)


def _refuse_burden(too_much: str) -> NoReturn:
    if "deeper" in too_much:
        _raise_message_fault(PARSE_ERROR, too_much, "malformed_json")
    _raise_message_fault(INVALID_REQUEST, too_much, "too_large", http=413)


def read_message(body: bytes, depth: int) -> ClientMessage | ClientResponse:
    """Read the body of a POST. Raises MessageFault with the exact refusal."""
    if not body.isascii():
        # What stays raw is not decoded below, and must not be passed on as something unreadable.
        try:
            body.decode()
        except UnicodeDecodeError:
            _raise_message_fault(PARSE_ERROR, "the body is not UTF-8", "malformed_json")
    # What a body costs to parse is its sender's choice, so it is weighed before.
    if too_much := burden(body, depth):
        _refuse_burden(too_much)
    return _usual_request(body) or _any_message(body)


def _usual_request(body: bytes) -> ClientMessage | None:
    """Read a request in one step when it is written without a space, an escape or a repeated key.

    Whatever else it is, or what is wrong with it, is for `_any_message` to say. What was decoded
    is never longer than what it was read from, so the same length leaves no room for any of them.
    """
    try:
        usual = _usual(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    params = usual.params
    # A null id is right for some notifications: `_any_message` tells them by their method.
    if usual.id == NULL or len(params) > MOST_MEMBERS or len(_encode(usual)) != len(body):
        return None
    raw_id = _id_of({"id": usual.id})
    raw_meta = given(params, "_meta")
    return ClientMessage(
        usual.method,
        raw_id,
        params,
        {} if raw_meta is None else _read_meta(bytes(raw_meta), raw_id),
    )


def _any_message(body: bytes) -> ClientMessage | ClientResponse:
    envelope = _read_envelope(body)
    if bytes(envelope.get("jsonrpc", b"")) != b'"2.0"':
        _raise_message_fault(INVALID_REQUEST, 'jsonrpc must be "2.0"', "invalid_request")
    raw_id = _id_of(envelope)
    raw_method = envelope.get("method")
    if raw_method is None:
        # Without an id it answers no question of ours, and is refused as what it lacks: a method.
        if raw_id and ("result" in envelope or "error" in envelope):
            return ClientResponse(raw_id, given(envelope, "result"), given(envelope, "error"))
        _raise_message_fault(
            INVALID_REQUEST, "method is missing", "invalid_request", raw_id=raw_id or b"null"
        )
    method = read_text(raw_method)
    if method is None:
        text = "method must be a string"
        _raise_message_fault(INVALID_REQUEST, text, "invalid_request", raw_id=raw_id or b"null")
    raw_params = given(envelope, "params")
    if raw_params is None:
        return ClientMessage(method, raw_id, {}, {})
    params = read_members(raw_params, "params", raw_id or b"null")
    raw_meta = given(params, "_meta")
    meta = {} if raw_meta is None else _read_meta(bytes(raw_meta), raw_id or b"null")
    return ClientMessage(method, raw_id, params, meta)


def _read_meta(text: bytes, raw_id: bytes) -> Members:
    """The members of a `_meta`, to be read only: the same object for the same short text."""
    if len(text) <= _KNOWN_BYTES:
        try:
            return _known_meta(text)
        except MessageFault:
            pass  # it is said below, of this request
    return read_members(text, "params._meta", raw_id)


@lru_cache(maxsize=1024)
def _known_meta(text: bytes) -> Members:
    """Most clients say the same of themselves on each of their requests."""
    # One result serves many requests, so no id of theirs may stand in it.
    return read_members(text, "params._meta", b"null")


def join_members(members: Members) -> bytes:
    """The object with these members, each value as it was."""
    return _encode(members)


Era = Literal["modern", "legacy"]
"""modern: version and capabilities on every request (2026-07-28); legacy: an `initialize` first."""
