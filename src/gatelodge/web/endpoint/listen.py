"""Listen streams: `subscriptions/listen` of the modern era, the GET stream of the legacy one.

A stream says that tools changed, and ends with a graceful last word when access ends. It holds no
buffer: a client that does not read loses the stream, not the gate's memory. Source: MCP 2026-07-28
server/subscriptions; 2025-11-25 basic/transports.
"""

import asyncio

import msgspec
from msgspec import Raw

from gatelodge.core.ids import ServerId
from gatelodge.core.protocol.envelope import (
    INVALID_PARAMS,
    UNAVAILABLE,
    error_body,
    notification_body,
    result_body,
)
from gatelodge.core.protocol.version import META_SUBSCRIPTION
from gatelodge.flows.gateway.inflight import CutReason, Running
from gatelodge.flows.gateway.streams import Kind, Stream
from gatelodge.web.endpoint.gate import Gate, answer_here, durable, elapsed_ms, turn_away
from gatelodge.web.endpoint.visit import Visit

_CHANGED = "notifications/tools/list_changed"


async def listen(gate: Gate, visit: Visit) -> None:
    """Serve subscriptions/listen until somebody ends it."""
    wanted = visit.message.params.get("notifications")
    try:
        asked = {} if wanted is None else msgspec.json.decode(wanted, type=dict[str, Raw])
    except (msgspec.DecodeError, UnicodeDecodeError):
        body = error_body(visit.message.id, INVALID_PARAMS, "params.notifications: not an object")
        await answer_here(gate, visit, body, status=400, rpc_code=INVALID_PARAMS)
        return
    tools = bytes(asked.get("toolsListChanged", b"false")) == b"true"
    tag = b'"_meta":{"%b":%b}' % (META_SUBSCRIPTION.encode(), visit.message.id)
    honoured = b'{"toolsListChanged":true}' if tools else b"{}"
    greeting = notification_body(
        "notifications/subscriptions/acknowledged",
        b'{"notifications":%b,%b}' % (honoured, tag),
    )
    changed = notification_body(_CHANGED, b"{%b}" % tag) if tools else b""
    farewell = result_body(visit.message.id, b'{"resultType":"complete",%b}' % tag)
    await _serve(gate, visit, greeting, changed, farewell)


async def legacy_stream(gate: Gate, visit: Visit) -> None:
    """Serve the standalone GET stream of a legacy session."""
    changed = b'{"jsonrpc":"2.0","method":"%b"}' % _CHANGED.encode()
    await _serve(gate, visit, b"", changed, b"")


class _Listening:
    """One open stream: ended once, by whoever is first."""

    def __init__(self, visit: Visit, changed: bytes) -> None:
        self._visit = visit
        self._changed = changed
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def end(self, reason: str) -> None:
        """End the stream for this reason; only the first one counts."""
        if not self.ended.done():
            self.ended.set_result(reason)

    def cut(self, reason: CutReason) -> None:
        """End the stream because access ended or the gate stops."""
        self.end(reason)

    def changed(self, _kind: Kind) -> None:
        """Tell the client that its tools changed."""
        if not self._visit.connection.writable:
            self.end("slow_client")
        else:
            self._visit.answer.say(self._changed)

    def updated(self, server: ServerId, uri: str) -> None:
        """Nothing: no client of this release waits for a resource."""

    def breathe(self) -> None:
        """Keep the stream open; a client that reads nothing loses it."""
        if self._visit.connection.writable:
            self._visit.answer.breathe()
        else:
            self.end("slow_client")


async def _serve(
    gate: Gate, visit: Visit, greeting: bytes, changed: bytes, farewell: bytes
) -> None:
    assert visit.caller is not None
    _, open_streams = gate.inflight.counts(visit.who.id)
    if open_streams >= gate.limits.streams_per_principal:
        raise turn_away(429, "too many open streams", "limit", UNAVAILABLE, b"retry-after: 5")
    open_ = _Listening(visit, changed)
    running = Running("stream", visit.who.id, visit.credential.id, visit.workspace.id, open_.cut)
    if visit.session is not None:
        running.session = visit.session.nonce
    place = (visit.route.workspace, visit.route.alias)
    stream = Stream(visit.who.id, place, open_, ("tools",) if changed else ())
    written = durable(gate)
    seen = (visit.view.gov, visit.proto)
    record = gate.recorder.stream_opened(visit.log, visit.caller, seen, written)
    gate.inflight.add(running)
    visit.connection.on_gone = lambda: open_.end("client_gone")
    if visit.connection.gone:
        open_.end("client_gone")
    reason = "internal"
    try:
        if written is not None:
            await written
        # Registered first, then checked again: a revocation in between cut us or is seen here.
        if not gate.follower.view.admits(visit.credential, ""):
            open_.end("revoked")
        gate.streams.add(stream)
        visit.answer.open_stream()
        if greeting:
            visit.answer.say(greeting)
        visit.forget()
        reason = await open_.ended
    finally:
        gate.streams.remove(stream)
        gate.inflight.remove(running)
        ended = (elapsed_ms(gate, visit), reason)
        gate.recorder.stream_closed(visit.log, record, ended, None)
        visit.connection.close_after()
        if visit.answer.streaming:
            visit.answer.end(200, farewell)
