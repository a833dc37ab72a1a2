"""Lists: exactly what this caller may use here, a page at a time; no list waits for a server."""

from collections.abc import Callable
from typing import Literal

from msgspec import Raw

from gatelodge.core.catalog.offer import OfferedItem, OfferKind
from gatelodge.core.ids import Instant
from gatelodge.core.jsontext.jsonrpc import result_body
from gatelodge.core.protocol.envelope import given, read_text
from gatelodge.core.protocol.result import ListKind, for_legacy, list_result
from gatelodge.core.protocol.shown.messages import shown_resource, shown_template
from gatelodge.core.protocol.shown.uris import UriPrefix
from gatelodge.core.view_entry import ToolEntry
from gatelodge.flows.gateway.listing import (
    ListViewer,
    T,
    fitting,
    offered,
    page_of,
    tools_of,
)
from gatelodge.web.endpoint.context import EndpointContext, answer_here, answer_invalid
from gatelodge.web.endpoint.request_context import RequestContext


async def list_tools(gate: EndpointContext, visit: RequestContext) -> None:
    """Answer tools/list with exactly what this caller may call."""
    bare, legacy = bool(visit.route.alias), visit.era == "legacy"

    def listed(tool: ToolEntry) -> bytes:
        raw = tool.bare if bare else tool.listed
        return for_legacy(raw) if legacy else bytes(raw)

    def page() -> _Page:
        look = _viewer_of_visit(gate, visit)
        tools = fitting(tools_of(look, gate.offers, visit.capabilities), visit.era)
        return _rendered_page(gate, visit, look, "tools", tools, listed)

    await _answer_list(gate, visit, "tools", page)


async def list_offers(gate: EndpointContext, visit: RequestContext) -> None:
    """Answer prompts/list, resources/list and resources/templates/list; URIs are shown ones."""
    kind, member = _OFFERS[visit.message.method]
    bare, prefixes = bool(visit.route.alias), dict[str, UriPrefix]()

    def listed(item: OfferedItem) -> bytes:
        if kind == "prompts":
            return bytes(item.raw if bare else item.listed)
        # How the URIs of an alias are shown is worked out once for all of its items.
        if item.alias not in prefixes:
            prefixes[item.alias] = visit.targets.prefix(visit.view, item.alias)
        shown = shown_resource if kind == "resources" else shown_template
        return bytes(shown(prefixes[item.alias], item.raw))

    def page() -> _Page:
        look = _viewer_of_visit(gate, visit)
        return _rendered_page(gate, visit, look, kind, offered(look, kind, gate.offers), listed)

    await _answer_list(gate, visit, member, page)


_OFFERS: dict[str, tuple[OfferKind, ListKind]] = {
    "prompts/list": ("prompts", "prompts"),
    "resources/list": ("resources", "resources"),
    "resources/templates/list": ("templates", "resourceTemplates"),
}
"""What is listed by each method, and the member of the result in which it stands."""
_Page = tuple[list[bytes], str | None] | None
"""Items as they are shown, and the next cursor; None where the request's own is not good."""


def _viewer_of_visit(gate: EndpointContext, visit: RequestContext) -> ListViewer:
    at = Instant(gate.clock.now())
    return ListViewer(visit.view, visit.who, visit.workspace, visit.route.alias, at)


def _rendered_page(
    gate: EndpointContext,
    visit: RequestContext,
    look: ListViewer,
    kind: OfferKind | Literal["tools"],
    items: tuple[T, ...],
    listed: Callable[[T], bytes],
) -> _Page:
    raw: Raw | None = given(visit.message.params, "cursor")
    # A cursor that is no text is as bad as one that was not made here.
    cursor = None if raw is None else read_text(raw) or ""
    page = page_of(items, kind, look, cursor, gate.limits.page_size, gate.sealer)
    return None if page is None else ([listed(item) for item in page.items], page.cursor)


async def _answer_list(
    gate: EndpointContext, visit: RequestContext, kind: ListKind, made: Callable[[], _Page]
) -> None:
    page = made()
    if page is None:
        await answer_invalid(gate, visit, "invalid cursor")
        return
    result = list_result(page[0], page[1], visit.era, kind)

    def the_same() -> bool:
        # Compared as text: a new view that shows this caller the same holds nothing back.
        now = made()
        return now is not None and now[0] == page[0]

    await answer_here(gate, visit, result_body(visit.message.id, result), still=the_same)
