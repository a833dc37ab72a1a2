"""Tools: what a server says it has, and what an admin has approved of it.

A tool is used only while its definition is the approved one, so observing never gives access:
a definition that changed is shown as changed until an admin approves it again.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.catalog.pin import definition_digest
from gatelodge.core.catalog.server import Server, Tool
from gatelodge.core.errors import Conflict, Invalid, NotFound
from gatelodge.core.ids import ServerId, WorkspaceId
from gatelodge.flows.act import Act
from gatelodge.ports.store import Tx

LONGEST_NAME = 128
LONGEST_DEFINITION = 256 * 1024
_LEAF_BYTES = 8 * 1024


class Annotations(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an admin found a tool to be; the server's own hints count nothing."""

    read_only: bool
    destructive: bool
    open_world: bool


class Observation(Struct, frozen=True, kw_only=True):
    """What is new since the last look, by name. `skipped` says why a definition was not taken.

    `leaves` is how many were recorded, `more` that not all of it was kept yet.
    """

    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    leaves: int = 0
    more: bool = False


class Stock(Struct, frozen=True):
    """What a server says of its tools, read: text and digest by name, in its order."""

    tools: dict[str, tuple[str, str]]
    skipped: tuple[str, ...] = ()


def listed(tx: Tx, workspace: WorkspaceId, server: ServerId) -> list[Tool]:
    """A server's tools in its own order, also those that are gone."""
    return tx.find(Tool, workspace=workspace, server=server)


def take_stock(
    act: Act, workspace: WorkspaceId, server: ServerId, definitions: Sequence[bytes]
) -> Observation:
    """Keep what a server says of its tools (JSON objects, in its order); approves nothing.

    What is not a tool, or is named twice, is skipped and told, and counts as gone. Raises NotFound.
    """
    return keep_stock(act, workspace, server, read_stock(definitions))


def read_stock(definitions: Sequence[bytes]) -> Stock:
    """Read definitions and take their digests, which for many takes long: before a transaction."""
    return Stock(*_read(definitions))


def keep_stock(
    act: Act, workspace: WorkspaceId, server: ServerId, stock: Stock, most: int | None = None
) -> Observation:
    """Keep a stock, or as much of it as `most` rows hold; `more` says that it has to be kept again.

    What an admin approved comes first, so that a tool which changed is refused after the first part
    already. A tool that is gone and was never approved nor reviewed leaves nothing behind. Raises
    NotFound.
    """
    act.the(Server, workspace=workspace, id=server)
    before = {tool.name: tool for tool in listed(act.tx, workspace, server)}
    lost = [tool for tool in before.values() if tool.name not in stock.tools]
    due = [replace(tool, present=False) for tool in lost if tool.present or not _judged(tool)]
    for position, (name, (text, digest)) in enumerate(stock.tools.items()):
        tool = Tool(
            workspace=workspace,
            server=server,
            name=name,
            definition=text,
            observed=digest,
            position=position,
        )
        old = before.get(name)
        if old is not None:
            tool = replace(old, definition=text, observed=digest, position=position, present=True)
        if tool != old:
            due.append(tool)
    due.sort(key=lambda tool: not tool.approved)
    part = due if most is None else due[:most]
    new, changed, gone = [], [], []
    for tool in part:
        old = before.get(tool.name)
        if tool.present or _judged(tool):
            act.tx.put(tool)
        else:
            act.tx.remove(tool)
        if not tool.present:
            gone += [tool.name] if old is not None and old.present else []
        elif old is None or not old.present:
            new.append(tool.name)
        elif old.observed != tool.observed:
            changed.append(tool.name)
    told = {name: stock.tools[name][1] for name in (*new, *changed)}
    leaves = _record(act, workspace, server, told, gone) if part else 0
    return Observation(
        new=tuple(new),
        changed=tuple(changed),
        gone=tuple(gone),
        skipped=stock.skipped,
        leaves=leaves,
        more=len(part) < len(due),
    )


def _judged(tool: Tool) -> bool:
    """True when an admin said something of the tool, which is kept while the tool is away."""
    return bool(tool.approved) or tool.reviewed


def approve(
    act: Act,
    workspace: WorkspaceId,
    server: ServerId,
    reviewed: Mapping[str, str] | None = None,
) -> list[Tool]:
    """Pin definitions as they stand now; returns the tools whose pin is new.

    `reviewed` maps names to the digest that was looked at ("" to take whatever is there); None
    pins every present tool. Raises NotFound, Conflict (the definition is not the one reviewed).
    """
    act.the(Server, workspace=workspace, id=server)
    rows = {tool.name: tool for tool in listed(act.tx, workspace, server) if tool.present}
    wanted = dict.fromkeys(rows, "") if reviewed is None else reviewed
    pinned = []
    for name, digest in wanted.items():
        tool = rows.get(name)
        if tool is None:
            text = f"this server has no tool {name!r} now"
            raise NotFound(text, remedy="See `gatelodge tool list`.")
        if digest and digest != tool.observed:
            raise Conflict(
                f"the tool {name!r} has changed since it was reviewed",
                remedy="Look at its definition again, then approve that one.",
            )
        if tool.pinned:
            continue
        tool = replace(tool, approved=tool.observed)
        act.tx.put(tool)
        act.record("tool.approved", workspace, server=server, tool=name, def_sha256=tool.approved)
        pinned.append(tool)
    return pinned


def block(act: Act, workspace: WorkspaceId, server: ServerId, name: str) -> Tool:
    """Take the approval back; nobody can use the tool until it is given anew. Raises NotFound."""
    tool = act.the(Tool, name=name, workspace=workspace, server=server)
    if not tool.approved:
        return tool
    blocked = replace(tool, approved="")
    act.tx.put(blocked)
    act.record("tool.blocked", workspace, server=server, tool=name)
    return blocked


def review(
    act: Act, workspace: WorkspaceId, server: ServerId, name: str, found: Annotations
) -> Tool:
    """Write down what the tool was found to be. Raises NotFound, Invalid (contradicts itself)."""
    if found.read_only and found.destructive:
        raise Invalid("a tool that only reads is not destructive")
    tool = act.the(Tool, name=name, workspace=workspace, server=server)
    reviewed = replace(
        tool,
        read_only=found.read_only,
        destructive=found.destructive,
        open_world=found.open_world,
        reviewed=True,
    )
    if reviewed == tool:
        return tool
    act.tx.put(reviewed)
    act.record(
        "tool.reviewed",
        workspace,
        server=server,
        tool=name,
        read_only=found.read_only,
        destructive=found.destructive,
        open_world=found.open_world,
    )
    return reviewed


def canonical_digest(definition: bytes) -> tuple[str, str]:
    """A tool's name, and the digest of its definition (`core.catalog.pin`).

    Raises Invalid when it is not one JSON object with a usable name and one meaning.
    """
    if len(definition) > LONGEST_DEFINITION:
        raise Invalid(f"longer than {LONGEST_DEFINITION} bytes")
    try:
        text = definition.decode("utf-8")
        tool = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
        msgspec.json.decode(definition, type=dict[str, msgspec.Raw])  # as lists will read it
    except (ValueError, RecursionError):
        raise Invalid("not JSON that has one meaning") from None
    name = tool.get("name") if isinstance(tool, dict) else None
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise Invalid(f"no name of 1 to {LONGEST_NAME} printable characters")
    return name, definition_digest(definition)


def _read(definitions: Sequence[bytes]) -> tuple[dict[str, tuple[str, str]], tuple[str, ...]]:
    """Text and digest by name, in order; and what was skipped, by its place."""
    read: list[tuple[str, str, str]] = []
    skipped = []
    for place, definition in enumerate(definitions, 1):
        try:
            name, digest = canonical_digest(definition)
        except Invalid as fault:
            skipped.append(f"tool {place}: {fault.detail}")
        else:
            read.append((name, definition.decode("utf-8"), digest))
    twice = {name for name, count in Counter(name for name, _, _ in read).items() if count > 1}
    skipped += [f"{name}: named twice" for name in sorted(twice)]
    return {n: (text, digest) for n, text, digest in read if n not in twice}, tuple(skipped)


def _record(
    act: Act,
    workspace: WorkspaceId,
    server: ServerId,
    changes: Mapping[str, str],
    gone: Sequence[str],
) -> int:
    """As many leaves as it takes: each stays far below the 64 KiB that a leaf may have."""
    parts = [({}, [])] if not changes and not gone else list(_parts(changes, gone))
    for tools, lost in parts:
        act.record("catalog.observed", workspace, server=server, tools=tools, gone=lost)
    return len(parts)


def _parts(
    changes: Mapping[str, str], gone: Iterable[str]
) -> Iterable[tuple[dict[str, str], list[str]]]:
    tools: dict[str, str] = {}
    lost: list[str] = []
    used = 0
    for name, digest in (*changes.items(), *((name, "") for name in gone)):
        size = len(name.encode()) + len(digest) + 8
        if used + size > _LEAF_BYTES:
            yield tools, lost
            tools, lost, used = {}, [], 0
        used += size
        if digest:
            tools[name] = digest
        else:
            lost.append(name)
    yield tools, lost


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key stands twice")
    return members


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
