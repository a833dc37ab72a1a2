"""What each approved server offers besides tools, as it was last seen by this node.

Lists are answered from here, so none waits for a server, and one that is away is shown as it last
was (decision 0014). Nothing is kept on disk: a server that is met again tells it again.
"""

from collections.abc import Callable

from msgspec import Raw
from msgspec.structs import replace

from gatelodge.core.catalog.offer import OfferKind, ServerOffer, read_offer
from gatelodge.core.catalog.server import Server
from gatelodge.core.ids import ServerId
from gatelodge.core.protocol.capabilities import declares_nothing
from gatelodge.core.protocol.envelope import Era, members_of, read_text
from gatelodge.core.protocol.shown.conform import nonconformities
from gatelodge.core.protocol.shown.names import LONGEST
from gatelodge.core.view import PolicyView
from gatelodge.ports.upstream import ObservedOffer

_NOTHING: frozenset[str] = frozenset()


class OfferMemory:
    """This node's memory of offers; owned by the event loop.

    `longest` is how many characters a shown name may have.

    `version` grows with each change, so that whoever made something of the offers can tell
    whether it still holds.
    """

    def __init__(self, longest: int = LONGEST) -> None:
        self._longest = longest
        self._known: dict[ServerId, ServerOffer] = {}
        self._listeners: list[Callable[[ServerId], None]] = []
        self.version = 0

    def of(self, server: ServerId) -> ServerOffer | None:
        """What that server offers; None until it was met for the first time."""
        return self._known.get(server)

    def added_in(self, server: ServerId, tool: str) -> Era | None:
        """The era in which this server offers the tool only to clients that declare something."""
        offer = self._known.get(server)
        return None if offer is None or tool not in offer.added else offer.added_in

    def unseen(self, server: Server, capabilities: bytes) -> frozenset[str]:
        """The tools that this server offers, but not to a client with these capabilities."""
        offer = self._known.get(server.id)
        if offer is None or not offer.added:
            return _NOTHING
        told = server.told_of(capabilities)
        return offer.added if declares_nothing(told, offer.added_in) else _NOTHING

    def on_observed(self, listener: Callable[[ServerId], None]) -> None:
        """Call `listener(server id)` whenever a server was met or looked at again."""
        self._listeners.append(listener)

    def read(self, server: Server, seen: ObservedOffer) -> ServerOffer:
        """The offer in what the server said of itself; how much work that is, the server decides.

        A list that could not be read stays as it last was.
        """
        last = self._known.get(server.id)
        offer = read_offer(
            server,
            prompts=_seen_or_last_items(seen.prompts, "prompts", seen, last),
            resources=_seen_or_last_items(seen.resources, "resources", seen, last),
            templates=_seen_or_last_items(seen.templates, "templates", seen, last),
            capabilities=seen.capabilities,
            longest=self._longest,
        )
        return replace(offer, added=seen.added, added_in=seen.era)

    def keep(self, offer: ServerOffer) -> None:
        """Remember it; lists that did not change stay the same objects.

        Streams hold on to those lists, so that the same object means that nothing changed.
        """
        last = self._known.get(offer.server)
        if last is None or offer != last:
            self._known[offer.server] = offer if last is None else _with_lists_of(last, offer)
            self.version += 1
        for listener in self._listeners:
            listener(offer.server)

    def on_view(self, view: PolicyView) -> None:
        """Forget the servers that are approved no more."""
        approved = {row.id for row in view.state.servers if row.status == "approved"}
        for server in self._known.keys() - approved:
            del self._known[server]
            self.version += 1


def left_out(server: Server, seen: ObservedOffer) -> tuple[str, ...]:
    """What stands in no list, or not in that of some clients, and why."""
    tools = []
    for tool in seen.tools:
        wrong = nonconformities("tools", tool)
        if wrong:
            name = read_text((members_of(tool) or {}).get("name")) or ""
            # The name is the server's own text: it is cut and escaped, for terminals obey some.
            tools.append(f"tool {name[:80]!a}: {wrong[0]}")
    offer = read_offer(
        server, prompts=seen.prompts, resources=seen.resources, templates=seen.templates
    )
    return (*seen.refused, *tools, *offer.left_out)


def _seen_or_last_items(
    now: tuple[Raw, ...], kind: OfferKind, seen: ObservedOffer, last: ServerOffer | None
) -> tuple[Raw, ...]:
    if last is None or kind not in seen.unread:
        return now
    return tuple(item.raw for item in last.items(kind))


def _with_lists_of(last: ServerOffer, offer: ServerOffer) -> ServerOffer:
    kinds: tuple[OfferKind, ...] = ("prompts", "resources", "templates")
    same = {kind: last.items(kind) for kind in kinds if last.items(kind) == offer.items(kind)}
    return replace(offer, **same)
