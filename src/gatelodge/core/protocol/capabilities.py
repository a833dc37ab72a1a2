"""What a client declared that it can do, and what this gate announces that it offers.

A server is told what the caller's own client declared, no more and no less (decision 0014): with
`{}` nobody can be asked anything. What a client of this gate is told is the union of what the
servers offer that it may see.
Source: MCP 2026-07-28 client/elicitation, client/sampling, client/roots (Capabilities) and
basic/versioning (Extension Negotiation); 2025-11-25 basic/lifecycle (Capability Negotiation).
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Raw

from gatelodge.core.protocol.envelope import Members, given, join_members, members_of, read_text
from gatelodge.core.protocol.version import Era

TASKS: Final = "io.modelcontextprotocol/tasks"
APPS: Final = "io.modelcontextprotocol/ui"
MODERN_EXTENSIONS: Final = frozenset((TASKS, APPS))
"""Extensions that pass between a modern client and a modern server."""
LEGACY_EXTENSIONS: Final = frozenset((APPS,))
"""Extensions that also pass where one side speaks a legacy revision: they add no kind of result."""
_EXTENSIONS: Final[dict[Era, frozenset[str]]] = {
    "modern": MODERN_EXTENSIONS,
    "legacy": LEGACY_EXTENSIONS,
}

NOTHING: Final = b"{}"
EVERYTHING: Final = msgspec.json.encode(
    {
        "elicitation": {"form": {}, "url": {}},
        "extensions": {TASKS: {}, APPS: {"mimeTypes": ["text/html;profile=mcp-app"]}},
        "roots": {},
        "sampling": {"tools": {}},
    },
    order="sorted",
)
"""How a client declares all that this gate can pass on (in the form of `declared`)."""
TOOLS_ONLY: Final = Raw(b'{"tools":{"listChanged":true}}')
"""What is announced where no server offers more than tools."""

_PARTS: Final = {"elicitation": ("form", "url"), "roots": (), "sampling": ("context", "tools")}
_YES: Final = Raw(b"{}")
_CHANGES: Final = Raw(b'{"listChanged":true}')
LONGEST: Final = 64 * 1024
"""Bytes of capabilities that are read: they name a handful, and are read again and again."""
_SETTINGS_BYTES: Final = 512
_KNOWN_BYTES: Final = 512


def declared(raw: Raw | None, era: Era = "modern") -> bytes:
    """What a client's capabilities mean for a server behind us: compact JSON with sorted keys.

    `{}` when there is nothing. Kept are elicitation, sampling and roots with the parts that the
    specification of the client's era names, and extensions that pass for such a client, with
    settings of up to 512 bytes. The spelling `"elicitation":{}` is kept, since older servers know
    no other. What is longer than `LONGEST` declares nothing.
    """
    given = NOTHING if raw is None else bytes(raw)
    if given == NOTHING or len(given) > LONGEST:
        return NOTHING
    # The cache counts entries and not bytes, so large ones stay out of it.
    return (_known if len(given) <= _KNOWN_BYTES else _canonical_capabilities)(given, era)


def _canonical_capabilities(given: bytes, era: Era) -> bytes:
    said = members_of(Raw(given)) or {}
    kept: Members = {}
    for name, parts in _PARTS.items():
        members = _members_of_capability(said.get(name))
        if members is None:
            continue
        named = {
            part: _YES for part in parts if _members_of_capability(members.get(part)) is not None
        }
        # An empty `elicitation` means form mode: what named another mode only must not become it.
        if named or not members or name != "elicitation":
            kept[name] = Raw(join_members(named))
        # Only a legacy client can tell of it (2025-11-25 client/roots, Root List Changes).
        tells = name == "roots" and era == "legacy"
        if tells and bytes(members.get("listChanged", b"")) == b"true":
            kept[name] = _CHANGES
    settings = _allowed_extensions(said, _EXTENSIONS[era])
    if settings:
        kept["extensions"] = Raw(join_members(settings))
    # Sessions with servers are told apart by this text, so equal ones have to be spelled alike.
    return join_members(dict(sorted(kept.items())))


_known = lru_cache(maxsize=1024)(_canonical_capabilities)
"""A client says the same on each of its requests."""


def _members_of_capability(raw: Raw | None) -> Members | None:
    """The members of a capability; None when it is not declared."""
    if raw is not None and bytes(raw) == b"true":
        return {}
    return members_of(raw)


def _allowed_extensions(said: Members, allowed: frozenset[str]) -> Members:
    """The settings of each allowed extension, without blanks; what is no object is not declared."""
    given = members_of(said.get("extensions")) or {}
    return {
        name: Raw(msgspec.json.format(bytes(given[name]), indent=-1))
        for name in sorted(allowed & given.keys())
        # A modern server is sent them with each request, so their size is bounded.
        if len(bytes(given[name])) <= _SETTINGS_BYTES and members_of(given[name]) is not None
    }


@lru_cache(maxsize=1024)
def without(capabilities: bytes, hidden: tuple[str, ...]) -> bytes:
    """The same (from `declared`) of a client that did not declare these capabilities."""
    said = members_of(Raw(capabilities)) or {}
    return join_members({name: value for name, value in said.items() if name not in hidden})


@lru_cache(maxsize=1024)
def _askable_questions(capabilities: bytes) -> frozenset[str]:
    """What it can be asked: of `form`, `url`, `sampling`, `tools` and `roots`."""
    said = members_of(Raw(capabilities)) or {}
    modes, sampling = members_of(said.get("elicitation")), members_of(said.get("sampling"))
    asked: set[str] = {name for name in ("roots", "sampling") if name in said}
    asked |= {"tools"} & (sampling or {}).keys()
    if modes is not None:
        asked |= {"form", "url"} & modes.keys() if modes else {"form"}
    return frozenset(asked)


def may_ask(capabilities: bytes, method: str, params: Raw) -> bool:
    """Say whether a client with these capabilities (from `declared`) may be asked this question.

    Elicitation is declared by mode, and without one it is form mode (client/elicitation,
    Capabilities); sampling with tools needs `sampling.tools` (client/sampling). What is no
    question, or not one that can be read, may not be asked.
    """
    if capabilities == NOTHING:
        return False
    can = _askable_questions(capabilities)
    if method == "roots/list":
        return "roots" in can
    members = members_of(params)
    if members is None:
        return False
    if method == "elicitation/create":
        said = given(members, "mode")
        mode = "form" if said is None else read_text(said)
        return mode in ("form", "url") and mode in can
    if method == "sampling/createMessage":
        # Null is as good as absent, since libraries write the one for the other.
        tools = any(given(members, each) is not None for each in ("tools", "toolChoice"))
        return "tools" in can or ("sampling" in can and not tools)
    return False


def has_extension(capabilities: bytes, extension: str) -> bool:
    """Say whether a client with these capabilities (from `declared`) declared this extension."""
    if b"extensions" not in capabilities:
        return False
    said = members_of(Raw(capabilities)) or {}
    return extension in (members_of(said.get("extensions")) or {})


def tells_roots(capabilities: bytes) -> bool:
    """Say whether a client with these capabilities (from `declared`) tells of changes of roots."""
    if b"listChanged" not in capabilities:
        return False
    return (members_of(Raw(capabilities)) or {}).get("roots") == _CHANGES


def for_modern(capabilities: bytes) -> Raw:
    """What a modern server is told in `_meta` of each request (2026-07-28 basic/index, _meta)."""
    return Raw(
        _canonical_capabilities(capabilities, "modern")
        if tells_roots(capabilities)
        else capabilities
    )


def for_legacy(capabilities: bytes) -> Raw:
    """What a legacy server is told in `initialize`: only extensions that pass there are left."""
    if b"extensions" not in capabilities:
        return Raw(capabilities)
    return Raw(_canonical_capabilities(capabilities, "legacy"))


def declares_nothing(told: bytes, era: Era) -> bool:
    """Say whether a server of that era hears of no capability where it is told of these."""
    return told == NOTHING or (era == "legacy" and bytes(for_legacy(told)) == NOTHING)


def offered(servers: Iterable[Raw], extensions: frozenset[str]) -> Raw:
    """The ServerCapabilities that this gate announces for servers with these capabilities.

    Tools always, and their changes; the rest as soon as one server has it. Of `extensions` each is
    announced that one server has, with its settings when all that have it agree on them
    (2026-07-28 server/discover, 2025-11-25 basic/lifecycle).
    """
    kept: dict[str, object] = {"tools": {"listChanged": True}}
    settings: dict[str, Raw] = {}
    subscribe = False
    for raw in servers:
        said = members_of(raw) or {}
        for name in ("completions", "logging"):
            if members_of(said.get(name)) is not None:
                kept[name] = {}
        if members_of(said.get("prompts")) is not None:
            kept["prompts"] = {"listChanged": True}
        resources = members_of(said.get("resources"))
        if resources is not None:
            subscribe = subscribe or bytes(resources.get("subscribe", b"")) == b"true"
            kept["resources"] = {"listChanged": True}
        for name, value in _allowed_extensions(said, extensions).items():
            # Where servers disagree, the settings of one would be false for another.
            same = bytes(settings.setdefault(name, value)) == bytes(value)
            settings[name] = value if same else _YES
    if subscribe:
        kept["resources"] = {"listChanged": True, "subscribe": True}
    if settings:
        kept["extensions"] = settings
    return Raw(msgspec.json.encode(kept, order="deterministic"))
