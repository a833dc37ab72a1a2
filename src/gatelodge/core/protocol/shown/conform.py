"""Whether an item of a list is what the revision of MCP says, so that no client chokes on it.

Clients read a list whole: one item outside the schema takes all the others from them, those of
other servers too. So an item is looked at before it is listed, by these tables, and left out of
the lists of each era whose clients would refuse it. What the schema leaves open passes.
Source: MCP 2025-11-25 and 2026-07-28, schema (Tool, Prompt, Resource, ResourceTemplate, Icon,
Annotations).
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from ipaddress import ip_address
from types import UnionType
from typing import Any, Final, Literal

from msgspec import Raw, Struct

from gatelodge.core.protocol.envelope import Era

ItemKind = Literal["tools", "prompts", "resources", "templates"]

MOST_TOLD: Final = 8
"""Faults that are told of one item."""


class Nonconformity(Struct, frozen=True):
    """Where an item is not what the schema says, what stands there, and for which era's clients."""

    where: str
    what: str
    eras: tuple[Era, ...] = ("modern", "legacy")

    def __str__(self) -> str:
        """Say it in a line."""
        only = f" ({self.eras[0]} clients only)" if len(self.eras) == 1 else ""
        return f"{self.where} {self.what}{only}"


Check = Callable[[Any, str], Iterator[tuple[str, str]]]
"""Yields where a value at that path is not what it should be, and what it is."""


def nonconformities(kind: ItemKind, item: Raw | str) -> tuple[Nonconformity, ...]:
    """What is wrong with an item of that list, none when every client can take it.

    What is wrong for both eras comes first. Never raises: what is no JSON object is told as that.
    """
    try:
        value = json.loads(item if isinstance(item, str) else bytes(item))
    except (ValueError, RecursionError):
        return (Nonconformity("it", "is not JSON"),)
    modern = tuple(_first_faults(_ITEMS[kind], value))
    legacy = tuple(_first_faults(_LEGACY_ITEMS[kind], value))
    both = [Nonconformity(*found) for found in modern if found in legacy]
    return (
        *both,
        *(Nonconformity(*found, ("modern",)) for found in modern if found not in legacy),
        *(Nonconformity(*found, ("legacy",)) for found in legacy if found not in modern),
    )


def fits(found: Iterable[Nonconformity], era: Era) -> bool:
    """True when clients of that era can take an item of which this was found."""
    return all(era not in each.eras for each in found)


def takes_output(schema: Raw | None) -> bool:
    """True when legacy clients can take this output schema."""
    try:
        value = None if schema is None else json.loads(bytes(schema))
    except (ValueError, RecursionError):
        return False
    return next(_LEGACY_SCHEMA(value, "outputSchema"), None) is None


def _first_faults(check: Check, value: Any) -> Iterator[tuple[str, str]]:
    for count, found in enumerate(check(value, "")):
        if count == MOST_TOLD:
            return
        yield found


_NUMBER: Final = int | float


def _kind_of_value(value: Any) -> str:
    """What a value is, in a word; never the value itself."""
    if value is None or isinstance(value, bool):
        return "is null" if value is None else "is true or false"
    for kind, word in ((str, "a text"), (dict, "an object"), (list, "a list")):
        if isinstance(value, kind):
            return f"is {word}"
    return "is a number"


def _instance_of(kind: type | UnionType, wanted: str, then: Check | None = None) -> Check:
    """The check that a value is of this kind, and `then` of one that is."""

    def check(value: Any, at: str) -> Iterator[tuple[str, str]]:
        # Python's bool is an int, and JSON's true is no number.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            yield at or "it", f"{_kind_of_value(value)}, not {wanted}"
        elif then is not None:
            yield from then(value, at)

    return check


_text = _instance_of(str, "a text")
_truth = _instance_of(bool, "true or false")
_object = _instance_of(dict, "an object")


def _one_of(*words: str) -> Check:
    def check(value: Any, at: str) -> Iterator[tuple[str, str]]:
        if value not in words:
            yield at, f"is not one of {', '.join(words)}"

    return check


def _every_element(check_one: Check) -> Check:
    def check(value: Any, at: str) -> Iterator[tuple[str, str]]:
        for place, one in enumerate(value):
            yield from check_one(one, f"{at}[{place}]")

    return _instance_of(list, "a list", check)


def _or_null(check_some: Check) -> Check:
    def check(value: Any, at: str) -> Iterator[tuple[str, str]]:
        if value is not None:
            yield from check_some(value, at)

    return check


def _every_member(check_one: Check) -> Check:
    def check(value: Any, at: str) -> Iterator[tuple[str, str]]:
        for name, one in value.items():
            # A server wrote it: control characters would steer the terminal of whoever reads it.
            shown = name if name.isprintable() and len(name) <= 40 else ascii(name[:40])
            yield from check_one(one, f"{at}.{shown}")

    return _instance_of(dict, "an object", check)


def _object_with_members(needed: Mapping[str, Check], may: Mapping[str, Check]) -> Check:
    """The check of an object: members it must have, and members that are checked where they are."""

    def check(value: Any, at: str) -> Iterator[tuple[str, str]]:
        for name, one in (*needed.items(), *may.items()):
            path = f"{at}.{name}" if at else name
            if name in value:
                yield from one(value[name], path)
            elif name in needed:
                yield path, "is missing"

    return _instance_of(dict, "an object", check)


def _no_null_or_number(value: Any, at: str) -> Iterator[tuple[str, str]]:
    """A schema of a property, as legacy clients take it: an object (a list passes there too)."""
    if not isinstance(value, dict | list):
        yield at, f"{_kind_of_value(value)}, not an object"


def _number_between(least: float, most: float) -> Check:
    def check(value: Any, at: str) -> Iterator[tuple[str, str]]:
        if not least <= value <= most:
            yield at, "is out of range"

    return _instance_of(_NUMBER, "a number", check)


def _check_whole(value: Any, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, float) and not value.is_integer():  # JSON knows 1.0 as a whole number
        yield at, "is not a whole number"


_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)", re.ASCII)


def _check_timestamp(value: Any, at: str) -> Iterator[tuple[str, str]]:
    try:
        datetime.fromisoformat(re.sub(r"\.\d+", "", value.replace("Z", "+00:00")))
        # The pattern judges the form, the line above the calendar: 30 February has a good form.
        good = _MOMENT.fullmatch(value) is not None
    except ValueError:
        good = False
    if not good:
        yield at, "is not a moment of ISO 8601 with its offset"


_URI: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):(//[^/?#\\]*)?[^\\]*|([A-Za-z]+):[^/].*")
_AUTHORITY: Final = re.compile(
    r"(?P<user>[\w.~!$&'()*+,;=%:-]+@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.~!$&'()*+,;=-]*)(?::(?P<port>\d{0,5}))?"
)
_WEB: Final = frozenset(("http", "https", "ws", "wss", "ftp"))
_DOMAIN: Final = re.compile(
    r"(?!(?:.*\.)?(?:\d+|0[xX][0-9a-fA-F]*)$)[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9])?"
)


def _check_uri(value: Any, at: str) -> Iterator[tuple[str, str]]:
    """A URI that the URL parsers in clients take; some refuse the whole list for one they do not.

    Where such parsers differ, as about the hosts of the web beyond plain ASCII, it is none.
    """
    found = _URI.fullmatch(value) if value.isprintable() else None
    if found is None or not _is_valid_authority((found[1] or found[3]).lower(), found[2]):
        yield at, "is not a URI"


def _is_valid_authority(scheme: str, authority: str | None) -> bool:
    """Say whether the part after `//` can stand there, for a URI of that scheme."""
    if authority is None:
        return scheme not in _WEB
    parts = _AUTHORITY.fullmatch(authority[2:])
    if parts is None or int(parts["port"] or 0) > 65_535:
        return False
    host: str = parts["host"]
    bare = not host and (parts["user"] is not None or parts["port"] is not None)
    if scheme == "file":
        return not bare and len(parts["host"]) == len(authority) - 2 and _is_host(host or "a")
    if scheme in _WEB or host.startswith("["):
        return _is_host(host)
    return not bare


def _is_host(host: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        # The length goes first, since the pattern would take long over a host of any length.
        return not host.startswith("[") and len(host) < 254 and _DOMAIN.fullmatch(host) is not None
    # IPv6 stands in brackets, and IPv4 never does (RFC 3986 clause 3.2.2).
    return host.startswith("[") == (":" in host)


_ICON: Final = _object_with_members(
    {"src": _text},
    {"mimeType": _text, "sizes": _every_element(_text), "theme": _one_of("light", "dark")},
)
_COMMON: Final[dict[str, Check]] = {
    "title": _text,
    "description": _text,
    "icons": _every_element(_ICON),
    "_meta": _object,
}
_HINTS: Final = _object_with_members(
    {},
    {
        "title": _text,
        "readOnlyHint": _truth,
        "destructiveHint": _truth,
        "idempotentHint": _truth,
        "openWorldHint": _truth,
    },
)
_SCHEMA: Final = _object_with_members(
    {"type": _one_of("object")},
    {
        "$schema": _text,
        # Any JSON Schema as to the specification; mcp-go reads these two into types of their own.
        "properties": _or_null(_object),
        "required": _or_null(_every_element(_text)),
    },
)
_LEGACY_SCHEMA: Final = _object_with_members(
    {"type": _one_of("object")},
    {
        "$schema": _text,
        "properties": _every_member(_no_null_or_number),
        "required": _every_element(_text),
    },
)
_DATA: Final = _object_with_members(
    {},
    {
        "audience": _every_element(_one_of("user", "assistant")),
        "priority": _number_between(0, 1),
        "lastModified": _instance_of(str, "a text", _check_timestamp),
    },
)
_ARGUMENT: Final = _object_with_members(
    {"name": _text}, {"title": _text, "description": _text, "required": _truth}
)
_PROMPT: Final = _object_with_members(
    {"name": _text}, {**_COMMON, "arguments": _every_element(_ARGUMENT)}
)
_RESOURCE: Final = _object_with_members(
    {"uri": _instance_of(str, "a text", _check_uri), "name": _text},
    {
        **_COMMON,
        "mimeType": _text,
        "size": _instance_of(_NUMBER, "a number", _check_whole),
        "annotations": _DATA,
    },
)
_TEMPLATE: Final = _object_with_members(
    {"uriTemplate": _text, "name": _text}, {**_COMMON, "mimeType": _text, "annotations": _DATA}
)
_EXECUTION: Final = _object_with_members(
    {}, {"taskSupport": _one_of("required", "optional", "forbidden")}
)
"""Of 2025-11-25 only, but clients of both eras look at it: the Python SDK has one type of tool."""
_ITEMS: Final[dict[ItemKind, Check]] = {
    "tools": _object_with_members(
        {"name": _text, "inputSchema": _SCHEMA},
        {
            **_COMMON,
            "annotations": _HINTS,
            "outputSchema": _object,
            "execution": _EXECUTION,
        },
    ),
    "prompts": _PROMPT,
    "resources": _RESOURCE,
    "templates": _TEMPLATE,
}
_LEGACY_ITEMS: Final[dict[ItemKind, Check]] = {
    **_ITEMS,
    # An output schema that they cannot take is not shown to them (core.protocol.result).
    "tools": _object_with_members(
        {"name": _text, "inputSchema": _LEGACY_SCHEMA},
        {**_COMMON, "annotations": _HINTS, "execution": _EXECUTION},
    ),
}
