"""One server in the pool: its main link, and the sessions of callers beside it.

The main link is everybody's and declares nothing, so nothing can be asked in it. A legacy server is
told what a client can do when a session begins, so whoever can be asked something has a session of
their own there, opened when it is first needed and closed when it was idle for long. A modern
server is told with each request. A server that speaks both eras is spoken to in the caller's
(decision 0014). For a short while the gate has a session too, to see what others are offered.
"""

import asyncio
import logging
import math
from collections.abc import Callable

from msgspec import Raw, structs

from gatelodge.adapters.upstream.connection import ServerConnection
from gatelodge.adapters.upstream.dual.asking import AskingEras
from gatelodge.adapters.upstream.observe import OfferReader, named
from gatelodge.adapters.upstream.pace.listeners import UpstreamListeners
from gatelodge.adapters.upstream.pace.recent import link_definition, remember_recent_request
from gatelodge.adapters.upstream.pace.server_lines import ServerLines
from gatelodge.adapters.upstream.pending import PendingRequest
from gatelodge.adapters.upstream.probe import CapabilityProbe
from gatelodge.config.schema import LimitSettings, UpstreamSettings
from gatelodge.core.access.rate_limit import RateLimit
from gatelodge.core.catalog.server import EraWish, HttpTransport, Server
from gatelodge.core.errors import HouseError, LimitReached, UpstreamUnreachable
from gatelodge.core.protocol.bridge.both_eras import AskingSign, asking_sign, with_cure
from gatelodge.core.protocol.bridge.questions import ASKING
from gatelodge.core.protocol.capabilities import EVERYTHING, NOTHING, for_legacy, tells_roots
from gatelodge.core.protocol.upstream_era import capable
from gatelodge.ports.upstream import (
    NOBODY,
    ObservedOffer,
    OnBehalfOf,
    ServerHealth,
    ServerLoad,
    SessionNotification,
    UpstreamReply,
    UpstreamRequest,
)

MOST_OWN = 8
"""Sessions of one person, agents included, with one server: for each principal one for each set of
capabilities and log level."""
PROBE_SECONDS = 10.0
"""How long the session that only looks is kept idle: a server may tell of changes soon after."""
_MOST = "Too many sessions with this server are open."
_OFTEN = "You began too many sessions with this server within a minute."
_REMEDY = "Try again later; an admin can raise upstream.sessions_per_server."

_log = logging.getLogger("gatelodge.upstream")


class ServerConnections:
    """Keeps the links of one server (`ConnectionKeeper`). On one event loop, like its pool.

    `_legacy` says whether a modern server also speaks legacy: None until it was tried. `_pushes`
    whether it can ask anything there, which one that keeps no session cannot.
    """

    scoped = False
    """True when every request of a principal is carried by an instance of its own."""

    @property
    def era(self) -> EraWish:
        """What sessions beside the main link speak: the legacy era only (decision 0014)."""
        return "legacy"

    def __init__(
        self,
        server: Server,
        upstream: UpstreamSettings,
        begin: "Callable[[ServerConnections, OnBehalfOf | None], ServerConnection]",
        listeners: UpstreamListeners | None,
    ) -> None:
        """`begin` begins a link; `listeners` None = for one look, of which nobody hears."""
        self.server = server
        self._upstream = upstream
        # How long to wait for a link: to agree on an era may take two whole handshakes.
        self._start_seconds = upstream.start_seconds * 2
        self._begin = begin
        self._once = listeners is None
        self._listeners = UpstreamListeners() if listeners is None else listeners
        self._loop = asyncio.get_running_loop()
        self._sessions: dict[OnBehalfOf, ServerConnection] = {}
        self._starts = RateLimit(upstream.starts_per_minute)
        self._legacy: bool | None = None
        self._pushes = True
        self._asking = AskingEras()
        self._fault = ""
        self._lines = ServerLines(server.alias)
        self.probe = CapabilityProbe()
        self._most = server.told_of(EVERYTHING)
        self._probing: ServerConnection | None = None
        self.main = self._begin_link(None)

    def carrier(self, request: UpstreamRequest) -> ServerConnection | HouseError:
        """The link that carries a request; a session is begun when none is there."""
        main = self.main
        if not main.known:
            return main  # which holds it and asks again
        asker = self._session_asker_of_request(request)
        if asker is None:
            return main
        session = self._sessions.get(asker)
        if session is None or session.dead:
            if not main.hopeful:
                return main  # nothing is begun with a server that is away
            now = self._loop.time()
            early = self._starts.too_early(asker.whose, now)
            if early:
                return LimitReached(_OFTEN, retry_after=early)
            if not self._has_room(asker):
                return LimitReached(_MOST, remedy=_REMEDY)
            if not isinstance(self.server.transport, HttpTransport):
                request.begun()  # the record of this call will say that it started a process
                self._starts.count(asker.whose, now)
                _log.info("a process is started for a session of %s", asker.principal)
            session = self._sessions[asker] = self._begin_link(asker)
        session.used = self._loop.time()
        remember_recent_request(session.recent, request)
        return session

    async def observe(self, limits: LimitSettings) -> ObservedOffer:
        """What the server offers, also to clients that declare something (decision 0028).

        Raises UpstreamError, LimitReached or KeyUnreachable.
        """
        main, note, added = self.main, "", ""
        hello = await main.meet(self._start_seconds)
        reader = OfferReader(main, self.server, limits)
        try:
            observed, note = await reader.read_offers(hello)
            if "tools" in capable(hello.capabilities).lists:
                observed, added = await self.probe.complete(
                    observed, lambda: self._tools_for_most(limits)
                )
            # The limit is for all tools: a server may list others for each kind of client.
            if len(observed.tools) > limits.tools_per_server:
                raise reader.crowded()
        except HouseError as fault:
            # A server that is away tells in its health why, and this note would only repeat it.
            if main.ready:
                main.note = f"Its tools could not be read: {fault.detail}"
            raise
        main.note = " ".join(part for part in (note, added) if part)
        return observed

    def reaches(self, server: Server) -> bool:
        """Say whether these links reach it, or it takes new ones: its definition is another."""
        return link_definition(self.server) == link_definition(server)

    def links(self) -> tuple[ServerConnection, ...]:
        """All of them."""
        probing = () if self._probing is None else (self._probing,)
        return (self.main, *self._sessions.values(), *probing)

    def elsewhere(
        self, link: ServerConnection, request: UpstreamRequest
    ) -> ServerConnection | HouseError | None:
        """The link that carries what `link` held while nothing was known; None = itself."""
        # Only this session has shown whether the server can ask in it: where it cannot, what was
        # held belongs on the modern link.
        if link is not self.main:
            return self.main if self.main.modern and not self._in_legacy(request) else None
        other = self.carrier(request)
        return None if other is link else other

    def met(self, link: ServerConnection) -> None:
        """The server was met: whoever knows what it offers looks again."""
        if link is not self.main:
            if self.main.modern:
                self._legacy, self._pushes = True, link.pushes
            self._fault = ""
        else:
            # It may be another version of the server by now, so both are found out anew.
            self._legacy, self._pushes = None, True
            self._log_server_state("")
            self.changed()

    def asked(self, flight: PendingRequest) -> None:
        """A legacy session asked something: that this server can is known from now on."""
        if self.main.modern:
            self._asking.learn(flight.request, AskingSign("legacy"))

    def answered(self, flight: PendingRequest, reply: UpstreamReply) -> UpstreamReply | None:
        """Learn from an answer in which era a tool can ask; None when it is asked in that at once.

        That is done after a handler that ended with its questions in a session where they cannot
        be put: a client that can be asked would send the same request again with the answers. Any
        other tool never runs twice, unless it was reviewed as read-only; its error says what to do.
        """
        request = flight.request
        if request.asker.capabilities == NOTHING or request.method not in ASKING or not self.dual:
            return reply
        spoken = flight.spoken
        sign = asking_sign(spoken, reply.result, reply.error)
        if sign is None:
            return reply
        self._asking.learn(request, sign)
        if (spoken, sign.era) != ("legacy", "modern") or flight.asked is not None:
            return reply
        if sign.sure or request.read_only:
            # The connection that brought the answer clears the flight's place behind this call.
            self._loop.call_soon(self._carry_in_modern, flight)
            return None
        return reply if reply.error is None else UpstreamReply(error=with_cure(reply.error))

    @property
    def dual(self) -> bool:
        """True when the server speaks both eras, as far as is known, and may choose."""
        return self.main.modern and self.server.era == "auto" and self._legacy is not False

    def _carry_in_modern(self, flight: PendingRequest) -> None:
        """Send it once more over the main link, unless it ended meanwhile."""
        if flight.table.open.get(flight.number) is flight:
            self.main.adopt(flight)

    def unmet(self, link: ServerConnection, fault: HouseError) -> None:
        """A session was not begun; of a modern server it follows that it does not speak legacy.

        What was held for it goes over the modern link then: none of it was sent.
        """
        if link is self.main:
            self._log_server_state(fault.detail)
            if link.health().state == "quarantined":
                self._listeners.tell_quarantined(self.server.id)
        if link is self.main or link is self._probing:
            return
        self._fault = f"A session could not be begun or was lost: {fault.detail}"
        # Once a session was begun there, a failure says nothing against the legacy era.
        if not self.main.modern or self._legacy:
            return
        self._legacy = False
        for flight in link.released():
            self.main.adopt(flight)
        self._end_session(link)

    def rests(self, link: ServerConnection) -> None:
        """Nobody used it for long."""
        self._listeners.tell_ending(self.server.id, link.asker.principal, "idle")

    def changed(self) -> None:
        """What the server offers may have changed."""
        self._listeners.tell_changed(self.server.id)

    def updated(self, uri: str) -> None:
        """A watched resource may have changed."""
        self._listeners.tell_updated(self.server.id, uri)

    def aside(self, link: ServerConnection, method: str, params: bytes) -> bool:
        """Tell whose session it is."""
        used = tuple(link.recent)
        said = SessionNotification(self.server.id, link.asker, used, method, params)
        return self._listeners.tell_said(said)

    def rooted(self, asker: OnBehalfOf) -> list[ServerConnection]:
        """This asker's own sessions, whatever their log level, if they are told of its roots."""
        said = self.server.told_of(asker.capabilities)
        if not tells_roots(said):
            return []
        whose = (asker.principal, bytes(for_legacy(said)))
        sessions = self._sessions.items()
        return [link for own, link in sessions if (own.principal, own.capabilities) == whose]

    def leave(self, principal: str) -> None:
        """End every session of this principal; what nobody owns stays."""
        for asker, link in list(self._sessions.items()):
            if asker.principal == principal and not link.asker.shared:
                self._end_session(link)

    def sweep(self, now: float) -> None:
        """End the sessions that were idle for too long; look again where a look failed."""
        for link in self.links()[1:]:
            idle = self._upstream.session_idle_seconds
            # A session is idle from the end of its last request on, however long that ran.
            if link.busy:
                link.used = now
            elif now - link.used > (PROBE_SECONDS if link is self._probing else idle):
                self.rests(link)
                self._end_session(link)
        if now > self.probe.due:
            # The look that follows sets the next moment by itself when it fails again.
            self.probe.due = math.inf
            self.changed()
        self._lines.tell(now)

    def close(self) -> None:
        """End all links."""
        for link in self.links():
            self._end_session(link)

    def health(self) -> ServerHealth:
        """How the server is doing; the main link speaks for all."""
        said = self.main.health()
        known = self._asking.told(pushes=self._pushes) if self.dual else ""
        parts = (said.detail, known, self._fault)
        return structs.replace(said, detail=" ".join(part for part in parts if part))

    def load(self) -> ServerLoad:
        """What is open at the server now, over all of its links."""
        links = self.links()
        told = [link.session.transport.told() for link in links]
        return ServerLoad(
            pending=sum(link.flights.calls for link in links),
            sessions=len(self._sessions),
            connections=sum(each.connections for each in told),
            children=sum(each.pid is not None for each in told),
        )

    def _log_server_state(self, why: str) -> None:
        """Have it be known how the server does now."""
        if not self._once:
            self._lines.change(self.main.health().state, why, self._loop.time())

    def _has_room(self, asker: OnBehalfOf) -> bool:
        """Say whether one more session can be begun; the one idle for longest makes room for it.

        Whoever has many, or as many as are left for others, gets it from their own (an agent counts
        for its owner), so nobody takes them all. One in which something runs is never ended.
        """
        most = self._upstream.sessions_per_server
        every = list(self._sessions.values())
        own = [link for link in every if link.asker.whose == asker.whose]
        if own and len(own) >= min(MOST_OWN, most - len(every)):
            crowd = own
        elif len(every) < most:
            return True
        else:
            crowd = every
        idle = [link for link in crowd if not link.busy]
        if idle:
            self._end_session(min(idle, key=lambda link: link.used))
        return bool(idle)

    def _session_asker_of_request(self, request: UpstreamRequest) -> OnBehalfOf | None:
        """Whose session carries the request; None for the main link."""
        asker = request.asker
        if self.main.modern and not self._in_legacy(request):
            return None
        said = bytes(for_legacy(asker.capabilities))
        level = asker.level if self.main.logs else ""  # what it does not take separates nobody
        if said != NOTHING or level:
            return structs.replace(asker, capabilities=said, level=level, session="")
        # The main link of such a server speaks modern, so callers who declare nothing share a
        # legacy session that is nobody's own.
        return NOBODY if self.main.modern else None

    def _in_legacy(self, request: UpstreamRequest) -> bool:
        """Say whether a modern server is spoken to in a legacy era: in the caller's, if it can be.

        Where its client may have to be asked, in the one in which the server can do that.
        """
        if not self.dual or "requestState" in request.params or "inputResponses" in request.params:
            return False  # or it is the next round of what was begun in the modern era
        if request.asker.capabilities == NOTHING:
            # A server without sessions keeps no log level; in the modern era each request tells it.
            hears = request.asker.level and not self._pushes
            return request.era == "legacy" and not hears
        known = self._asking.of(request) or request.era
        return known == "legacy" and self._pushes

    def _begin_link(self, asker: OnBehalfOf | None) -> ServerConnection:
        link = self._begin(self, asker)
        # Where an admin fixed the era, an answer cannot change what is spoken.
        if self.server.era == "auto":
            link.flights.judge = self
        return link

    def _end_session(self, link: ServerConnection) -> None:
        if link is self._probing:
            self._probing = None
        elif link is not self.main:
            self._sessions.pop(link.asker, None)
        link.stop()

    async def _tools_for_most(self, limits: LimitSettings) -> dict[str, Raw]:
        """The tools that a client is offered which declares everything, by name. Raises HouseError.

        A legacy server needs a session for it, which is begun anew when it failed.
        """
        if self.main.off:  # nobody would end what is begun now
            raise UpstreamUnreachable("The server is not in use.")
        asker = OnBehalfOf(capabilities=self._most)
        link = self.main
        if not link.modern:
            # A session that failed rests until a request wakes it, and would tell its old fault.
            if self._probing is not None and not self._probing.hopeful:
                self._end_session(self._probing)
            if self._probing is None:
                said = bytes(for_legacy(self._most))
                self._probing = self._begin_link(OnBehalfOf(capabilities=said))
            link = self._probing
            link.used = self._loop.time()
        await link.meet(self._start_seconds)
        read = await OfferReader(link, self.server, limits).read_tools(asker)
        return {named(tool): tool for tool in read.raws}
