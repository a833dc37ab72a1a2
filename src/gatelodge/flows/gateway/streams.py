"""Open listen streams, told exactly when what their member may use has changed.

After each swap of the view, and each look at a server, what every stream may list is compared with
what it last knew, and only those that differ hear of it. Those who wait for a resource hear that it
changed while they may read it. What a server says in a session of one principal's own reaches
their streams, while they may use what was used there. Owned by the event loop.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Literal, Protocol

from msgspec import Struct

from gatelodge.core.ids import Instant, PrincipalId, ServerId
from gatelodge.core.policy.decision import Allow
from gatelodge.core.protocol.capabilities import NOTHING, for_legacy
from gatelodge.core.protocol.upstream import UPDATED, updated_uri
from gatelodge.core.view import PolicyView, decide, reachable
from gatelodge.core.view_entry import Entry, ServerView, ToolEntry
from gatelodge.flows.catalog.offers import OfferMemory
from gatelodge.flows.gateway.listing import ListViewer, by_server, tools_of
from gatelodge.flows.gateway.subscriptions import ResourceSubscriptions, Uris
from gatelodge.ports.upstream import SessionNotification
from gatelodge.ports.world import Clock

BREATH_SECONDS = 15.0
"""Proxies close a stream that says nothing for half a minute or more."""
KNOWN_MICROSECONDS, MOST_KNOWN = 250_000, 1024
"""How long it is taken for known, and of how many, what somebody may use while nothing changed."""
Kind = Literal["tools", "prompts", "resources"]
"""What a list-changed notification is about; templates belong to resources."""
Known = tuple[tuple[object, ...], ...]
"""What a stream last knew, for each kind that it wants: tuples of the view and of the offers."""


class StreamClient(Protocol):
    """The client of a stream; each word reaches it at once and without fail."""

    def changed(self, kind: Kind) -> None:
        """The list of that kind is another now."""
        ...

    def updated(self, server: ServerId, uri: str) -> None:
        """That resource changed; the URI is the server's own."""
        ...

    def said(self, method: str, params: bytes) -> bool:
        """A server said this to the client; false when it is nothing that it hears."""
        ...

    def breathe(self) -> None:
        """Nothing happened; keep the stream open."""
        ...


class ListenStream(Struct, eq=False):
    """One open stream: whose, at which endpoint (workspace's slug and alias), and what it wants.

    `capabilities` are those of its client, for which servers may have more tools. `person` answers
    for what it waits for; empty where a session does.
    """

    principal: PrincipalId
    slug: str
    alias: str
    ear: StreamClient
    wants: tuple[Kind, ...] = ()
    uris: Uris = frozenset()
    capabilities: bytes = NOTHING
    person: str = ""
    knows: Known = ()


class OpenStreams:
    """Every open stream of this node."""

    def __init__(
        self,
        clock: Clock,
        offers: OfferMemory,
        subscribe: Callable[[str, frozenset[str]], None],
        view: Callable[[], PolicyView],
    ) -> None:
        """`subscribe` is that of `Upstreams`: what a server has to watch from now on."""
        self._clock = clock
        self._offers = offers
        self._view = view
        self._open: set[ListenStream] = set()
        self._subscriptions: ResourceSubscriptions[ListenStream] = ResourceSubscriptions(subscribe)
        self._compared = 0
        """The version of the offers that streams know of."""
        self._own: defaultdict[PrincipalId, set[ListenStream]] = defaultdict(set)
        self._usable = _Usable()

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    def add(self, stream: ListenStream) -> None:
        """Begin to watch for this stream."""
        look = self._current_look()
        stream.knows = look.known(stream)
        # What it knows is settled first, so the next comparison tells it of what came after.
        self._open.add(stream)
        self._own[stream.principal].add(stream)
        self._subscriptions.enter(stream, look.readable(stream))

    def remove(self, stream: ListenStream) -> None:
        """Forget a stream that ended. Idempotent."""
        self._open.discard(stream)
        own = self._own.get(stream.principal)
        if own is not None:
            own.discard(stream)
            # Empty sets would be kept for each principal who ever listened.
            if not own:
                del self._own[stream.principal]
        self._subscriptions.leave(stream, stream.uris)

    def waited_for(self, person: str) -> int:
        """How many resources this person's streams wait for, those of sessions aside."""
        return sum(len(each.uris) for each in self._open if each.person == person)

    def wait_for(self, stream: ListenStream, uris: Uris) -> None:
        """Let an open stream wait for exactly these resources from now on."""
        gone, stream.uris = stream.uris - uris, uris
        if stream in self._open:
            self._subscriptions.leave(stream, gone)
            self._subscriptions.enter(stream, self._current_look().readable(stream))

    def want(self, stream: ListenStream, wants: tuple[Kind, ...], uris: Uris) -> None:
        """Let an open stream hear of exactly this from now on."""
        stream.wants = wants
        stream.knows = self._current_look().known(stream)
        self.wait_for(stream, uris)

    async def run(self) -> None:
        """Keep every idle stream open through proxies, until cancelled."""
        while True:
            await asyncio.sleep(BREATH_SECONDS)
            for stream in tuple(self._open):
                stream.ear.breathe()

    def on_view(self, view: PolicyView) -> None:
        """Compare, tell those for whom something changed, and end what may be read no more."""
        look = _Look(view, self._offers, Instant(self._clock.now()))
        self._compare_and_tell(look)
        waiting = (each for each in self._open if each.uris)
        self._subscriptions.replace((each, look.readable(each)) for each in waiting)

    def on_observed(self, server: ServerId) -> None:
        """Compare after a look at that server, and tell it again what it has to watch."""
        if self._offers.version != self._compared:
            self._compare_and_tell(self._current_look())
        # A server that was met anew has forgotten what it had to watch, whatever it offers.
        self._subscriptions.hand_again(server)

    def on_updated(self, server: str, uri: str) -> None:
        """Tell those who wait for that resource and may read it now."""
        view, at, ident = self._view(), Instant(self._clock.now()), ServerId(server)
        for stream in tuple(self._subscriptions.waiting(ident, uri)):
            look = _outlook_of_stream(view, stream, at)
            # A server is watched for whoever may read there at some hour; only who may now is told.
            if look is not None and _may_read(look, ident):
                stream.ear.updated(ident, uri)

    def on_notification(self, said: SessionNotification) -> bool:
        """Tell the streams of whose session it is; false when none of them hears it."""
        view, at, server = self._view(), Instant(self._clock.now()), ServerId(said.server)
        uri = updated_uri(said.params) if said.method == UPDATED else ""
        waiting = frozenset(self._subscriptions.waiting(server, uri)) if uri else None
        told = False
        for stream in tuple(self._own.get(PrincipalId(said.asker.principal), ())):
            look = _outlook_of_stream(view, stream, at)
            if not stream.wants or look is None or not _is_of_such(look, stream, said):
                continue
            # It may be about anything that was used there, so all of that is asked (decision 0020).
            if not self._usable.all_of(look, said):
                continue
            if waiting is None:
                told |= stream.ear.said(said.method, said.params)
            elif stream in waiting and _may_read(look, server):
                stream.ear.updated(server, uri)
                told = True
        return told

    def _current_look(self) -> "_Look":
        return _Look(self._view(), self._offers, Instant(self._clock.now()))

    def _compare_and_tell(self, look: "_Look") -> None:
        self._compared = self._offers.version
        for stream in tuple(self._open):
            # Taken even where it is equal, so that all who know the same hold one object.
            knew, stream.knows = stream.knows, look.known(stream)
            for kind, was, now in zip(stream.wants, knew, stream.knows, strict=True):
                if was is not now and _is_different_list(was, now):
                    stream.ear.changed(kind)


class _Look:
    """One comparison: what principals that no rule tells apart know is worked out once for all."""

    def __init__(self, view: PolicyView, offers: OfferMemory, at: Instant) -> None:
        self._view = view
        self._offers = offers
        self._at = at
        self._known: dict[tuple[object, ...], Known] = {}
        self._readable: dict[tuple[object, ...], frozenset[ServerId]] = {}

    def known(self, stream: ListenStream) -> Known:
        """What the stream may list now, for each kind that it wants."""
        key = (*self._equivalence_key(stream), stream.wants, stream.capabilities)
        found = self._known.get(key)
        if found is None:
            look = _outlook_of_stream(self._view, stream, self._at)
            found = tuple(
                () if look is None else self._listed_items(each, look, stream.capabilities)
                for each in stream.wants
            )
            self._known[key] = found
        return found

    def readable(self, stream: ListenStream) -> Uris:
        """Of the resources that the stream waits for, those whose server it may list now."""
        if not stream.uris:
            return stream.uris
        key = self._equivalence_key(stream)
        servers = self._readable.get(key)
        if servers is None:
            look = _outlook_of_stream(self._view, stream, self._at)
            servers = frozenset(() if look is None else _read_by(look))
            self._readable[key] = servers
        return frozenset(each for each in stream.uris if each[0] in servers)

    def _equivalence_key(self, stream: ListenStream) -> tuple[object, ...]:
        """The same for streams that know the same: the view has one access object for all alike."""
        # The view holds the object for as long as this look lasts, so no other gets its id.
        return id(self._view.access.get(stream.principal)), stream.slug, stream.alias

    def _listed_items(
        self, kind: Kind, look: ListViewer, capabilities: bytes
    ) -> tuple[object, ...]:
        if kind == "tools":
            return tools_of(look, self._offers, capabilities)
        if kind == "prompts":
            return by_server(look, "prompts", self._offers)
        templates = by_server(look, "templates", self._offers)
        return by_server(look, "resources", self._offers) + templates


def _outlook_of_stream(view: PolicyView, stream: ListenStream, at: Instant) -> ListViewer | None:
    """What the stream's member sees there; None when either is gone."""
    who, workspace = view.principals.get(stream.principal), view.workspaces.get(stream.slug)
    if who is None or workspace is None:
        return None
    return ListViewer(view, who, workspace, stream.alias, at)


def _read_by(look: ListViewer) -> Iterator[ServerId]:
    servers = reachable(look.view, look.who, look.workspace, look.at, "resources", look.alias)
    return (each.id for each in servers)


def _may_read(look: ListViewer, server: ServerId) -> bool:
    """True when it is allowed now, with the usual kind of credential of its principal."""
    # The server may have left the workspace since it told of the change.
    found = look.workspace.server(server)
    if found is None:
        return False
    decision = decide(look.view, look.who, found.resources, look.at, look.who.context)
    return isinstance(decision, Allow)


class _Usable:
    """Whether members may use all that was lately used in a session; worked out now and then.

    A server may say as much as it likes: what it says shall not cost a decision each time.
    """

    def __init__(self) -> None:
        self._view: PolicyView | None = None
        self._since = 0
        self._known: dict[tuple[object, ...], bool] = {}

    def all_of(self, look: ListViewer, said: SessionNotification) -> bool:
        """True when this member may."""
        # A clock that was set back must not make an old answer last.
        over = not 0 <= look.at - self._since < KNOWN_MICROSECONDS
        if self._view is not look.view or over or len(self._known) >= MOST_KNOWN:
            self._view, self._since, self._known = look.view, look.at, {}
        key = (look.who.id, said.server, said.used)
        found = self._known.get(key)
        if found is None:
            server = look.workspace.server(ServerId(said.server))
            found = self._known[key] = server is not None and all(
                _may_use(look, server, method, name) for method, name in said.used
            )
        return found


def _is_of_such(look: ListViewer, stream: ListenStream, said: SessionNotification) -> bool:
    """True when it is of the session of such a client, of a server that is there."""
    server = look.workspace.server(ServerId(said.server))
    if server is None or look.alias not in ("", server.alias):
        return False
    # A session is of one set of capabilities: what is said there is for clients with these.
    own = for_legacy(server.server.told_of(stream.capabilities))
    return bytes(own) == said.asker.capabilities


def _may_use(look: ListViewer, server: ServerView, method: str, name: str) -> bool:
    """True when the member may ask the server for this now."""
    entries: tuple[Entry | None, ...] = (server.prompts, server.resources)  # a completion's
    if method == "tools/call":
        entries = (server.tools.get(name),)
    elif method != "completion/complete":
        entries = (server.reading("prompts" if method.startswith("prompts/") else "resources"),)
    context = look.who.context
    return any(
        entry is not None
        and isinstance(decide(look.view, look.who, entry, look.at, context), Allow)
        for entry in entries
    )


def _is_different_list(was: tuple[object, ...], now: tuple[object, ...]) -> bool:
    """True when a list would show something else."""
    if len(was) != len(now):
        return True
    # A new object may look the same to a client: a tag of a tool is in no list.
    pairs = zip(was, now, strict=True)
    return any(
        one is not other and _shown_fields(one) != _shown_fields(other) for one, other in pairs
    )


def _shown_fields(listed: object) -> object:
    """What of a tool a list shows; anything else is shown as it is."""
    if isinstance(listed, ToolEntry):
        return (listed.shown, listed.digest, listed.standing)
    return listed
