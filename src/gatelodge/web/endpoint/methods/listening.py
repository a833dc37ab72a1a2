"""Listen streams: `subscriptions/listen` of the modern era, the GET stream of the legacy one.

A stream says that lists and resources changed, and ends with a graceful last word when access ends.
It holds no buffer: a client that does not read loses the stream, not the gate's memory. Source: MCP
2026-07-28 server/subscriptions; 2025-11-25 basic/transports.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Raw

from gatelodge.core.ids import ServerId
from gatelodge.core.jsontext.jsonrpc import (
    UNAVAILABLE,
    notification_body,
    result_body,
)
from gatelodge.core.protocol.bridge.levels import heard
from gatelodge.core.protocol.bridge.tasks import REQUIRED
from gatelodge.core.protocol.capabilities import TASKS, has_extension
from gatelodge.core.protocol.envelope import Members, given, members_of
from gatelodge.core.protocol.shown.uris import shown_uri
from gatelodge.core.protocol.version import META_SUBSCRIPTION, MISSING_CAPABILITY
from gatelodge.flows.gateway.bridge.words import Noted, resources_of
from gatelodge.flows.gateway.inflight import RunningRequest
from gatelodge.flows.gateway.sessions import KeptSession
from gatelodge.flows.gateway.streams import Kind, ListenStream
from gatelodge.flows.gateway.subscriptions import Uris
from gatelodge.web.endpoint.context import (
    AnswerPermit,
    EndpointContext,
    answer_invalid,
    durable,
    elapsed_ms,
    turn_away,
)
from gatelodge.web.endpoint.methods.subscribing import Watched, unbearable, watched
from gatelodge.web.endpoint.request_context import RequestContext

_KINDS: Final[dict[str, Kind]] = {
    "toolsListChanged": "tools",
    "promptsListChanged": "prompts",
    "resourcesListChanged": "resources",
}
_EVERY: Final[tuple[Kind, ...]] = ("tools", "prompts", "resources")
Greeting = Callable[[Uris], bytes]
"""The first word of a stream that waits for these resources."""
_encode = msgspec.json.Encoder().encode
_uris = msgspec.json.Decoder(list[str]).decode


async def listen(gate: EndpointContext, visit: RequestContext) -> None:
    """Serve subscriptions/listen until somebody ends it."""
    wants = await _subscriptions_of_request(gate, visit)
    if wants is None:
        return
    kinds, found = wants
    tag = b'"_meta":{"%b":%b}' % (META_SUBSCRIPTION.encode(), visit.message.id)

    def greeting(uris: Uris) -> bytes:
        honoured: dict[str, object] = {name: True for name, kind in _KINDS.items() if kind in kinds}
        # What may not be read is left out without a word, as what is not there would be.
        if shown := [uri for uri, resource in found.items() if resource in uris]:
            honoured["resourceSubscriptions"] = shown
        return notification_body(
            "notifications/subscriptions/acknowledged",
            b'{"notifications":%b,%b}' % (_encode(honoured), tag),
        )

    farewell = result_body(visit.message.id, b'{"resultType":"complete",%b}' % tag)
    open_ = _Listening(gate, visit, tag)
    await _serve_stream(
        gate,
        visit,
        open_,
        (kinds, frozenset(found.values())),
        greeting=greeting,
        farewell=farewell,
    )


async def _subscriptions_of_request(
    gate: EndpointContext, visit: RequestContext
) -> tuple[tuple[Kind, ...], dict[str, Watched]] | None:
    """What a listen asks for and may have, by shown URI; None where it was refused."""
    named = given(visit.message.params, "notifications")
    asked: Members | None = {} if named is None else members_of(named)
    wanted = None if asked is None else _read_wanted_uris(given(asked, "resourceSubscriptions"))
    if asked is None or wanted is None:
        await answer_invalid(gate, visit, "params.notifications cannot be read")
    elif given(asked, "taskIds") is not None and not has_extension(visit.capabilities, TASKS):
        text = "the tasks extension was not declared"
        await answer_invalid(gate, visit, text, MISSING_CAPABILITY, REQUIRED)
    elif text := unbearable(gate, visit, wanted, len(wanted)):
        await answer_invalid(gate, visit, text)
    else:
        kinds = tuple(k for name, k in _KINDS.items() if bytes(asked.get(name, b"")) == b"true")
        found = {uri: it for uri in wanted if (it := watched(gate, visit, uri)) is not None}
        return kinds, found
    return None


async def legacy_stream(gate: EndpointContext, visit: RequestContext) -> None:
    """Serve the standalone GET stream of a legacy session; of several the newest hears."""
    session = visit.session
    assert session is not None
    visit.answer.may_stream = True  # whoever opens one takes it, so its client can be asked
    kept = gate.sessions.of(session.nonce, session.ends_at, gate.clock.now(), visit.answerable)
    open_ = _Listening(gate, visit, b"")
    await _serve_stream(gate, visit, open_, (_EVERY, kept.uris), kept)


def _read_wanted_uris(raw: Raw | None) -> list[str] | None:
    """The URIs to wait for; None when they are no list of texts."""
    try:
        return [] if raw is None else _uris(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


class _Listening:
    """One open stream: ended once, by whoever is first. `tag` is the `_meta` of all it says."""

    __slots__ = (
        "_answer",
        "_answerable",
        "_connection",
        "_gate",
        "_session",
        "_slug",
        "_tag",
        "_targets",
        "ended",
    )

    def __init__(self, gate: EndpointContext, visit: RequestContext, tag: bytes) -> None:
        # The visit is not kept: it holds a view and a body, and a stream may stay open for long.
        self._gate = gate
        self._slug = visit.route.workspace
        self._targets = visit.targets
        self._answer = visit.answer
        self._connection = visit.connection
        self._session, self._answerable = visit.session, visit.answerable
        self._tag = tag
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def end(self, reason: str) -> None:
        """End the stream for this reason; only the first one counts."""
        if not self.ended.done():
            self.ended.set_result(reason)

    def changed(self, kind: Kind) -> None:
        """Tell the client that a list changed."""
        method = f"notifications/{kind}/list_changed"
        if self._tag:
            self._say_or_end(notification_body(method, b"{%b}" % self._tag))
        else:
            self._say_or_end(b'{"jsonrpc":"2.0","method":"%b"}' % method.encode())

    def updated(self, server: ServerId, uri: str) -> None:
        """Tell the client that a resource changed which it waits for."""
        view = self._gate.follower.view
        workspace = view.workspaces.get(self._slug)
        found = None if workspace is None else workspace.server(server)
        # The server may be gone from the view by now, and with it the form of its URIs.
        if found is None:
            return
        shown = shown_uri(self._targets.prefix(view, found.alias), uri)
        params = b'{"uri":%b' % _encode(shown) + (b"," + self._tag if self._tag else b"") + b"}"
        self._say_or_end(notification_body("notifications/resources/updated", params))

    def said(self, method: str, params: bytes) -> bool:
        """Hand on what a server says to a legacy session; what finds no room is left out."""
        session = self._session
        if session is None or self.ended.done() or not self._connection.writable:
            return False
        level = self._gate.sessions.level(session.nonce, self._answerable)
        told = heard(method, params, level, session=True)
        if told:
            self._say_or_end(notification_body(method, params))
        return told

    def breathe(self) -> None:
        """Keep the stream open; a client that reads nothing loses it."""
        if self._connection.writable:
            self._answer.breathe()
        else:
            self.end("slow_client")

    def _say_or_end(self, message: bytes) -> None:
        """Say it, or end the stream: a client that lost a word shall look anew."""
        if self.ended.done():
            return
        # An event is an effect like any other: it leaves under the lease, or the stream ends.
        if not self._gate.follower.fresh():
            self.end("stale")
        elif self._connection.writable:
            self._answer.say(message)
        else:
            self.end("slow_client")


async def _serve_stream(
    gate: EndpointContext,
    visit: RequestContext,
    open_: _Listening,
    wants: tuple[tuple[Kind, ...], Uris],
    kept: KeptSession | None = None,
    *,
    greeting: Greeting | None = None,
    farewell: bytes = b"",
) -> None:
    assert visit.caller is not None
    _, open_streams = gate.inflight.counts(visit.who.person)
    if open_streams >= gate.limits.streams_per_principal:
        # Refused before it is recorded as opened: no `stream.closed` has to follow.
        raise turn_away(429, "too many open streams", "limit", UNAVAILABLE, b"retry-after: 5")
    running, stream = _build_stream(visit, open_, wants)
    written = durable(gate)
    gov, proto = visit.view.gov, visit.proto
    record = gate.recorder.stream_opened(visit.log, visit.caller, gov, proto, written)
    gate.inflight.add(running)
    visit.connection.endless = True
    visit.connection.on_gone = lambda: open_.end("client_gone")
    if visit.connection.gone:
        open_.end("client_gone")
    # This stays where the task fails or is cancelled, so that every stream is closed on record.
    reason = "internal"
    # No view changes when a token expires, so a timer has to end the stream.
    left = (visit.credential.expires_at - gate.clock.now()) / 1_000_000
    runs_out = asyncio.get_running_loop().call_later(left, open_.end, "expired")
    try:
        if written is not None:
            await written
        # Registered first, then checked again: a revocation in between cut us or is seen here.
        if not await gate.follower.renewed():
            open_.end("stale")
        elif not gate.follower.view.admits(visit.credential, ""):
            open_.end("revoked")
        said, noted = visit.said(), await _record_watched_servers(gate, visit, stream, kept)
        visit.answer.permit = AnswerPermit(gate, visit)
        visit.answer.open_stream()
        if open_.ended.done():
            gate.words.untold(said, noted, open_.ended.result())
        else:
            _register_stream(gate, visit, stream, greeting, kept)
            gate.words.told(said, noted)
        visit.forget()
        reason = await open_.ended
    finally:
        runs_out.cancel()
        gate.streams.remove(stream)
        if kept is not None:
            _leave_session(gate, kept, stream)
        gate.inflight.remove(running)
        ms = elapsed_ms(gate, visit)
        gate.recorder.stream_closed(visit.log, record, ms, reason, None)
        visit.connection.closing = True
        visit.answer.permit = None  # that it is over may always be said
        if visit.answer.streaming:
            visit.answer.end(200, farewell)


def _build_stream(
    visit: RequestContext, open_: _Listening, wants: tuple[tuple[Kind, ...], Uris]
) -> tuple[RunningRequest, ListenStream]:
    """What stands for the stream where things are cut, and where they are told."""
    who, credential, workspace = visit.who, visit.credential.id, visit.workspace.id
    running = RunningRequest("stream", who.id, credential, workspace, open_.end, who.person)
    route = visit.route
    stream = ListenStream(who.id, route.workspace, route.alias, open_, *wants, visit.capabilities)
    if visit.session is None:
        stream.person = visit.answerable
    else:  # what it waits for is counted with the session
        running.session = visit.session.nonce
    return running, stream


async def _record_watched_servers(
    gate: EndpointContext, visit: RequestContext, stream: ListenStream, kept: KeptSession | None
) -> Noted:
    """Write down which servers will be told what a new stream waits for.

    What a session waits for was written down when it said so.
    """
    if kept is not None or not stream.uris:
        return {}
    servers = {server for server, _ in stream.uris}
    noted = await gate.words.noted(visit.said(), servers, resources_of)
    # No server is told to watch what no intent was written for.
    stream.uris = frozenset(each for each in stream.uris if each[0] in noted)
    return noted


def _register_stream(
    gate: EndpointContext,
    visit: RequestContext,
    stream: ListenStream,
    greeting: Greeting | None,
    kept: KeptSession | None,
) -> None:
    """From now on the stream hears."""
    if kept is not None:
        # Joined first: `add` has to see what the session waits for by now.
        _join_session(gate, kept, stream)
    gate.streams.add(stream)
    if greeting is not None:
        # Nothing was waited for since `add`, so no change is told before the greeting or lost.
        visit.answer.say(greeting(stream.uris))


def _join_session(gate: EndpointContext, kept: KeptSession, stream: ListenStream) -> None:
    """Of a session's streams the newest hears, since a message goes to one of them.

    Source: MCP 2025-11-25 basic/transports (Multiple Connections).
    """
    if kept.streams:
        gate.streams.want(kept.streams[-1], (), frozenset())
    kept.streams.append(stream)
    # What the session waits for may have changed while the record was written.
    stream.uris = kept.uris


def _leave_session(gate: EndpointContext, kept: KeptSession, stream: ListenStream) -> None:
    """The one before it hears again."""
    # A stream that ended while it was recorded never joined.
    if stream not in kept.streams:
        return
    heard = kept.streams[-1] is stream
    kept.streams.remove(stream)
    if heard and kept.streams:
        gate.streams.want(kept.streams[-1], _EVERY, kept.uris)
