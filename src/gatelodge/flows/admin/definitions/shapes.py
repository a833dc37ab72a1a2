"""Tools as an admin sees them: what is there, what was approved, what differs."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from gatelodge.core.catalog.compare import DefinitionComparison, compare_definitions
from gatelodge.core.catalog.server import Tool
from gatelodge.core.protocol.bridge.tasks import TASKS_ONLY
from gatelodge.core.protocol.shown.names import shown_name
from gatelodge.flows.admin.definitions.standing import for_tasks, standing, unfit
from gatelodge.flows.nouns.shown import shown_as

_TITLE = 100
_HINTS = {
    "read_only": "readOnlyHint",
    "destructive": "destructiveHint",
    "open_world": "openWorldHint",
}


class ToolShape(Struct, frozen=True, kw_only=True):
    """A tool. `standing`: pinned, changed, new (never approved), blocked, gone.

    `digest` is that of its last definition, by which it is approved and reviewed; `shown` its name
    in clients. `read_only`, `destructive`, `open_world` are what holds: the reviewed values while
    `reviewed`, the careful ones otherwise. `hints` is what its server says of the same, counting
    nothing. `title` is the first line of the server's own words. `unfit` says why clients of some
    era would refuse it, so that it stands in no list of theirs.
    """

    server: str
    name: str
    shown: str
    standing: str
    title: str
    digest: str
    read_only: bool
    destructive: bool
    open_world: bool
    reviewed: bool
    hints: dict[str, bool]
    unfit: tuple[str, ...]
    observed: str
    approved: str


class ToolDetail(Struct, frozen=True, kw_only=True):
    """One tool with its last definition and the approved one, each as its server sent it."""

    tool: ToolShape
    definition: Raw
    approved_definition: Raw | None
    differences: DefinitionComparison


class ToolDifference(Struct, frozen=True, kw_only=True):
    """A tool that is not as approved: its last definition against the approved one.

    `pinned` ones differ only in what is no part of the pin: icons, and what only its server reads.
    """

    name: str
    standing: str
    title: str
    digest: str
    approved: str
    definition: Raw
    approved_definition: Raw | None
    differences: DefinitionComparison


def tool_shape(row: Tool, alias: str, longest: int) -> ToolShape:
    """The outer shape of a tool; its server's alias, and how long a shown name may be, given."""
    read_only, destructive, open_world = row.effect
    return shown_as(
        ToolShape,
        row,
        server=alias,
        shown=shown_name(alias, row.name, longest),
        standing=standing(row),
        title=title(row.definition),
        digest=row.observed,
        read_only=read_only,
        destructive=destructive,
        open_world=open_world,
        reviewed=row.review_holds,
        hints=hints(row.definition),
        unfit=(*unfit(row), TASKS_ONLY) if for_tasks(row) else unfit(row),
    )


def tool_detail(row: Tool, alias: str, longest: int) -> ToolDetail:
    """A tool with both its definitions; its alias, and how long a shown name may be, given."""
    return ToolDetail(tool=tool_shape(row, alias, longest), **_compared_definitions(row))


def difference(row: Tool) -> ToolDifference:
    """What of a tool differs from what was approved."""
    return shown_as(
        ToolDifference,
        row,
        standing=standing(row),
        title=title(row.definition),
        digest=row.observed,
        **_compared_definitions(row),
    )


def differs(row: Tool) -> bool:
    """True when a tool is not as approved, or has other looks than those that are shown."""
    if not row.present:
        return bool(row.approved)
    return not row.pinned or row.observed != row.approved


def title(definition: str) -> str:
    """The first line of a definition's description (or title), shortened."""
    found = msgspec.json.decode(definition)
    text = found.get("description") or found.get("title") or ""
    line = text.strip().partition("\n")[0] if isinstance(text, str) else ""
    return line if len(line) <= _TITLE else line[: _TITLE - 1] + "\N{HORIZONTAL ELLIPSIS}"


def hints(definition: str) -> dict[str, bool]:
    """What the server itself says that a tool does; only what it says at all."""
    found: Any = msgspec.json.decode(definition).get("annotations")
    said = found if isinstance(found, dict) else {}
    # A server may put anything there, and only yes and no can be counted as a hint.
    return {ours: said[its] for ours, its in _HINTS.items() if isinstance(said.get(its), bool)}


def _compared_definitions(row: Tool) -> dict[str, Any]:
    """The last definition and the approved one, side by side."""
    # Not decoded and written anew: an admin has to read what the server sent, in its order and with
    # its numbers as they were spelled.
    old = Raw(row.approved_definition.encode()) if row.approved_definition else None
    return {
        "definition": Raw(row.definition.encode()),
        "approved_definition": old,
        "differences": compare_definitions(row.approved_definition, row.definition),
    }
