"""Upstream MCP servers: what can be asked of one, without knowing how it is reached."""

from asyncio import Future
from collections.abc import Callable, Collection
from typing import Literal, Protocol

import msgspec
from msgspec import Struct

from gatelodge.core.catalog.offer import OfferKind
from gatelodge.core.catalog.server import Server
from gatelodge.core.protocol.capabilities import NOTHING
from gatelodge.core.protocol.upstream_headers import HeaderMirror
from gatelodge.core.protocol.version import Era


class ServerQuestion(Struct, frozen=True):
    """What a legacy server asks of the client during a request (elicitation, sampling, roots).

    `params` is raw JSON; `number` names the question in `UpstreamExchange.answer`, `key` is how the
    server itself calls it (the id of its request, as text).
    """

    number: int
    method: str
    params: msgspec.Raw
    key: str = ""


class UpstreamReply(Struct, frozen=True):
    """What the upstream said: exactly one of `result`, `error` (raw JSON) and `questions` is set.

    Questions that come together are one reply. A modern server asks by a result whose `resultType`
    is `input_required`; that is a result here.
    """

    result: msgspec.Raw | None = None
    error: msgspec.Raw | None = None
    questions: tuple[ServerQuestion, ...] = ()


class OnBehalfOf(Struct, frozen=True):
    """On whose behalf a request is made, and what may be asked back.

    `capabilities` is the JSON of what the caller's client declared, in the form of
    `core.protocol.capabilities`: what is declared upstream, no more and no less. While it is `{}`
    no question can flow, and a session may be shared; otherwise it belongs to `principal` alone.
    `level` is the least severe log message wanted; empty for the server's own choice, of a modern
    server none for a modern caller and `info` for a legacy one. `person` is who answers for the
    principal: an agent's owner, a member themselves. `session` tells sessions of one principal
    apart where a server wants an instance for each.
    """

    principal: str = ""
    capabilities: bytes = b"{}"
    level: str = ""
    person: str = ""
    session: str = ""

    @property
    def whose(self) -> str:
        """Against whose shares it counts; empty for the gate itself."""
        return self.person or self.principal

    @property
    def shared(self) -> bool:
        """True when nothing is declared and no level wanted: nothing is said in it to anybody."""
        return self.capabilities == NOTHING and not self.level


NOBODY = OnBehalfOf()
"""The gate itself."""


MayGo = Callable[[], bool]
"""Asked right before bytes of a caller go to a server: whether they may."""


def always() -> bool:
    """Nobody's access stands behind it: the gate asks for itself."""
    return True


def unnoticed() -> None:
    """Nobody's record says so: what the gate starts for itself, its own log tells."""


def any_size(size: int) -> bool:  # noqa: ARG001 - the form of all
    """Nobody is charged for it: what the gate asks for itself has limits of its own."""
    return True


class UpstreamRequest(Struct, frozen=True, kw_only=True):
    """One request to an upstream.

    `params` members are raw JSON; `meta` holds only keys that may pass (reserved ones are issued
    anew by the adapter for the era it speaks).
    `name` is the tool, prompt or URI that `params` names; `mirrors` are the arguments that a modern
    HTTP server wants repeated in headers (`core.protocol.upstream_headers.mirrors` of the pinned
    inputSchema); `client` is what the caller's program calls itself, never believed. `era` is what
    the caller speaks: a server that speaks both is spoken to in this one, unless its definition
    says otherwise. `admitted` is asked right before any byte of the request, or of an answer to a
    question in it, is written: when it says no, nothing is written and `reply` fails with Stale.
    `seconds` is how long the answer may take; each report of progress that the caller hears gives
    it as long again, up to `longest` in all.
    `read_only` = it was reviewed as one that has no effect, so running it twice does no harm.
    `keeps` is asked, with all that would be kept of the answer then, before more of it is: when it
    says no, `reply` fails with LimitReached. `begun` is told that a process is started for it.
    """

    method: str
    params: dict[str, msgspec.Raw]
    meta: dict[str, msgspec.Raw] = {}
    name: str = ""
    mirrors: tuple[HeaderMirror, ...] = ()
    client: str = ""
    seconds: float = 60.0
    longest: float = 0.0
    max_bytes: int = 6 * 1024 * 1024
    era: Era = "modern"
    read_only: bool = False
    asker: OnBehalfOf = NOBODY
    admitted: Callable[[], bool] = always
    keeps: Callable[[int], bool] = any_size
    begun: Callable[[], None] = unnoticed


class SessionNotification(Struct, frozen=True):
    """What a legacy server said in a session of one principal's own, outside of every request.

    `used` are the method, and of tools the server's own name, of what was lately asked for there:
    whatever is said may be about any of it.
    """

    server: str
    asker: OnBehalfOf
    used: tuple[tuple[str, str], ...]
    method: str
    params: bytes


class UpstreamExchange(Protocol):
    """One request in flight."""

    @property
    def spoken(self) -> Era:
        """The era in which the server is spoken to; final once there is a reply."""
        ...

    @property
    def reply(self) -> "Future[UpstreamReply]":
        """Resolved with the answer, or failed: UpstreamError, LimitReached (too large) or Stale.

        After the first answer to its questions it is a new future: the exchange goes on when all
        are answered.
        """
        ...

    def answer(self, question: int, reply: UpstreamReply, admitted: MayGo) -> None:
        """Answer a question that `reply` brought; what comes next is in the new `reply`.

        The answer goes up while `admitted`, asked right before: it is the word of the call that
        brought it, also when that call rests by then. Never raises: a server that is gone by then
        fails the new future.
        """
        ...

    def abort(self, reason: str) -> None:
        """Stop waiting: tells the upstream (cancel or close) and cancels `reply`. Idempotent."""
        ...


State = Literal["off", "starting", "ready", "idle", "waiting", "failed", "quarantined"]
"""off: not in the pool. idle: ended because nobody used it, and started by the next call. waiting:
will be tried again shortly. failed: several tries failed, each further one a minute after the last.
quarantined: it ended too often, and is left alone until an admin restarts it."""


Ending = Literal["idle", "replaced"]
"""Why a server's instances are ended, where its owner alone knows."""


class ServerHealth(Struct, frozen=True, kw_only=True):
    """How a server is doing; `detail` is safe for admins and holds no payload.

    `version` is the revision of MCP that was agreed on; `restarts` counts the times that a server
    which had been ready was lost. `isolation` is empty for one that is not in the pool: then its
    transport says it. `said` are the last words of one that was not met, for
    whoever may start servers: they hold no payload, since there was none yet.
    """

    state: State
    era: str = ""
    version: str = ""
    isolation: str = ""
    pid: int | None = None
    restarts: int = 0
    detail: str = ""
    said: tuple[str, ...] = ()


class ServerLoad(Struct, frozen=True, kw_only=True):
    """What is open at a server now: callers that wait, callers' own sessions, what carries both."""

    pending: int
    sessions: int
    connections: int
    children: int


class ObservedOffer(Struct, frozen=True, kw_only=True):
    """What a server says of itself: what it offers as raw JSON objects, in its order.

    `refused` says which tools are left out because a client must not use them, and why: no name,
    or, from a modern HTTP server, an invalid `x-mcp-header`. A list that the server does not have
    is empty. `capabilities` is the raw object that it declared in the era in which it was observed.
    `added` names those of its tools that it offers only to clients which declare something to it,
    in the `era` in which it was met. `unread` are the lists that could not be read this time, which
    are empty here.
    """

    tools: tuple[msgspec.Raw, ...]
    prompts: tuple[msgspec.Raw, ...] = ()
    resources: tuple[msgspec.Raw, ...] = ()
    templates: tuple[msgspec.Raw, ...] = ()
    capabilities: msgspec.Raw = msgspec.Raw(b"{}")
    instructions: str = ""
    refused: tuple[str, ...] = ()
    added: frozenset[str] = frozenset()
    era: Era = "modern"
    unread: frozenset[OfferKind] = frozenset()


class Upstreams(Protocol):
    """The pool of connections and child processes, kept equal to the approved servers."""

    def begin(
        self,
        server: str,
        request: UpstreamRequest,
        on_notification: Callable[[str, bytes], None] | None,
    ) -> UpstreamExchange:
        """Send a request; never raises, `reply` fails instead.

        `on_notification(method, params_json)` is called for each notification that belongs to it,
        a progress one with the caller's own token (of `request.meta`) put back. Without it, no
        progress is asked for.
        """
        ...

    async def observe(self, server: Server) -> ObservedOffer:
        """Reach the server (starting it if it must be, whatever its status) and read its tools.

        Raises UpstreamError, LimitReached (too many tools) or KeyUnreachable (a secret reference).
        """
        ...

    async def reconcile(self, servers: tuple[Server, ...]) -> None:
        """Make the pool equal to the approved servers: start, restart what changed, stop the rest.

        Whatever left the list is unreachable when this returns; it does not wait for starts and
        stops.
        """
        ...

    def health(self, server: str) -> ServerHealth:
        """How that server is doing now."""
        ...

    def calls_in(self, server: str, principal: str) -> int:
        """How many calls run in instances of that server: this principal's, "" = the shared one."""
        ...

    def restart(self, server: str) -> bool:
        """End whatever runs of an approved server and begin anew, quarantined or not.

        False when this node does not keep it.
        """
        ...

    def on_list_changed(self, listener: Callable[[str], None]) -> None:
        """Call `listener(server id)` when what a server offers may have changed.

        It said so of its tools, prompts or resources, or it was met, for the first time or again.
        """
        ...

    def subscribe(self, server: str, uris: frozenset[str]) -> None:
        """Have exactly these resources of the server watched from now on; it waits for nothing.

        They stay watched over lost connections, and are forgotten when the server leaves the pool.
        """
        ...

    def on_updated(self, listener: Callable[[str, str], None]) -> None:
        """Call `listener(server id, uri)` when a watched resource changed, or may have."""
        ...

    def on_notification(self, listener: Callable[[SessionNotification], bool]) -> None:
        """Have this listener hear what is said in sessions outside of every request.

        It says whether anybody was told. What is said in a session that is shared reaches nobody.
        """
        ...

    def hear_of_roots(self, asker: OnBehalfOf) -> frozenset[str]:
        """The servers that `roots_changed` would tell: those with sessions of the asker's own."""
        ...

    def roots_changed(self, asker: OnBehalfOf, servers: Collection[str] | None = None) -> None:
        """Tell these servers (None = all that hear) that this asker's client has other roots now.

        It waits for nothing. Told are the asker's own sessions, with these capabilities, if those
        say that such changes are told; never a shared session, never somebody else's. A session
        that is just begun, or begun again, is not told: whatever it asks is answered with the
        present roots.
        """
        ...

    def leave(self, principal: str) -> None:
        """End every session that belongs to this principal; what runs in it fails."""
        ...

    async def close(self) -> None:
        """End every connection and child process (close stdin, then TERM, then KILL)."""
        ...
