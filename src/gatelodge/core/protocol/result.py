"""Results on their way back: what this gate owns is put in or taken out, the rest is untouched.

Source: MCP 2026-07-28 basic/index (resultType, reserved `_meta` keys), server/utilities/caching,
server/tools (structured content).
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

import msgspec
from msgspec import Raw

from gatelodge.core.protocol.capabilities import TOOLS_ONLY
from gatelodge.core.protocol.envelope import (
    NULL,
    Era,
    Members,
    given,
    is_object,
    join_members,
)
from gatelodge.core.protocol.shown.conform import takes_output
from gatelodge.core.protocol.version import META_SERVER_INFO

_members = msgspec.json.Decoder(Members).decode
_OWNED_BY_MODERN = ("resultType", "ttlMs", "cacheScope")
_CACHED = frozenset(("resources/read",))
"""Requests that a server answers with cache hints; lists and discovery are answered here."""
_PRIVATE = Raw(b'"private"')

Ending = Literal["ok", "tool_error"]
Kind = Literal["complete", "input_required", "task", "unknown"]
ListKind = Literal["tools", "prompts", "resources", "resourceTemplates"]
"""The member of a list's result that holds its items."""


def server_info(version: str) -> bytes:
    """The gate's own name, raw JSON for `_meta` and `initialize`."""
    return msgspec.json.encode({"name": "gatelodge", "title": "gatelodge", "version": version})


def call_ending(result: Members) -> Ending:
    """How a complete result of tools/call ended."""
    failed = result.get("isError")
    return "tool_error" if failed is not None and bytes(failed) == b"true" else "ok"


def result_kind(result: Members) -> Kind:
    """Which kind of result this is; without a resultType it is complete (basic/index, Results)."""
    raw = result.get("resultType")
    if raw is None or raw == NULL:
        return "complete"
    return _KINDS.get(bytes(raw), "unknown")


_KINDS: dict[bytes, Kind] = {
    b'"complete"': "complete",
    b'"input_required"': "input_required",
    b'"task"': "task",
}


_HOLDS = {
    "tools/call": ("content", b"["),
    "prompts/get": ("messages", b"["),
    "resources/read": ("contents", b"["),
    "completion/complete": ("completion", b"{"),
}
"""The member that a complete result of a method must hold, and how its JSON begins."""


_EMPTY = {
    "tools/call": ("content", Raw(b"[]")),
    "completion/complete": ("completion", Raw(b'{"values":[]}')),
}


def misshapen(method: str, result: Members) -> str:
    """The member of a complete result that clients would stumble over; empty when there is none.

    A tool's result without content, or a completion without values, is none: it is given an empty
    one (`mended`).
    """
    name, begins = _HOLDS.get(method, ("", b""))
    raw = result.get(name)
    if not name or (raw is None and method in _EMPTY):
        return ""
    return "" if raw is not None and bytes(memoryview(raw)[:1]) == begins else name


def mended(raw: Raw, result: Members, method: str) -> tuple[Raw, Members]:
    """The result as every client can read it; the same two when nothing has to change.

    Optional members that are null, or no value of theirs, are left out, and what a tool's result
    or a completion cannot be without is put in, empty.
    """
    failed, meta = result.get("isError"), result.get("_meta")
    odd = []
    # A strict client drops a whole result for one member of a wrong kind.
    if failed is not None and bytes(failed) not in {b"true", b"false"}:
        odd.append("isError")
    if meta is not None and not is_object(meta):
        odd.append("_meta")
    if "resultType" in result and given(result, "resultType") is None:
        odd.append("resultType")
    name, empty = _EMPTY.get(method, ("", None))
    # A question, or a task, is no result yet: it has no content that could be missing.
    bare = bool(name) and name not in result and result_kind(result) == "complete"
    if not odd and not bare:
        return raw, result
    kept = {name: value for name, value in result.items() if name not in odd}
    if bare and empty is not None:
        kept[name] = empty
    return Raw(join_members(kept)), kept


def for_client(
    raw: Raw, result: Members, era: Era, info: bytes, method: str = "tools/call"
) -> bytes:
    """The result as this client's era wants it; the same bytes when nothing has to change.

    `info` is the gate's serverInfo: reserved `_meta` keys end at each hop and are issued anew.
    Cache hints of resources/read are kept, but what one caller may read is never public
    (server/utilities/caching).
    """
    meta = result.get("_meta")
    # Only a `_meta` that may hold the server's name is taken apart: any other keeps its bytes.
    if meta is not None and (META_SERVER_INFO.encode() not in bytes(meta) or not is_object(meta)):
        meta = None
    if era == "legacy":
        return _for_legacy_client(raw, result, meta)
    # A question is no answer that anybody could keep, so it gets no hints.
    hints = _cache_hints(result) if method in _CACHED and result_kind(result) == "complete" else {}
    if meta is None and not hints and "resultType" in result:
        return bytes(raw)
    shown = result | hints
    # A legacy server says none, and the modern era wants one (basic/index, Results).
    shown.setdefault("resultType", Raw(b'"complete"'))
    if meta is not None:
        said = bytes(meta)
        shown["_meta"] = (
            # The cache counts entries and not bytes, so large ones stay out of it.
            _known(said, info) if len(said) <= _KNOWN_BYTES else _replace_server_info(said, info)
        )
    return join_members(shown)


def _for_legacy_client(raw: Raw, result: Members, meta: Raw | None) -> bytes:
    """Without what the modern era added; `meta` is given when it holds the server's own name.

    A result of the modern era says its resultType; what says none was written for a legacy client
    and keeps all it has. Structured content that is no object is new in the modern era too, so it
    is dropped there: the content beside it says the same (server/tools, Structured Content). Where
    there is none beside it, it becomes that content, as text.
    """
    modern = "resultType" in result
    if meta is None and not modern:
        return bytes(raw)
    kept = dict(result)
    if modern:
        kept = {k: v for k, v in result.items() if k not in _OWNED_BY_MODERN}
        structured = kept.get("structuredContent")
        if structured is not None and not is_object(structured):
            del kept["structuredContent"]
            # Null says nothing, so no text is made of it.
            if bytes(structured) != b"null" and _is_empty(kept.get("content")):
                said = [{"type": "text", "text": bytes(structured).decode()}]
                kept["content"] = Raw(msgspec.json.encode(said))
    if meta is not None:
        _put_meta(kept, {k: v for k, v in _members(meta).items() if k != META_SERVER_INFO})
    return join_members(kept)


def _is_empty(content: Raw | None) -> bool:
    """True for a list of content without a block."""
    return content is None or bytes(content).translate(None, b" \t\r\n") == b"[]"


def _cache_hints(result: Members) -> Members:
    """The hints to put in: none of them kept longer than the server said, all of them private."""
    hints: Members = {}
    # What is no plain number gives nobody leave to keep the result.
    if not bytes(result.get("ttlMs", b"")).isdigit():
        hints["ttlMs"] = Raw(b"0")
    if bytes(result.get("cacheScope", b"")) != b'"private"':
        hints["cacheScope"] = _PRIVATE
    return hints


def _replace_server_info(meta: bytes, info: bytes) -> Raw:
    """A result's `_meta` with our name in the place of the server's."""
    return Raw(join_members({**_members(meta), META_SERVER_INFO: Raw(info)}))


_known = lru_cache(maxsize=256)(_replace_server_info)
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
    """A tool object as legacy clients can take it: without an output schema that they refuse.

    One such tool would otherwise break the whole list for them.
    """
    if b'"outputSchema"' not in bytes(definition):
        return bytes(definition)
    members = _members(definition)
    # A schema that they take stays, and with it the bytes that an admin approved.
    if takes_output(members.get("outputSchema")):
        return bytes(definition)
    return join_members({k: v for k, v in members.items() if k != "outputSchema"})


def list_result(
    items: list[bytes], cursor: str | None, era: Era, kind: ListKind = "tools"
) -> bytes:
    """A page of a list. Filtered lists are private and never cached (MCP caching)."""
    parts = [b'{"%b":[' % kind.encode(), b",".join(items), b"]"]
    if cursor is not None:
        parts.append(b',"nextCursor":' + msgspec.json.encode(cursor))
    if era == "modern":
        parts.append(b',"resultType":"complete","ttlMs":0,"cacheScope":"private"')
    parts.append(b"}")
    return b"".join(parts)


def discover_result(
    info: bytes, versions: tuple[str, ...], instructions: str, capabilities: Raw = TOOLS_ONLY
) -> bytes:
    """The answer to server/discover (MCP 2026-07-28 server/discover)."""
    result: dict[str, object] = {
        "resultType": "complete",
        "supportedVersions": versions,
        "capabilities": capabilities,
        "instructions": instructions,
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": {META_SERVER_INFO: Raw(info)},
    }
    return msgspec.json.encode(result)


def initialize_result(
    info: bytes, version: str, instructions: str, capabilities: Raw = TOOLS_ONLY
) -> bytes:
    """The answer to a legacy initialize (MCP 2025-11-25 basic/lifecycle)."""
    result: dict[str, object] = {
        "protocolVersion": version,
        "capabilities": capabilities,
        "serverInfo": Raw(info),
        "instructions": instructions,
    }
    return msgspec.json.encode(result)


def no_completions(era: Era) -> bytes:
    """The answer to completion/complete where a server has nothing to propose."""
    kind = b',"resultType":"complete"' if era == "modern" else b""
    return b'{"completion":{"values":[],"hasMore":false}%b}' % kind


INSTRUCTION_BYTES = 4096
"""How long the instructions of this gate and its servers may be together, in UTF-8."""


def instructions(
    own: str, servers: Iterable[tuple[str, str]], most: int = INSTRUCTION_BYTES
) -> str:
    """The gate's own words, then a section for each server: its alias as a heading, its words.

    At most `most` bytes. Room is shared evenly among the servers, and what one leaves is the
    next ones'; what does not fit ends in an ellipsis, never within a character.
    """
    sections = [(alias, text.strip()) for alias, text in servers if text.strip()]
    said = _truncate_to_bytes(own, most)
    for place, (alias, text) in enumerate(sections):
        heading = f"\n\n## {alias}\n\n"
        room = (most - len(said.encode())) // (len(sections) - place) - len(heading.encode())
        cut = _truncate_to_bytes(text, room)
        said += heading + cut if cut else ""
    return said.removeprefix("\n\n")


def _truncate_to_bytes(text: str, room: int) -> str:
    """As much of a text as fits into so many bytes of UTF-8."""
    whole = text.encode("utf-8", "replace")
    if len(whole) <= room:
        return whole.decode()
    mark = "…"
    left = room - len(mark.encode())
    # The cut may fall within a character, of which nothing is left then.
    return whole[:left].decode(errors="ignore").rstrip() + mark if left > 0 else ""
