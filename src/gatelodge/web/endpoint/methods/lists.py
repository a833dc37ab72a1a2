"""Lists: exactly what this caller may use here, a page at a time; no list waits for a server."""

from collections.abc import Callable
from typing import TypeVar

from msgspec import Raw

from gatelodge.core.catalog.offer import OfferedItem, OfferKind
from gatelodge.core.ids import Instant
from gatelodge.core.jsontext.jsonrpc import INVALID_PARAMS, error_body, result_body
from gatelodge.core.protocol.envelope import given, read_text
from gatelodge.core.protocol.result import ListKind, for_legacy, list_result
from gatelodge.core.protocol.shown.messages import shown_resource, shown_template
from gatelodge.core.protocol.shown.uris import UriPrefix
from gatelodge.core.view_entry import ToolEntry
from gatelodge.flows.gateway.listing import (
    BadCursor,
    ListedEntry,
    ListPage,
    ListViewer,
    fitting,
    offered,
    page_of,
    tools_of,
)
from gatelodge.web.endpoint.context import EndpointContext, answer_here
from gatelodge.web.endpoint.request_context import RequestContext


async def list_tools(gate: EndpointContext, visit: RequestContext) -> None:
    """Answer tools/list with exactly what this caller may call."""
    bare, legacy = bool(visit.route.alias), visit.era == "legacy"

    def listed(tool: ToolEntry) -> bytes:
        raw = tool.bare if bare else tool.listed
        return for_legacy(raw) if legacy else bytes(raw)

    def pages() -> _Pages:
        look = _outlook_of_visit(gate, visit)
        size, cursor = gate.limits.page_size, _cursor_of_request(visit)
        tools = fitting(tools_of(look, gate.offers, visit.capabilities), visit.era)
        return _rendered_page(page_of(tools, "tools", look, cursor, size, gate.sealer), listed)

    await _answer_list(gate, visit, "tools", pages)


async def list_prompts(gate: EndpointContext, visit: RequestContext) -> None:
    """Answer prompts/list."""
    bare = bool(visit.route.alias)
    await _list_offers(
        gate, visit, "prompts", lambda item: bytes(item.raw if bare else item.listed)
    )


async def list_resources(gate: EndpointContext, visit: RequestContext) -> None:
    """Answer resources/list, with shown URIs."""
    prefix = _prefix_by_alias(visit)
    await _list_offers(
        gate, visit, "resources", lambda i: bytes(shown_resource(prefix(i.alias), i.raw))
    )


async def list_templates(gate: EndpointContext, visit: RequestContext) -> None:
    """Answer resources/templates/list, with shown URI templates."""
    prefix = _prefix_by_alias(visit)
    await _list_offers(
        gate, visit, "templates", lambda i: bytes(shown_template(prefix(i.alias), i.raw))
    )


T = TypeVar("T", bound=ListedEntry)

_MEMBER: dict[OfferKind, ListKind] = {
    "prompts": "prompts",
    "resources": "resources",
    "templates": "resourceTemplates",
}


async def _list_offers(
    gate: EndpointContext,
    visit: RequestContext,
    kind: OfferKind,
    listed: Callable[[OfferedItem], bytes],
) -> None:
    def pages() -> _Pages:
        look = _outlook_of_visit(gate, visit)
        items = offered(look, kind, gate.offers)
        page = page_of(
            items, kind, look, _cursor_of_request(visit), gate.limits.page_size, gate.sealer
        )
        return _rendered_page(page, listed)

    await _answer_list(gate, visit, _MEMBER[kind], pages)


def _prefix_by_alias(visit: RequestContext) -> Callable[[str], UriPrefix]:
    """How the URIs of each alias are shown, worked out once for all of its items."""
    known: dict[str, UriPrefix] = {}

    def prefix(alias: str) -> UriPrefix:
        if alias not in known:
            known[alias] = visit.targets.prefix(visit.view, alias)
        return known[alias]

    return prefix


def _outlook_of_visit(gate: EndpointContext, visit: RequestContext) -> ListViewer:
    at = Instant(gate.clock.now())
    return ListViewer(visit.view, visit.who, visit.workspace, visit.route.alias, at)


def _cursor_of_request(visit: RequestContext) -> str | None:
    """The cursor in the request; one that is no text is as bad as one that was not made here."""
    raw: Raw | None = given(visit.message.params, "cursor")
    return None if raw is None else read_text(raw) or ""


_Pages = tuple[list[bytes], str | None] | None


def _rendered_page(page: ListPage[T] | BadCursor, listed: Callable[[T], bytes]) -> _Pages:
    return None if isinstance(page, BadCursor) else ([listed(i) for i in page.items], page.cursor)


async def _answer_list(
    gate: EndpointContext, visit: RequestContext, kind: ListKind, pages: Callable[[], _Pages]
) -> None:
    page = pages()
    if page is None:
        body = error_body(visit.message.id, INVALID_PARAMS, "invalid cursor")
        status = 400 if visit.era == "modern" else 200
        await answer_here(gate, visit, body, status=status, rpc_code=INVALID_PARAMS)
        return
    result = list_result(page[0], page[1], visit.era, kind)

    def the_same() -> bool:
        # Compared as text: a new view that shows this caller the same holds nothing back.
        now = pages()
        return now is not None and now[0] == page[0]

    await answer_here(gate, visit, result_body(visit.message.id, result), still=the_same)
