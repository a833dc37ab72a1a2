"""Reading what a server says of itself: all pages of each list, each object as it was sent."""

import asyncio
from collections.abc import Callable

import msgspec
from msgspec import Raw, Struct, structs

from gatelodge.adapters.upstream.pending import PendingRequest
from gatelodge.core.catalog.offer import OfferKind
from gatelodge.core.errors import (
    HouseError,
    Invalid,
    LimitReached,
    UpstreamBrokeProtocol,
    UpstreamError,
    UpstreamTimeout,
)
from gatelodge.core.protocol.upstream import UpstreamPage, parse_fault, parse_page
from gatelodge.core.protocol.upstream_era import Offer, ServerHello, capable
from gatelodge.core.protocol.upstream_headers import mirrors
from gatelodge.ports.upstream import NOBODY, ObservedOffer, OnBehalfOf, UpstreamRequest

MOST_PAGES = 50
MOST_BYTES = 4 * 1024 * 1024
MOST_ITEMS = 5_000
"""Prompts, resources or templates of one server."""
_REMEDY = "The server offers more than this gate takes; ask its author for less."
_BAD_CURSOR = -32_602


class OfferedList(Struct, frozen=True):
    """One list that a server may have: how it is asked for, and how much of it is taken."""

    what: str
    method: str
    member: str
    offer: Offer
    most: int = MOST_ITEMS

    def crowded(self) -> LimitReached:
        """The error of a list with more objects than are taken."""
        return LimitReached(f"It lists more than {self.most} {self.what}.", remedy=_REMEDY)


class ListedItems(Struct, frozen=True):
    """The objects of one list, and what an admin should know of how it ended."""

    raws: list[Raw]
    note: str = ""


TOOLS = OfferedList("tools", "tools/list", "tools", "tools")
OTHERS: dict[OfferKind, OfferedList] = {
    "prompts": OfferedList("prompts", "prompts/list", "prompts", "prompts"),
    "resources": OfferedList("resources", "resources/list", "resources", "resources"),
    "templates": OfferedList(
        "resource templates", "resources/templates/list", "resourceTemplates", "resources"
    ),
}


class ListingLimits(Struct, frozen=True):
    """How a server's tools are taken: at most so many, within so many seconds for each list.

    `strict_headers` = without those that a modern HTTP client must drop.
    """

    most: int
    seconds: float
    strict_headers: bool

    @property
    def listing(self) -> OfferedList:
        """The list of tools, with its limit."""
        return structs.replace(TOOLS, most=self.most)

    async def refusals(self, tools: list[Raw]) -> list[str]:
        """Why no client may use each tool, empty where clients may; read beside the loop.

        How much work that is, the server decides.
        """

        def read() -> list[str]:
            return [refusal(tool, strict_headers=self.strict_headers) for tool in tools]

        return await asyncio.to_thread(read)


async def read_offers(
    begin: Callable[[UpstreamRequest], PendingRequest], hello: ServerHello, taken: ListingLimits
) -> tuple[ObservedOffer, str]:
    """What the server offers, and what an admin should know of how it was read.

    Raises UpstreamError, or LimitReached for too many tools, 50 pages or 4 MiB, when the tools
    cannot be read in time; any other list is empty then.
    """
    can, seconds = capable(hello.capabilities), taken.seconds
    lists_tools = TOOLS.offer in can.lists
    told = await _read_whole_list(begin, taken.listing, seconds) if lists_tools else ListedItems([])
    why = await taken.refusals(told.raws)
    tools = [tool for tool, refused in zip(told.raws, why, strict=True) if not refused]
    refused = tuple(f"tool {place}: {said}" for place, said in enumerate(why, 1) if said)
    notes = [f"{len(refused)} unusable tools were left out."] if refused else []
    notes += [told.note] if told.note else []
    wanted = {kind: each for kind, each in OTHERS.items() if each.offer in can.lists}
    read = await asyncio.gather(*(_read_if_able(begin, each, seconds) for each in wanted.values()))
    lists: dict[OfferKind, tuple[Raw, ...]] = {}
    unread: set[OfferKind] = set()
    for (kind, listing), items in zip(wanted.items(), read, strict=True):
        if isinstance(items, ListedItems):
            lists[kind] = tuple(items.raws)
            notes += [items.note] if items.note else []
            continue
        notes.append(f"Its {listing.what} could not be read.")
        # A fault of the moment: what was known of that list stays, and it is read again.
        if isinstance(items, UpstreamError):
            unread.add(kind)
        else:  # what is over a limit stays so
            notes.append(items.detail)
    observed = ObservedOffer(
        tools=tuple(tools),
        prompts=lists.get("prompts", ()),
        resources=lists.get("resources", ()),
        templates=lists.get("templates", ()),
        capabilities=hello.capabilities,
        instructions=hello.instructions,
        refused=refused,
        unread=frozenset(unread),
    )
    return observed, " ".join(notes)


async def read_tools(
    begin: Callable[[UpstreamRequest], PendingRequest], capabilities: bytes, taken: ListingLimits
) -> dict[str, Raw]:
    """The usable tools that a client with these capabilities is offered, by name, in order.

    Raises as `read_offers` does.
    """
    told = await _read_whole_list(
        begin, taken.listing, taken.seconds, OnBehalfOf(capabilities=capabilities)
    )
    why = await taken.refusals(told.raws)
    usable = [tool for tool, refused in zip(told.raws, why, strict=True) if not refused]
    return {named(tool): tool for tool in usable}


async def _read_if_able(
    begin: Callable[[UpstreamRequest], PendingRequest], listing: OfferedList, seconds: float
) -> ListedItems | HouseError:
    try:
        return await _read_whole_list(begin, listing, seconds)
    except HouseError as fault:
        return fault


async def _read_whole_list(
    begin: Callable[[UpstreamRequest], PendingRequest],
    listing: OfferedList,
    seconds: float,
    asker: OnBehalfOf = NOBODY,
) -> ListedItems:
    """All objects of one list; one that ends badly is what was read until then."""
    found: list[Raw] = []
    size = 0
    cursors: set[str] = set()
    params: dict[str, Raw] = {}
    until = asyncio.get_running_loop().time() + seconds
    for _ in range(MOST_PAGES):
        left = until - asyncio.get_running_loop().time()
        if left <= 0:
            raise UpstreamTimeout(f"The {listing.what} were not listed within {seconds:g} s.")
        asked = UpstreamRequest(
            method=listing.method, params=params, seconds=left, max_bytes=MOST_BYTES, asker=asker
        )
        page = await _fetch_list_page(begin, listing, asked)
        if page is None:
            return ListedItems(found, f"Its list of {listing.what} refuses its own cursor.")
        if len(found) + len(page.items) > listing.most:
            raise listing.crowded()
        # Copies: what msgspec hands out would keep the bytes of the whole page in memory.
        found += [Raw(bytes(item)) for item in page.items]
        size += sum(len(bytes(item)) for item in page.items)
        if size > MOST_BYTES:
            text = f"The {listing.what} are larger than {MOST_BYTES} bytes."
            raise LimitReached(text, remedy=_REMEDY)
        if not page.cursor:
            return ListedItems(found)
        if page.cursor in cursors:
            return ListedItems(found, f"Its list of {listing.what} runs in a circle.")
        cursors.add(page.cursor)
        params = {"cursor": Raw(msgspec.json.encode(page.cursor))}
    text = f"The list of {listing.what} has more than {MOST_PAGES} pages."
    raise LimitReached(text, remedy=_REMEDY)


async def _fetch_list_page(
    begin: Callable[[UpstreamRequest], PendingRequest], listing: OfferedList, asked: UpstreamRequest
) -> UpstreamPage | None:
    """One page; None when the server does not know the cursor that it gave."""
    flight = begin(asked)
    try:
        reply = await flight.reply
    finally:
        # Also when this look is cancelled: no server works on for a page that nobody reads.
        flight.abort("cancelled")
    if reply.result is None:
        code = 0 if reply.error is None else parse_fault(reply.error).code
        if code == -32_601 and not asked.params:
            return UpstreamPage([])  # it declares what it does not have, or nothing at all
        if code == _BAD_CURSOR and asked.params:
            return None
        raise UpstreamBrokeProtocol(f"The server answered {listing.method} with error {code}.")
    page = parse_page(reply.result, listing.member)
    if page is None:
        text = f"The server answered {listing.method} with something else."
        raise UpstreamBrokeProtocol(text)
    return page


class _Schemed(Struct):
    name: str
    inputSchema: Raw = Raw(b"{}")  # noqa: N815 - the wire's spelling


def refusal(tool: Raw, *, strict_headers: bool) -> str:
    """Why no client may use the tool, empty when it may.

    It has a name, and valid `x-mcp-header`s if asked.
    """
    try:
        read = msgspec.json.decode(tool, type=_Schemed)
        if strict_headers:
            mirrors(read.inputSchema)
    except Invalid:
        return "the x-mcp-header of a parameter is not valid"
    except (msgspec.MsgspecError, RecursionError):
        return "it has no usable name"
    return "" if read.name else "it has no usable name"


def named(tool: Raw) -> str:
    """The name of a usable tool."""
    return msgspec.json.decode(tool, type=_Schemed).name
