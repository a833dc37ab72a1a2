"""Reading what a server says of itself: all pages of each list, each object as it was sent."""

import asyncio
from collections.abc import Callable

import msgspec
from msgspec import Raw, Struct

from gatelodge.adapters.upstream.flight import Flight
from gatelodge.core.catalog.offer import OfferKind
from gatelodge.core.errors import (
    HouseError,
    Invalid,
    LimitReached,
    UpstreamBrokeProtocol,
    UpstreamError,
    UpstreamTimeout,
)
from gatelodge.core.protocol.upstream import Page, parse_fault, parse_page
from gatelodge.core.protocol.upstream_era import Hello, Offer, capable
from gatelodge.core.protocol.upstream_headers import mirrors
from gatelodge.ports.upstream import NOBODY, Asker, Observed, Request

MOST_PAGES = 50
MOST_BYTES = 4 * 1024 * 1024
_REMEDY = "The server offers more than this gate takes; ask its author for less."


class Listing(Struct, frozen=True):
    """One list that a server may have, and how it is asked for."""

    what: str
    method: str
    member: str
    offer: Offer


TOOLS = Listing("tools", "tools/list", "tools", "tools")
OTHERS: dict[OfferKind, Listing] = {
    "prompts": Listing("prompts", "prompts/list", "prompts", "prompts"),
    "resources": Listing("resources", "resources/list", "resources", "resources"),
    "templates": Listing(
        "resource templates", "resources/templates/list", "resourceTemplates", "resources"
    ),
}


async def read_offers(
    begin: Callable[[Request], Flight], hello: Hello, seconds: float, *, strict_headers: bool
) -> tuple[Observed, str]:
    """What the server offers, and what an admin should know of how it was read.

    `strict_headers` = drop the tools that a modern HTTP client must. Raises UpstreamError, or
    LimitReached for more than 50 pages or 4 MiB, when the tools cannot be read within `seconds`;
    any other list is empty then.
    """
    can = capable(hello.capabilities)
    told = await _read(begin, TOOLS, seconds) if TOOLS.offer in can.lists else []
    why = [refusal(tool, strict_headers=strict_headers) for tool in told]
    tools = [tool for tool, refused in zip(told, why, strict=True) if not refused]
    refused = tuple(f"tool {place}: {said}" for place, said in enumerate(why, 1) if said)
    notes = [f"{len(refused)} unusable tools were left out."] if refused else []
    wanted = {kind: each for kind, each in OTHERS.items() if each.offer in can.lists}
    read = await asyncio.gather(*(_read_if_able(begin, each, seconds) for each in wanted.values()))
    lists: dict[OfferKind, tuple[Raw, ...]] = {}
    unread: set[OfferKind] = set()
    for (kind, listing), items in zip(wanted.items(), read, strict=True):
        if not isinstance(items, HouseError):
            lists[kind] = tuple(items)
            continue
        notes.append(f"Its {listing.what} could not be read.")
        if isinstance(items, UpstreamError):  # what is over a limit stays so
            unread.add(kind)
    observed = Observed(
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
    begin: Callable[[Request], Flight], capabilities: bytes, seconds: float, *, strict_headers: bool
) -> dict[str, Raw]:
    """The usable tools that a client with these capabilities is offered, by name, in order.

    Raises as `read_offers` does.
    """
    told = await _read(begin, TOOLS, seconds, Asker(capabilities=capabilities))
    usable_ones = (tool for tool in told if not refusal(tool, strict_headers=strict_headers))
    return {named(tool): tool for tool in usable_ones}


async def _read_if_able(
    begin: Callable[[Request], Flight], listing: Listing, seconds: float
) -> list[Raw] | HouseError:
    try:
        return await _read(begin, listing, seconds)
    except HouseError as fault:
        return fault


async def _read(
    begin: Callable[[Request], Flight], listing: Listing, seconds: float, asker: Asker = NOBODY
) -> list[Raw]:
    """All objects of one list."""
    found: list[Raw] = []
    size = 0
    cursors: set[str] = set()
    params: dict[str, Raw] = {}
    until = asyncio.get_running_loop().time() + seconds
    for _ in range(MOST_PAGES):
        left = until - asyncio.get_running_loop().time()
        if left <= 0:
            raise UpstreamTimeout(f"The {listing.what} were not listed within {seconds:g} s.")
        asked = Request(
            method=listing.method, params=params, seconds=left, max_bytes=MOST_BYTES, asker=asker
        )
        page = await _page(begin, listing, asked)
        found += [Raw(bytes(item)) for item in page.items]
        size += sum(len(bytes(item)) for item in page.items)
        if size > MOST_BYTES:
            text = f"The {listing.what} are larger than {MOST_BYTES} bytes."
            raise LimitReached(text, remedy=_REMEDY)
        if page.cursor is None:
            return found
        if page.cursor in cursors:
            raise UpstreamBrokeProtocol(f"The server's list of {listing.what} runs in a circle.")
        cursors.add(page.cursor)
        params = {"cursor": Raw(msgspec.json.encode(page.cursor))}
    text = f"The list of {listing.what} has more than {MOST_PAGES} pages."
    raise LimitReached(text, remedy=_REMEDY)


async def _page(begin: Callable[[Request], Flight], listing: Listing, asked: Request) -> Page:
    flight = begin(asked)
    try:
        reply = await flight.reply
    finally:
        flight.abort("cancelled")
    if reply.result is None:
        code = 0 if reply.error is None else parse_fault(reply.error).code
        if code == -32_601 and not asked.params:
            return Page([])  # it declares what it does not have, or nothing at all
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
