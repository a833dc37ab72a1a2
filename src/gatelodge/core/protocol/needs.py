"""What a client has to declare before a server offers it a tool.

A server may look at what a client declared and offer some tools only to those that can be asked, or
that show what it draws. Which tools these are, and what each wants, is found by listing as clients
that differ (decision 0015): one that declares nothing, one that declares all, and one for each
capability.
"""

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Raw

from gatelodge.core.protocol.capabilities import APPS, TASKS, has_extension, may_ask, without

Needs = frozenset[str]
"""Names of capabilities, any of which suffices; empty when nothing is needed."""
NONE: Final[Needs] = frozenset()

_APPS_SETTINGS: Final[dict[str, object]] = {"mimeTypes": ["text/html;profile=mcp-app"]}
_DECLARED: Final[dict[str, dict[str, object]]] = {
    "elicitation.form": {"elicitation": {"form": {}}},
    "elicitation.url": {"elicitation": {"url": {}}},
    "roots": {"roots": {}},
    "sampling": {"sampling": {}},
    "sampling.tools": {"sampling": {"tools": {}}},
    APPS: {"extensions": {APPS: _APPS_SETTINGS}},
    TASKS: {"extensions": {TASKS: {}}},
}
ALONE: Final[dict[str, bytes]] = {
    name: msgspec.json.encode(said, order="sorted") for name, said in _DECLARED.items()
}
"""How a client declares each capability, and nothing else (in the form of `declared`)."""
ALL: Final = msgspec.json.encode(
    {
        "elicitation": {"form": {}, "url": {}},
        "extensions": {TASKS: {}, APPS: _APPS_SETTINGS},
        "roots": {},
        "sampling": {"tools": {}},
    },
    order="sorted",
)
"""How a client declares all of them."""

_ASKED: Final[dict[str, tuple[str, Raw]]] = {
    "elicitation.form": ("elicitation/create", Raw(b'{"mode":"form"}')),
    "elicitation.url": ("elicitation/create", Raw(b'{"mode":"url"}')),
    "roots": ("roots/list", Raw(b"{}")),
    "sampling": ("sampling/createMessage", Raw(b"{}")),
    "sampling.tools": ("sampling/createMessage", Raw(b'{"tools":[]}')),
}


def all_but(hidden: tuple[str, ...]) -> bytes:
    """How a client declares all of them that a server is told of."""
    return without(ALL, hidden)


def each_but(hidden: tuple[str, ...]) -> dict[str, bytes]:
    """How a client declares each of them that a server is told of, and nothing else."""
    return {name: said for name, said in ALONE.items() if name.split(".")[0] not in hidden}


def needs_of(
    plain: Collection[str], full: Collection[str], alone: Mapping[str, Collection[str]]
) -> dict[str, Needs]:
    """What each tool needs that is offered only to clients which declare something.

    `plain` and `full` are the names that clients get which declare nothing and all; `alone` those
    for each capability. A tool that wants several at once is offered to whoever declares one of
    them: the server itself then says what else is missing.
    """
    found: dict[str, Needs] = {}
    for tool in full:
        if tool not in plain:
            any_of = frozenset(name for name, tools in alone.items() if tool in tools)
            # No capability alone brought it, so whoever declares any is let through to its server.
            found[tool] = any_of or frozenset(alone)
    return found


def suffices(needs: Needs, capabilities: bytes) -> bool:
    """Say whether a client with these capabilities (from `declared`) is offered the tool."""
    return not needs or not needs.isdisjoint(_declared_capability_names(capabilities))


def lacking(needs: Needs) -> str:
    """The sentence for whoever declared none of them."""
    return f"its server offers it only to clients that declare {' or '.join(sorted(needs))}"


def required(needs: Needs) -> bytes:
    """The `data` of a -32021 for one who declared none of them: the first, in order of names.

    Source: MCP 2026-07-28 basic/versioning (Missing Required Client Capability).
    """
    wanted = _DECLARED[min(needs)]
    return msgspec.json.encode({"requiredCapabilities": wanted})


@lru_cache(maxsize=1024)
def _declared_capability_names(capabilities: bytes) -> frozenset[str]:
    asked = (name for name, asks in _ASKED.items() if may_ask(capabilities, *asks))
    extensions = (name for name in (APPS, TASKS) if has_extension(capabilities, name))
    return frozenset((*asked, *extensions))
