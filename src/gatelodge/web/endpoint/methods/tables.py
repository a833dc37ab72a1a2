"""Which method is answered by what, in each era."""

from collections.abc import Awaitable, Callable

from gatelodge.core.jsontext.jsonrpc import METHOD_NOT_FOUND, error_body
from gatelodge.core.protocol.envelope import ClientMessage, ClientResponse
from gatelodge.web.endpoint.context import EndpointContext, answer_here
from gatelodge.web.endpoint.methods import calling, handshake, listening, lists, subscribing
from gatelodge.web.endpoint.request_context import RequestContext

Method = Callable[[EndpointContext, RequestContext], Awaitable[None]]


async def accepted(gate: EndpointContext, visit: RequestContext) -> None:
    """Take a notification or a response: 202 without a body."""
    await answer_here(gate, visit, b"", status=202)


async def unknown(gate: EndpointContext, visit: RequestContext) -> None:
    """Say that there is no such method: 404 for the modern era, a plain error for the legacy."""
    body = error_body(visit.message.id, METHOD_NOT_FOUND, "method not found")
    status = 404 if visit.era == "modern" else 200
    await answer_here(gate, visit, body, status=status, rpc_code=METHOD_NOT_FOUND)


_BOTH: dict[str, Method] = {
    "tools/call": calling.make_call,
    "tools/list": lists.list_tools,
    "prompts/get": calling.make_call,
    "prompts/list": lists.list_offers,
    "resources/read": calling.make_call,
    "resources/list": lists.list_offers,
    "resources/templates/list": lists.list_offers,
    "completion/complete": calling.complete,
}
MODERN_METHODS: dict[str, Method] = _BOTH | {
    "server/discover": handshake.discover,
    "subscriptions/listen": listening.listen,
    "tasks/get": calling.about_task,
    "tasks/update": calling.about_task,
    "tasks/cancel": calling.about_task,
}
LEGACY_METHODS: dict[str, Method] = _BOTH | {
    "initialize": handshake.initialize,
    "ping": handshake.ping,
    "logging/setLevel": handshake.set_level,
    "resources/subscribe": subscribing.subscribe,
    "resources/unsubscribe": subscribing.unsubscribe,
}


def method_of(
    gate: EndpointContext, visit: RequestContext, message: ClientMessage | ClientResponse
) -> Method:
    """What answers this message; a client's answer to a question of ours is handed on here."""
    session = visit.session
    if isinstance(message, ClientResponse):
        visit.method = "response"
        if session is not None:
            # The nonce is part of the question's key, so no session answers for another.
            gate.asking.answered(session.nonce, message.id, message.result, message.error)
        return accepted
    if message.id:
        methods = MODERN_METHODS if visit.era == "modern" else LEGACY_METHODS
        return methods.get(message.method, unknown)
    # A notification; a tools/call without an id is none and goes no further either: nobody could be
    # told how it ended.
    if message.method == "notifications/roots/list_changed":
        return subscribing.roots_changed
    # A modern client takes a request back by closing its connection, never by a notification.
    if message.method == "notifications/cancelled" and session is not None:
        raw_id = bytes(message.params.get("requestId") or b"")
        running = gate.inflight.of_request(session.nonce, raw_id)
        # Request ids are the client's to choose, so they alone give no right to end anything.
        if running is not None and running.principal == visit.who.id:
            running.cut("cancelled")
    return accepted
