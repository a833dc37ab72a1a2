"""Reading what a server says of itself: all pages of each list, each object as it was sent."""

import asyncio

import msgspec
from msgspec import Raw, Struct, structs

from gatelodge.adapters.upstream.connection import ServerConnection
from gatelodge.config.schema import LimitSettings
from gatelodge.core.catalog.offer import OfferKind
from gatelodge.core.catalog.server import HttpTransport, Server
from gatelodge.core.errors import (
    HouseError,
    Invalid,
    LimitReached,
    UpstreamBrokeProtocol,
    UpstreamError,
    UpstreamTimeout,
)
from gatelodge.core.jsontext.jsonrpc import parse_fault
from gatelodge.core.protocol.upstream import UpstreamPage, parse_page
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
    """The objects of one list, why others are left out, and how it ended where that is odd."""

    raws: tuple[Raw, ...] = ()
    refused: tuple[str, ...] = ()
    note: str = ""


TOOLS = OfferedList("tools", "tools/list", "tools", "tools")
OTHERS: dict[OfferKind, OfferedList] = {
    "prompts": OfferedList("prompts", "prompts/list", "prompts", "prompts"),
    "resources": OfferedList("resources", "resources/list", "resources", "resources"),
    "templates": OfferedList(
        "resource templates", "resources/templates/list", "resourceTemplates", "resources"
    ),
}


class OfferReader:
    """Reads what a server offers over a link on which it was met."""

    def __init__(self, link: ServerConnection, server: Server, limits: LimitSettings) -> None:
        self._link = link
        self._tools = structs.replace(TOOLS, most=limits.tools_per_server)
        self._seconds = limits.list_seconds
        # A modern HTTP client must drop a tool whose annotations of headers are not valid.
        self._strict_headers = link.modern and isinstance(server.transport, HttpTransport)

    async def read_offers(self, hello: ServerHello) -> tuple[ObservedOffer, str]:
        """What the server offers, and what an admin should know of how it was read.

        Raises UpstreamError, or LimitReached for too many tools, 50 pages or 4 MiB, when the tools
        cannot be read in time; any other list is empty then.
        """
        can = capable(hello.capabilities)
        tools = await self.read_tools() if TOOLS.offer in can.lists else ListedItems()
        refused = len(tools.refused)
        notes = [f"{refused} unusable tools were left out." if refused else "", tools.note]
        wanted = {kind: each for kind, each in OTHERS.items() if each.offer in can.lists}
        read = await asyncio.gather(*(self._read_if_able(each) for each in wanted.values()))
        lists: dict[OfferKind, tuple[Raw, ...]] = {}
        unread: set[OfferKind] = set()
        for (kind, listing), items in zip(wanted.items(), read, strict=True):
            if isinstance(items, ListedItems):
                lists[kind] = items.raws
                notes.append(items.note)
                continue
            notes.append(f"Its {listing.what} could not be read.")
            # A fault of the moment: what was known of that list stays, and it is read again.
            if isinstance(items, UpstreamError):
                unread.add(kind)
            else:  # what is over a limit stays so
                notes.append(items.detail)
        observed = ObservedOffer(
            tools=tools.raws,
            prompts=lists.get("prompts", ()),
            resources=lists.get("resources", ()),
            templates=lists.get("templates", ()),
            capabilities=hello.capabilities,
            era=hello.era,
            instructions=hello.instructions,
            refused=tools.refused,
            unread=frozenset(unread),
        )
        return observed, " ".join(note for note in notes if note)

    async def read_tools(self, asker: OnBehalfOf = NOBODY) -> ListedItems:
        """The tools that such a client is offered. Raises as `read_offers` does."""
        listed = await self._read_whole_list(self._tools, asker)

        def faults() -> list[str]:
            return [refusal(tool, strict_headers=self._strict_headers) for tool in listed.raws]

        # Read beside the loop: how much work that is, the server decides.
        why = await asyncio.to_thread(faults)
        return ListedItems(
            tuple(tool for tool, refused in zip(listed.raws, why, strict=True) if not refused),
            tuple(f"tool {place}: {said}" for place, said in enumerate(why, 1) if said),
            listed.note,
        )

    def crowded(self) -> LimitReached:
        """The error of too many tools."""
        return self._tools.crowded()

    async def _read_if_able(self, listing: OfferedList) -> ListedItems | HouseError:
        try:
            return await self._read_whole_list(listing)
        except HouseError as fault:
            return fault

    async def _read_whole_list(
        self, listing: OfferedList, asker: OnBehalfOf = NOBODY
    ) -> ListedItems:
        """All objects of one list; one that ends badly is what was read until then."""
        found: list[Raw] = []
        size = 0
        cursors: set[str] = set()
        params: dict[str, Raw] = {}
        until = asyncio.get_running_loop().time() + self._seconds
        for _ in range(MOST_PAGES):
            left = until - asyncio.get_running_loop().time()
            if left <= 0:
                text = f"The {listing.what} were not listed within {self._seconds:g} s."
                raise UpstreamTimeout(text)
            asked = UpstreamRequest(
                method=listing.method,
                params=params,
                seconds=left,
                max_bytes=MOST_BYTES,
                asker=asker,
            )
            page = await self._fetch_page(listing, asked)
            if page is None:
                return ListedItems(
                    tuple(found), note=f"Its list of {listing.what} refuses its own cursor."
                )
            if len(found) + len(page.items) > listing.most:
                raise listing.crowded()
            # Copies: what msgspec hands out would keep the bytes of the whole page in memory.
            found += [Raw(bytes(item)) for item in page.items]
            size += sum(len(bytes(item)) for item in page.items)
            if size > MOST_BYTES:
                text = f"The {listing.what} are larger than {MOST_BYTES} bytes."
                raise LimitReached(text, remedy=_REMEDY)
            if not page.cursor:
                return ListedItems(tuple(found))
            if page.cursor in cursors:
                return ListedItems(
                    tuple(found), note=f"Its list of {listing.what} runs in a circle."
                )
            cursors.add(page.cursor)
            params = {"cursor": Raw(msgspec.json.encode(page.cursor))}
        text = f"The list of {listing.what} has more than {MOST_PAGES} pages."
        raise LimitReached(text, remedy=_REMEDY)

    async def _fetch_page(
        self, listing: OfferedList, asked: UpstreamRequest
    ) -> UpstreamPage | None:
        """One page; None when the server does not know the cursor that it gave."""
        flight = self._link.begin(asked, None)
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
