"""Tools: what a server says it has. What an admin says of it stands in `pins`.

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

from gatelodge.core.catalog.pin import digests, first_digest
from gatelodge.core.catalog.server import Server, Tool
from gatelodge.core.errors import Invalid
from gatelodge.core.ids import ServerId, WorkspaceId
from gatelodge.core.policy.schema import plain
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.admin import guardrails
from gatelodge.ports.store import StoreTx

LONGEST_NAME = 128
LONGEST_DEFINITION = 256 * 1024
_LEAF_BYTES = 8 * 1024


class ToolObservation(Struct, frozen=True, kw_only=True):
    """What is new since the last look, by name. `skipped` says why a definition was not taken.

    `drifted` are the approved tools that were as approved before and are not now. `leaves` is how
    many were recorded, `more` that not all of it was kept yet.
    """

    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    drifted: tuple[str, ...] = ()
    leaves: int = 0
    more: bool = False


class ToolDefinition(Struct, frozen=True):
    """A tool object as it was sent, with its digests; `first` is that of release 0.1."""

    text: str
    digest: str
    use: str
    first: str


class ObservedTools(Struct, frozen=True):
    """What a server says of its tools, read: definitions by name, in its order."""

    tools: dict[str, ToolDefinition]
    skipped: tuple[str, ...] = ()


def listed(tx: StoreTx, workspace: WorkspaceId, server: ServerId) -> list[Tool]:
    """A server's tools in its own order, also those that are gone."""
    return tx.find(Tool, workspace=workspace, server=server)


def take_stock(
    act: GovernanceAct, workspace: WorkspaceId, server: ServerId, definitions: Sequence[bytes]
) -> ToolObservation:
    """Keep what a server says of its tools (JSON objects, in its order); approves nothing.

    What is not a tool, or is named twice, is skipped and told, and counts as gone. Raises NotFound.
    """
    return keep_stock(act, workspace, server, read_stock(definitions))


def read_stock(definitions: Sequence[bytes]) -> ObservedTools:
    """Read definitions and take their digests, which for many takes long: before a transaction."""
    return ObservedTools(*_definitions_and_skipped(definitions))


def keep_stock(
    act: GovernanceAct,
    workspace: WorkspaceId,
    server: ServerId,
    stock: ObservedTools,
    most: int | None = None,
) -> ToolObservation:
    """Keep a stock, or as much of it as `most` rows hold; `more` says that it has to be kept again.

    What an admin approved comes first, so that a tool which changed is refused after the first part
    already. A tool that is gone and was never approved nor reviewed leaves nothing behind. Raises
    NotFound.
    """
    alias = act.the(Server, workspace=workspace, id=server).alias
    before = {tool.name: tool for tool in listed(act.tx, workspace, server)}
    due = _rows_that_differ(
        before, stock, Tool(workspace=workspace, server=server, name="", definition="", observed="")
    )
    # A long list is kept in several transactions, so that others get their turn in between.
    part = due if most is None else due[:most]
    new, changed, gone = [], [], []
    for tool in part:
        old = before.get(tool.name)
        # A server that renames its tools for ever would else leave a row behind for each name.
        if tool.present or _has_admin_judgement(tool):
            act.tx.put(tool)
        else:
            act.tx.remove(tool)
        if not tool.present:
            gone += [tool.name] if old is not None and old.present else []
        elif old is None or not old.present:
            new.append(tool.name)
        elif old.observed != tool.observed:
            changed.append(tool.name)
    drifted = _told_of_pins(act, part, before)
    told = {name: stock.tools[name] for name in (*new, *changed)}
    leaves = _record_observed_changes(act, workspace, server, told, gone) if part else 0
    if any(plain(name) != name for name in new):
        # A rule that awaited it may have spelled it as ids are spelled.
        guardrails.rebind(act, workspace, alias)
    return ToolObservation(
        new=tuple(new),
        changed=tuple(changed),
        gone=tuple(gone),
        skipped=stock.skipped,
        drifted=drifted,
        leaves=leaves,
        more=len(part) < len(due),
    )


def _rows_that_differ(before: Mapping[str, Tool], stock: ObservedTools, blank: Tool) -> list[Tool]:
    """The rows that a stock changes, approved tools first; a new one is made of `blank`."""
    lost = [tool for tool in before.values() if tool.name not in stock.tools]
    due = [
        replace(tool, present=False)
        for tool in lost
        if tool.present or not _has_admin_judgement(tool)
    ]
    for position, (name, read) in enumerate(stock.tools.items()):
        old = before.get(name)
        tool = replace(
            replace(blank, name=name) if old is None else _brought_up(old, read),
            definition=read.text,
            observed=read.digest,
            observed_use=read.use,
            position=position,
            present=True,
        )
        if tool != old:
            due.append(tool)
    due.sort(key=lambda tool: not tool.approved)
    return due


def _told_of_pins(
    act: GovernanceAct, part: Sequence[Tool], before: Mapping[str, Tool]
) -> tuple[str, ...]:
    """Record the pins that were brought up to this release; returns the tools that drifted."""
    drifted = []
    for tool in part:
        old = before.get(tool.name)
        if old is not None and old.approved != tool.approved:
            where, digest = {"server": tool.server, "tool": tool.name}, tool.approved
            act.record("tool.repinned", tool.workspace, **where, def_sha256=digest)
        if tool.approved and tool.present and not tool.as_approved:
            # Told once, when it drifts or comes back so: told at each look, nobody would read it.
            drifted += [tool.name] if old is None or old.as_approved or not old.present else []
    return tuple(drifted)


def _has_admin_judgement(tool: Tool) -> bool:
    """True when an admin said something of the tool, which is kept while the tool is away."""
    return bool(tool.approved) or tool.reviewed or tool.blocked


def _brought_up(old: Tool, read: ToolDefinition) -> Tool:
    """The row with the digests of this release, where release 0.1 pinned the same definition.

    What it pinned was the digest of the text alone, with its sets in the order sent.
    """
    if not old.approved or old.approved_use:
        return old
    # What differs from the old pin stays drifted: bringing it up must not approve anything.
    same = old.approved in (read.first, read.digest)
    text = old.approved_definition or (read.text if same else "")
    if not text:
        return old
    known = read if same else _definition_with_digests(text)
    reviewed_use = known.use if old.reviewed and not old.reviewed_use else old.reviewed_use
    return replace(
        old,
        approved=known.digest,
        approved_use=known.use,
        approved_definition=text,
        reviewed_use=reviewed_use,
    )


def read_definition(definition: bytes) -> tuple[str, ToolDefinition]:
    """A tool's name, and its definition with its digests (`core.catalog.pin`).

    Raises Invalid when it is not one JSON object with a usable name and one meaning.
    """
    # Measured before it is parsed: the server decides how long it is.
    if len(definition) > LONGEST_DEFINITION:
        raise Invalid(f"longer than {LONGEST_DEFINITION} bytes")
    try:
        text = definition.decode("utf-8")
        # Of two equal keys one reader takes the first and another the last: an admin could be
        # shown something else than a model is.
        tool = json.loads(
            text, object_pairs_hook=_refuse_duplicate_keys, parse_constant=_no_constant
        )
        msgspec.json.decode(definition, type=dict[str, msgspec.Raw])  # as lists will read it
    except (ValueError, RecursionError):
        raise Invalid("not JSON that has one meaning") from None
    name = tool.get("name") if isinstance(tool, dict) else None
    # A name stands in leaves and on terminals, where nothing in it may move the cursor.
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise Invalid(f"no name of 1 to {LONGEST_NAME} printable characters")
    return name, _definition_with_digests(text)


def _definition_with_digests(text: str) -> ToolDefinition:
    found = digests(text)
    return ToolDefinition(text, found.whole, found.use, first_digest(text))


def _definitions_and_skipped(
    definitions: Sequence[bytes],
) -> tuple[dict[str, ToolDefinition], tuple[str, ...]]:
    """Definitions by name, in order; and what was skipped, by its place."""
    read: list[tuple[str, ToolDefinition]] = []
    skipped = []
    for place, definition in enumerate(definitions, 1):
        try:
            read.append(read_definition(definition))
        except Invalid as fault:
            skipped.append(f"tool {place}: {fault.detail}")
    # Which of the two a call reaches is for the server to choose, so neither can be approved.
    twice = {name for name, count in Counter(name for name, _ in read).items() if count > 1}
    skipped += [f"{name}: named twice" for name in sorted(twice)]
    return {name: found for name, found in read if name not in twice}, tuple(skipped)


def _record_observed_changes(
    act: GovernanceAct,
    workspace: WorkspaceId,
    server: ServerId,
    changes: Mapping[str, ToolDefinition],
    gone: Sequence[str],
) -> int:
    """As many leaves as it takes: each stays far below the 64 KiB that a leaf may have."""
    digests_by_name = {name: tool.digest for name, tool in changes.items()}
    # A new order alone leaves a leaf as well: nodes read rows anew only when the log has grown.
    parts = (
        [({}, [])] if not changes and not gone else list(_leaf_sized_parts(digests_by_name, gone))
    )
    for tools, lost in parts:
        # Of most tools both digests are one: what differs is all that an access history lacks.
        uses = {name: changes[name].use for name in tools if changes[name].use != tools[name]}
        if uses:
            act.record(
                "catalog.observed", workspace, server=server, tools=tools, gone=lost, uses=uses
            )
        else:
            act.record("catalog.observed", workspace, server=server, tools=tools, gone=lost)
    return len(parts)


def _leaf_sized_parts(
    changes: Mapping[str, str], gone: Iterable[str]
) -> Iterable[tuple[dict[str, str], list[str]]]:
    tools: dict[str, str] = {}
    lost: list[str] = []
    used = 0
    for name, digest in (*changes.items(), *((name, "") for name in gone)):
        # In bytes: the limit of a leaf is one of bytes, and a character takes up to four of them.
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


def _refuse_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key stands twice")
    return members


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
