"""Messages with the URIs and names that clients see, and requests turned back.

Only the members that hold a URI are written anew; each other value keeps its bytes, and where
nothing changes the very same bytes come back. Text and structured content are left alone.
Source: MCP 2026-07-28 server/tools (resource links, embedded resources), server/prompts,
server/resources, server/utilities/completion; the apps extension (`_meta.ui.resourceUri`).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from gatelodge.core.jsontext.jsonrpc import INVALID_PARAMS, parse_fault
from gatelodge.core.jsontext.shape import read_as
from gatelodge.core.protocol.envelope import Members, join_members, members_of, read_text
from gatelodge.core.protocol.shown.uris import UriPrefix, shown_uri

_NOT_FOUND: Final = frozenset((INVALID_PARAMS, -32_002))
"""How either era says that a resource is not there."""
_LETTERS, _ESCAPE = b"esource", b"\\u00"
"""What a result with a URI to show must hold: the letters, or an escape that may hide them."""

Change = Callable[[Raw], Raw]
"""Gives back the very same object when there is nothing to change."""

_encode = msgspec.json.Encoder().encode


def shown_result(method: str, raw: Raw, result: Members, prefix: UriPrefix) -> tuple[Raw, Members]:
    """The result with shown URIs, and its members; the same two when nothing changes.

    Rewritten are links and embedded resources in the content of tools/call and prompts/get, the
    URIs of resources/read, and what `_meta` says of an app's resource. A result in which nothing
    of the kind can stand is not read any further.
    """
    if not prefix.alias or method not in _CHANGES or not holds_uris(method, raw):
        return raw, result
    changes = _changes_by_member(method, prefix)
    changed = _apply_changes(result, changes)
    return (raw, result) if changed is result else (Raw(join_members(changed)), changed)


def holds_uris(method: str, raw: Raw) -> bool:
    """Say whether there may be a URI to show in this result; cheap, and never wrongly no."""
    text = bytes(raw)
    return method == "resources/read" or _LETTERS in text or _ESCAPE in text


def shown_tool(prefix: UriPrefix, definition: Raw) -> Raw:
    """A tool of tools/list with the shown URI of its app's resource; its name is not touched."""
    if b'"_meta"' not in bytes(definition):
        return definition
    return _change_of_member(_change_of_meta(_change_of_uri(prefix)), "_meta")(definition)


def shown_resource(prefix: UriPrefix, resource: Raw) -> Raw:
    """An item of resources/list with its shown URI."""
    return _change_of_member(_change_of_uri(prefix), "uri")(resource)


def shown_template(prefix: UriPrefix, template: Raw) -> Raw:
    """An item of resources/templates/list with its shown URI template."""
    return _change_of_member(_change_of_uri(prefix), "uriTemplate")(template)


def shown_error(prefix: UriPrefix, error: Raw) -> Raw:
    """A JSON-RPC error of a resource that is not there with its shown URI; any other as it is."""
    if b'"uri"' not in bytes(error) or parse_fault(error).code not in _NOT_FOUND:
        return error
    return _change_of_member(_change_of_member(_change_of_uri(prefix), "uri"), "data")(error)


class CompletionReference(Struct, frozen=True):
    """What completion/complete asks about: a prompt's name, or a resource's URI or template."""

    kind: Literal["prompt", "resource"]
    name: str


_NAMED_BY: Final = {"ref/prompt": "name", "ref/resource": "uri"}


def read_reference(ref: Raw | None) -> CompletionReference | None:
    """The reference in `params.ref` as the client knows it, None when it is malformed."""
    members = members_of(ref) or {}
    kind = read_text(members.get("type")) or ""
    name = read_text(members.get(_NAMED_BY.get(kind, "")))
    if name is None:
        return None
    return CompletionReference("prompt" if kind == "ref/prompt" else "resource", name)


def with_reference(ref: Raw, name: str) -> Raw:
    """The same reference under the name or URI that its server knows."""
    members = members_of(ref) or {}
    member = _NAMED_BY.get(read_text(members.get("type")) or "", "")
    return _change_of_member(lambda _: Raw(_encode(name)), member)(ref)


def _change_of_member(change: Change, name: str) -> Change:
    """The change of one member of an object; of an object without it, or anything else, none."""

    def apply(raw: Raw) -> Raw:
        members = members_of(raw)
        old = None if members is None else members.get(name)
        if members is None or old is None:
            return raw
        new = change(old)
        return raw if new is old else Raw(join_members(members | {name: new}))

    return apply


def _change_of_each_element(change: Change) -> Change:
    """The change of each element of an array; of anything else, none."""

    def apply(raw: Raw) -> Raw:
        old = read_as(raw, list[Raw])
        if old is None:
            return raw  # what is wrong with what is no list is for its client to say
        new = [change(each) for each in old]
        same = all(one is other for one, other in zip(new, old, strict=True))
        return raw if same else Raw(_encode(new))

    return apply


def _change_of_uri(prefix: UriPrefix) -> Change:
    def apply(raw: Raw) -> Raw:
        uri = read_text(raw)
        if uri is None:
            return raw
        shown = shown_uri(prefix, uri)
        return raw if shown == uri else Raw(_encode(shown))

    return apply


def _change_of_content_block(uri: Change) -> Change:
    """A block of content; unknown kinds pass."""
    by_type = {
        "resource_link": _change_of_member(uri, "uri"),
        "resource": _change_of_member(_change_of_member(uri, "uri"), "resource"),
    }

    def apply(raw: Raw) -> Raw:
        kind = read_text((members_of(raw) or {}).get("type"))
        change = by_type.get(kind or "")
        # A kind that came after this gate passes untouched (guarantee protocol:lossless).
        return raw if change is None else change(raw)

    return apply


def _change_of_content(uri: Change) -> Change:
    """One block of content, or several."""
    one = _change_of_content_block(uri)
    several = _change_of_each_element(one)

    def apply(raw: Raw) -> Raw:
        return several(raw) if bytes(raw)[:1] == b"[" else one(raw)

    return apply


def _change_of_meta(uri: Change) -> Change:
    """The `_meta` of a tool or its result: `ui.resourceUri`, and the older flat spelling."""
    nested, flat = (
        _change_of_member(_change_of_member(uri, "resourceUri"), "ui"),
        _change_of_member(uri, "ui/resourceUri"),
    )

    def apply(raw: Raw) -> Raw:
        return flat(nested(raw))

    return apply


_CHANGES: Final[dict[str, dict[str, Callable[[Change], Change]]]] = {
    "tools/call": {"content": _change_of_content, "_meta": _change_of_meta},
    "prompts/get": {
        "messages": lambda uri: _change_of_each_element(
            _change_of_member(_change_of_content(uri), "content")
        )
    },
    "resources/read": {
        "contents": lambda uri: _change_of_each_element(_change_of_member(uri, "uri"))
    },
}
"""Where URIs stand in the result of a method, and how they are changed there."""


@lru_cache(maxsize=1024)
def _changes_by_member(method: str, prefix: UriPrefix) -> dict[str, Change]:
    uri = _change_of_uri(prefix)
    return {name: made(uri) for name, made in _CHANGES[method].items()}


def _apply_changes(members: Members, changes: dict[str, Change]) -> Members:
    """The members after their changes; the same object when none changed."""
    new = {k: change(members[k]) for k, change in changes.items() if k in members}
    if all(value is members[name] for name, value in new.items()):
        return members
    return members | new
