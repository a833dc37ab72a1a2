"""What a member may call is what a member can list: one page at a time, in a stable order.

A page ends with a sealed cursor that names the last tool shown, so that pages stay whole while the
catalog changes, and a cursor of one principal means nothing to another.
"""

from msgspec import Struct

from gatelodge.core.ids import Instant
from gatelodge.core.protocol.session import Cursor, pack, read_cursor
from gatelodge.core.view import View, visible
from gatelodge.core.view_entry import PrincipalEntry, ToolEntry, WorkspaceView
from gatelodge.ports.world import Sealer

CONTEXT = b"mcp-cursor"


class Page(Struct, frozen=True):
    """Tools of one page, and the cursor of the next (None on the last)."""

    tools: tuple[ToolEntry, ...]
    cursor: str | None


class BadCursor(Struct, frozen=True):
    """The cursor was not made here for this principal and endpoint."""


def tools_of(
    view: View, who: PrincipalEntry, workspace: WorkspaceView, alias: str, at: Instant
) -> tuple[ToolEntry, ...]:
    """Every tool that this principal may call here; `alias` narrows to one server."""
    if not alias:
        return visible(view, who, workspace, at)
    server = workspace.servers.get(alias)
    return () if server is None else visible(view, who, workspace, at, server)


def page_of(
    tools: tuple[ToolEntry, ...], who: str, cursor: str | None, size: int, sealer: Sealer
) -> Page | BadCursor:
    """The page of `tools` after `cursor` (None = the first page)."""
    start = 0
    if cursor is not None:
        last = read_cursor(sealer.open(cursor, CONTEXT))
        if last is None or last.principal != who:
            return BadCursor()
        after = (last.alias, last.position, last.name)
        start = next(
            (i for i, t in enumerate(tools) if (t.alias, t.position, t.name) > after), len(tools)
        )
    chosen = tools[start : start + size]
    if start + size >= len(tools):
        return Page(chosen, None)
    end = chosen[-1]
    mark = Cursor(who, end.alias, end.position, end.name)
    return Page(chosen, sealer.seal(pack(mark), CONTEXT))
