"""Results on their way back: what this gate owns is put in or taken out, the rest is untouched.

Source: MCP 2026-07-28 basic/index (resultType, reserved `_meta` keys), server/utilities/caching;
the map between eras is decision 0012's table.
"""

from functools import lru_cache
from typing import Literal

import msgspec
from msgspec import Raw

from gatelodge.core.protocol.envelope import Era, Members, join_members
from gatelodge.core.protocol.version import META_SERVER_INFO

_members = msgspec.json.Decoder(Members).decode
_OWNED_BY_MODERN = ("resultType", "ttlMs", "cacheScope")

Ending = Literal["ok", "tool_error", "upstream_protocol"]


def server_info(version: str) -> bytes:
    """The gate's own name, raw JSON for `_meta` and `initialize`."""
    return msgspec.json.encode({"name": "gatelodge", "title": "gatelodge", "version": version})


def call_ending(result: Members) -> Ending:
    """How a tools/call result ended. Anything but a complete result is not understood here."""
    kind = result.get("resultType")
    if kind is not None and bytes(kind) != b'"complete"':
        return "upstream_protocol"
    failed = result.get("isError")
    return "tool_error" if failed is not None and bytes(failed) == b"true" else "ok"


def read_result(raw: Raw) -> Members | None:
    """The result's members, or None when it is no object."""
    try:
        return _members(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def rpc_code(error: Raw) -> int | None:
    """The code of a JSON-RPC error object, None when it has none that fits."""
    try:
        return msgspec.json.decode(error, type=_Error).code
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


class _Error(msgspec.Struct):
    code: int | None = None


def for_client(raw: Raw, result: Members, era: Era, info: bytes) -> bytes:
    """The result as this client's era wants it; the same bytes when nothing has to change.

    `info` is the gate's serverInfo: reserved `_meta` keys end at each hop and are issued anew.
    """
    meta = result.get("_meta")
    foreign = meta is not None and META_SERVER_INFO.encode() in bytes(meta)
    if era == "legacy":
        if not foreign and not any(key in result for key in _OWNED_BY_MODERN):
            return bytes(raw)
        kept = {k: v for k, v in result.items() if k not in _OWNED_BY_MODERN}
        if foreign and meta is not None:
            _put_meta(kept, {k: v for k, v in _members(meta).items() if k != META_SERVER_INFO})
        return join_members(kept)
    if not foreign and "resultType" in result:
        return bytes(raw)
    shown = dict(result)
    shown.setdefault("resultType", Raw(b'"complete"'))
    if foreign and meta is not None:
        said = bytes(meta)
        shown["_meta"] = _known(said, info) if len(said) <= _KNOWN_BYTES else _anew(said, info)
    return join_members(shown)


def _anew(meta: bytes, info: bytes) -> Raw:
    """A result's `_meta` with our name in the place of the server's."""
    return Raw(join_members({**_members(meta), META_SERVER_INFO: Raw(info)}))


_known = lru_cache(maxsize=256)(_anew)
"""Most servers say the same short `_meta` again and again."""
_KNOWN_BYTES = 256


def _put_meta(members: Members, meta: Members) -> None:
    if meta:
        members["_meta"] = Raw(join_members(meta))
    else:
        members.pop("_meta", None)


def tool_error(text: str, era: Era, structured: dict[str, object]) -> bytes:
    """A tool result that says no in words a model and a person understand.

    `structured` goes under our own `_meta` key, so that no output schema of the tool is broken.
    """
    result: dict[str, object] = {
        "content": [{"type": "text", "text": text}],
        "isError": True,
        "_meta": {"dev.gatelodge/decision": structured},
    }
    if era == "modern":
        result["resultType"] = "complete"
    return msgspec.json.encode(result)


def for_legacy(definition: Raw) -> bytes:
    """A tool object as legacy clients can take it: an output schema that is no object is dropped.

    One such tool would otherwise break the whole list for them.
    """
    if b'"outputSchema"' not in bytes(definition):
        return bytes(definition)
    members = _members(definition)
    schema = read_result(members.get("outputSchema", Raw(b"null")))
    if schema is not None and bytes(schema.get("type", b"")) == b'"object"':
        return bytes(definition)
    return join_members({k: v for k, v in members.items() if k != "outputSchema"})


def list_result(tools: list[bytes], cursor: str | None, era: Era) -> bytes:
    """A page of tools/list. Filtered lists are private and never cached (MCP caching)."""
    parts = [b'{"tools":[', b",".join(tools), b"]"]
    if cursor is not None:
        parts.append(b',"nextCursor":' + msgspec.json.encode(cursor))
    if era == "modern":
        parts.append(b',"resultType":"complete","ttlMs":0,"cacheScope":"private"')
    parts.append(b"}")
    return b"".join(parts)


def discover_result(info: bytes, versions: tuple[str, ...], instructions: str) -> bytes:
    """The answer to server/discover (MCP 2026-07-28 server/discover)."""
    return msgspec.json.encode(
        {
            "resultType": "complete",
            "supportedVersions": versions,
            "capabilities": {"tools": {"listChanged": True}},
            "instructions": instructions,
            "ttlMs": 0,
            "cacheScope": "private",
            "_meta": {META_SERVER_INFO: Raw(info)},
        }
    )


def initialize_result(info: bytes, version: str, instructions: str) -> bytes:
    """The answer to a legacy initialize."""
    return msgspec.json.encode(
        {
            "protocolVersion": version,
            "capabilities": {"tools": {"listChanged": True}},
            "serverInfo": Raw(info),
            "instructions": instructions,
        }
    )
