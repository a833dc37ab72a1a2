"""One server in the pool: its main link, and the sessions of callers beside it.

The main link is everybody's and declares nothing, so nothing can be asked in it. A legacy server is
told what a client can do when a session begins, so whoever can be asked something has a session of
their own there, opened when it is first needed and closed when it was idle for long. A modern
server is told with each request. A server that speaks both eras is spoken to in the caller's
(decision 0014). For a short while the gate has sessions too, to see what others are offered.
"""

import asyncio
import math
from collections.abc import Callable

from msgspec import Struct, structs

from gatelodge.adapters.upstream.dual.asking import AskingEras
from gatelodge.adapters.upstream.flight import Flight
from gatelodge.adapters.upstream.link import Link
from gatelodge.adapters.upstream.pace.listeners import Listeners
from gatelodge.adapters.upstream.pace.server_lines import ServerLines
from gatelodge.adapters.upstream.starts import Starts
from gatelodge.adapters.upstream.survey import Survey
from gatelodge.config.schema import Hosting
from gatelodge.core.catalog.server import Server, StdioTransport
from gatelodge.core.errors import HouseError, LimitReached, UpstreamUnreachable
from gatelodge.core.protocol.bridge.both_eras import AskingSign, asking_sign, with_cure
from gatelodge.core.protocol.bridge.questions import ASKING
from gatelodge.core.protocol.capabilities import NOTHING, for_legacy, tells_roots, without
from gatelodge.ports.upstream import NOBODY, Asker, Health, Reply, Request, SessionNotification

MOST_OWN = 8
"""Sessions of one person, agents included, with one server: for each principal one for each set of
capabilities and log level."""
SURVEY_SECONDS = 10.0
"""How long a session that only looks is kept idle: a server may tell of changes soon after."""
MOST_RECENT = 64
"""Different things asked for in a session that are remembered; the oldest are forgotten."""
_MOST = "Too many sessions with this server are open."
_OFTEN = "You began too many sessions with this server within a minute."
_REMEDY = "Try again later; an admin can raise hosting.sessions_per_server."


class Upkeep(Struct, frozen=True, kw_only=True):
    """What a lodging is given: how a link is begun and ended, and who hears of its server.

    `once` = for one look, of which whoever asked for it is told.
    """

    begin: "Callable[[Lodging, Asker | None], Link]"
    end: Callable[[Link], None]
    listeners: Listeners
    hosting: Hosting
    once: bool = False


class Lodging:
    """Keeps the links of one server (`Keeper`). On one event loop, like its pool.

    `_legacy` says whether a modern server also speaks legacy: None until it was tried. `_pushes`
    whether it can ask anything there, which one that keeps no session cannot.
    """

    def __init__(self, server: Server, upkeep: Upkeep) -> None:
        self.server = server
        self._upkeep = upkeep
        self._loop = asyncio.get_running_loop()
        self._sessions: dict[Asker, Link] = {}
        process = isinstance(server.transport, StdioTransport)
        self._starts = Starts(upkeep.hosting.starts_per_minute if process else 0)
        self._legacy: bool | None = None
        self._pushes = True
        self._asking = AskingEras()
        self._fault = ""
        self._lines = ServerLines(server.alias)
        self.survey = Survey(server.withheld)
        self.main = self._begin(None)

    def carrier(self, request: Request) -> Link | HouseError:
        """The link that carries a request; a session is begun when none is there."""
        main = self.main
        if not main.known:
            return main  # which holds it and asks again
        asker = self._asker(request)
        if asker is None:
            return main
        session = self._sessions.get(asker)
        if session is None or session.dead:
            if not main.hopeful:
                return main  # nothing is begun with a server that is away
            early = self._starts.too_early(asker, self._loop.time())
            if early:
                return LimitReached(_OFTEN, retry_after=early)
            if not self._has_room(asker):
                return LimitReached(_MOST, remedy=_REMEDY)
            self._starts.count(asker, self._loop.time(), request.begun)
            session = self._sessions[asker] = self._begin(asker)
        session.used = self._loop.time()
        _note(session, request)
        return session

    def surveyor(self, capabilities: bytes) -> Link:
        """The link over which the gate looks as a client with these capabilities would.

        A legacy server needs a session for it, which is begun anew when it failed. Raises
        UpstreamUnreachable when the server left: nobody would end what is begun now.
        """
        if self.main.off:
            raise UpstreamUnreachable("The server is not in use.")
        asker = Asker(capabilities=bytes(for_legacy(capabilities)))
        if self.main.modern or asker == NOBODY:
            return self.main
        session = self._sessions.get(asker)
        if session is None or not session.hopeful:
            if session is not None:
                self._end(session)
            session = self._sessions[asker] = self._begin(asker)
        session.used = self._loop.time()
        return session

    def dismiss(self, link: Link) -> None:
        """End a session that only looked; the main link stays."""
        if link is not self.main and self._sessions.get(link.asker) is link:
            self._end(link)

    def links(self) -> tuple[Link, ...]:
        """All of them."""
        return (self.main, *self._sessions.values())

    def elsewhere(self, link: Link, request: Request) -> Link | HouseError | None:
        """The link that carries what `link` held while nothing was known; None = itself."""
        if link is not self.main:
            return self.main if self.main.modern and not self._in_legacy(request) else None
        other = self.carrier(request)
        return None if other is link else other

    def met(self, link: Link) -> None:
        """The server was met: whoever knows what it offers looks again."""
        if link is not self.main:
            if self.main.modern:
                self._legacy, self._pushes = True, link.pushes
            self._fault = ""
        else:
            self._legacy, self._pushes = None, True
            self._tell("")
            self.changed()

    def asked(self, flight: Flight) -> None:
        """A legacy session asked something: that this server can is known from now on."""
        if self.main.modern:
            self._asking.learn(flight.request, AskingSign("legacy"))

    def answered(self, flight: Flight, reply: Reply) -> Reply | None:
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
            self._loop.call_soon(self._carry_in_modern, flight)
            return None
        return reply if reply.error is None else Reply(error=with_cure(reply.error))

    @property
    def dual(self) -> bool:
        """True when the server speaks both eras, as far as is known, and may choose."""
        return self.main.modern and self.server.era == "auto" and self._legacy is not False

    def _carry_in_modern(self, flight: Flight) -> None:
        """Send it once more over the main link, unless it ended meanwhile."""
        if flight.table.open.get(flight.number) is flight:
            self.main.adopt(flight)

    def unmet(self, link: Link, fault: HouseError) -> None:
        """A session was not begun; of a modern server it follows that it does not speak legacy.

        What was held for it goes over the modern link then: none of it was sent.
        """
        if link is self.main:
            self._tell(fault.detail)
        if link is self.main or link.surveys:
            return
        self._fault = f"A session could not be begun or was lost: {fault.detail}"
        if not self.main.modern or self._legacy:
            return
        self._legacy = False
        for flight in link.released():
            self.main.adopt(flight)
        self._end(link)

    def changed(self) -> None:
        """What the server offers may have changed."""
        self._upkeep.listeners.tell_changed(self.server.id)

    def updated(self, uri: str) -> None:
        """A watched resource may have changed."""
        self._upkeep.listeners.tell_updated(self.server.id, uri)

    def aside(self, link: Link, method: str, params: bytes) -> bool:
        """Tell whose session it is."""
        used = tuple(link.recent)
        said = SessionNotification(self.server.id, link.asker, used, method, params)
        return self._upkeep.listeners.tell_said(said)

    def rooted(self, asker: Asker) -> list[Link]:
        """This asker's own sessions, whatever their log level, if they are told of its roots."""
        said = without(asker.capabilities, self.server.withheld)
        if not tells_roots(said):
            return []
        whose = (asker.principal, bytes(for_legacy(said)))
        sessions = self._sessions.items()
        return [link for own, link in sessions if (own.principal, own.capabilities) == whose]

    def leave(self, principal: str) -> None:
        """End every session of this principal; what nobody owns stays."""
        for asker, link in list(self._sessions.items()):
            if asker.principal == principal and not link.shared:
                self._end(link)

    def sweep(self, now: float) -> None:
        """End the sessions that were idle for too long; look again where a look failed."""
        for link in list(self._sessions.values()):
            idle = SURVEY_SECONDS if link.surveys else self._upkeep.hosting.session_idle_seconds
            if link.busy:
                link.used = now
            elif now - link.used > idle:
                self._end(link)
        if now > self.survey.due:
            self.survey.due = math.inf
            self.changed()
        self._lines.tell(now)

    def close(self) -> None:
        """End all links."""
        for link in list(self._sessions.values()):
            self._end(link)
        self._upkeep.end(self.main)

    def health(self) -> Health:
        """How the server is doing; the main link speaks for all."""
        said = self.main.health()
        known = self._asking.told(pushes=self._pushes) if self.dual else ""
        parts = (said.detail, known, self._fault)
        return structs.replace(said, detail=" ".join(part for part in parts if part))

    def _tell(self, why: str) -> None:
        """Have it be known how the server does now."""
        if not self._upkeep.once:
            self._lines.change(self.main.health().state, why, self._loop.time())

    def _has_room(self, asker: Asker) -> bool:
        """Say whether one more session can be begun; the one idle for longest makes room for it.

        Whoever has many, or as many as are left for others, gets it from their own (an agent counts
        for its owner), so nobody takes them all. One in which something runs is never ended. Those
        in which the gate looks are not callers'.
        """
        most = self._upkeep.hosting.sessions_per_server
        every = [link for link in self._sessions.values() if not link.surveys]
        own = [link for link in every if link.asker.whose == asker.whose]
        if own and len(own) >= min(MOST_OWN, most - len(every)):
            crowd = own
        elif len(every) < most:
            return True
        else:
            crowd = every
        idle = [link for link in crowd if not link.busy]
        if idle:
            self._end(min(idle, key=lambda link: link.used))
        return bool(idle)

    def _asker(self, request: Request) -> Asker | None:
        """Whose session carries the request; None for the main link."""
        asker = request.asker
        if self.main.modern and not self._in_legacy(request):
            return None
        said = bytes(for_legacy(asker.capabilities))
        level = asker.level if self.main.logs else ""  # what it does not take separates nobody
        if said != NOTHING or level:
            return structs.replace(asker, capabilities=said, level=level)
        return NOBODY if self.main.modern else None

    def _in_legacy(self, request: Request) -> bool:
        """Say whether a modern server is spoken to in a legacy era: in the caller's, if it can be.

        Where its client may have to be asked, in the one in which the server can do that.
        """
        if not self.dual or "requestState" in request.params or "inputResponses" in request.params:
            return False  # or it is the next round of what was begun in the modern era
        if request.asker.capabilities == NOTHING:
            hears = request.asker.level and not self._pushes
            return request.era == "legacy" and not hears
        known = self._asking.of(request) or request.era
        return known == "legacy" and self._pushes

    def _begin(self, asker: Asker | None) -> Link:
        link = self._upkeep.begin(self, asker)
        if self.server.era == "auto":
            link.flights.judge = self
        return link

    def _end(self, link: Link) -> None:
        self._sessions.pop(link.asker, None)
        self._upkeep.end(link)


def _note(session: Link, request: Request) -> None:
    """Remember what was asked for in a session: what is said there later may be about it."""
    what = (request.method, request.name if request.method == "tools/call" else "")
    session.recent.pop(what, None)
    session.recent[what] = None
    if len(session.recent) > MOST_RECENT:
        del session.recent[next(iter(session.recent))]
