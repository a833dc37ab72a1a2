"""What a member may use is what a member can list: one page at a time, in a stable order.

Tools are listed from the view, all else from what servers offered when they were last seen. A page
ends with a sealed cursor that names the last item shown, so that pages stay whole while the catalog
changes; a cursor means nothing to another principal, in another list or at another endpoint.
"""

from itertools import chain
from typing import Generic, Literal, TypeVar

from msgspec import Struct

from gatelodge.core.catalog.offer import OfferedItem, OfferKind
from gatelodge.core.ids import Instant
from gatelodge.core.protocol.envelope import Era
from gatelodge.core.protocol.session import PageCursor, pack, read_cursor
from gatelodge.core.view import PolicyView, reachable, visible
from gatelodge.core.view_entry import PrincipalEntry, ReadKind, ServerView, ToolEntry, WorkspaceView
from gatelodge.flows.catalog.offers import OfferMemory
from gatelodge.ports.world import StringSealer

CONTEXT = b"mcp-cursor"

ListKind = Literal["tools"] | OfferKind


T = TypeVar("T", ToolEntry, OfferedItem)
"""What stands in a list: ordered by alias, then by its place at its server."""


class ListViewer(Struct, frozen=True):
    """Who looks, from which endpoint (`alias` = that of one server), and when."""

    view: PolicyView
    who: PrincipalEntry
    workspace: WorkspaceView
    alias: str
    at: Instant


class ListPage(Struct, Generic[T], frozen=True):
    """Items of one page, and the cursor of the next (None on the last)."""

    items: tuple[T, ...]
    cursor: str | None


def tools_of(look: ListViewer, offers: OfferMemory, capabilities: bytes) -> tuple[ToolEntry, ...]:
    """Every tool that this principal may call here with a client that declared `capabilities`.

    The same tuple object in two answers means no change.
    """
    tools = allowed_tools(look)
    unseen = {
        server.id: names
        for server in look.workspace.servers.values()
        if (names := offers.unseen(server.server, capabilities))
    }
    if not unseen:
        return tools
    kept = [tool for tool in tools if tool.name not in unseen.get(tool.server, ())]
    return tools if len(kept) == len(tools) else tuple(kept)


def fitting(tools: tuple[ToolEntry, ...], era: Era) -> tuple[ToolEntry, ...]:
    """Those of the tools that a client of this era can take in a list."""
    kept = tuple(tool for tool in tools if era not in tool.unfit)
    return tools if len(kept) == len(tools) else kept


def allowed_tools(look: ListViewer) -> tuple[ToolEntry, ...]:
    """Every tool that this principal may call here, with one client or another."""
    if not look.alias:
        return visible(look.view, look.who, look.workspace, look.at)
    server = look.workspace.servers.get(look.alias)
    return () if server is None else visible(look.view, look.who, look.workspace, look.at, server)


def offered(look: ListViewer, kind: OfferKind, offers: OfferMemory) -> tuple[OfferedItem, ...]:
    """Everything of that kind that this principal may use here, by alias and in servers' order."""
    return tuple(chain.from_iterable(by_server(look, kind, offers)))


def by_server(
    look: ListViewer, kind: OfferKind, offers: OfferMemory
) -> tuple[tuple[OfferedItem, ...], ...]:
    """The same, apart for each server that has any.

    These tuples are those of the offers: the same object in two answers means no change.
    """
    read: ReadKind = "prompts" if kind == "prompts" else "resources"
    servers = reachable(look.view, look.who, look.workspace, look.at, read, look.alias)
    found = (offer.items(kind) for each in servers if (offer := offers.of(each.id)) is not None)
    return tuple(items for items in found if items)


def find_prompt(
    workspace: WorkspaceView, alias: str, name: str, offers: OfferMemory
) -> tuple[ServerView, OfferedItem] | None:
    """The prompt that clients call so at this endpoint, and its server; decides nothing.

    `alias` names the one server of the endpoint, which shows its own names; empty, `name` is shown.
    """
    # No alias holds an underscore, so it ends at the first two, whatever the prompt's name holds.
    server = workspace.servers.get(alias or name.partition("__")[0])
    offer = None if server is None else offers.of(server.id)
    if server is None or offer is None:
        return None
    item = (offer.named if alias else offer.shown).get(name)
    return None if item is None else (server, item)


def web_servers(look: ListViewer, offers: OfferMemory) -> dict[str, tuple[ServerView, ...]]:
    """The servers that list each web resource which this principal may read here, by alias.

    A URI of one server can be shown as it is, so that clients may fetch it by themselves; one of
    several has to say whose it is.
    """
    found: dict[str, tuple[ServerView, ...]] = {}
    servers = reachable(look.view, look.who, look.workspace, look.at, "resources", look.alias)
    for server in servers:
        offer = offers.of(server.id)
        for uri in () if offer is None else offer.web:
            found[uri] = (*found.get(uri, ()), server)
    return found


def page_of(
    items: tuple[T, ...],
    kind: ListKind,
    look: ListViewer,
    cursor: str | None,
    size: int,
    sealer: StringSealer,
) -> ListPage[T] | None:
    """The page of `items` after `cursor` (None = the first page).

    None for a cursor that was not made here for this principal, list and endpoint.
    """
    start = 0
    if cursor is not None:
        # The seal says only that this house made it; for whom and for which list stands inside.
        last = read_cursor(sealer.open(cursor, CONTEXT))
        binding = (look.who.id, kind, look.alias)
        if last is None or (last.principal, last.kind, last.endpoint) != binding:
            return None
        # The place is sought by order: items may have come or gone since the last page.
        after = (last.alias, last.position, last.name)
        start = next(
            (i for i, t in enumerate(items) if (t.alias, t.position, t.name) > after), len(items)
        )
    chosen = items[start : start + size]
    if start + size >= len(items):
        return ListPage(chosen, None)
    end = chosen[-1]
    mark = PageCursor(look.who.id, end.alias, end.position, end.name, kind, look.alias)
    return ListPage(chosen, sealer.seal(pack(mark), CONTEXT))
