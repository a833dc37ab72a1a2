"""Resource subscriptions: of a legacy session, and of a modern listen request.

What is waited for is known to the gate alone; a server watches the union of what its members wait
for and may read (`flows.gateway.subscriptions`). Source: MCP 2025-11-25 server/resources
(Subscriptions); 2026-07-28 server/subscriptions.
"""

from collections.abc import Collection

from gatelodge.core.ids import Instant, ServerId
from gatelodge.core.jsontext.jsonrpc import result_body
from gatelodge.core.policy.decision import Allow
from gatelodge.core.protocol.envelope import read_text
from gatelodge.core.view import decide
from gatelodge.flows.gateway.bridge.words import all_of, resources_of
from gatelodge.flows.gateway.subscriptions import Uris
from gatelodge.ports.upstream import OnBehalfOf
from gatelodge.web.endpoint.context import EndpointContext, answer_here, answer_invalid
from gatelodge.web.endpoint.methods.rendering import unknown
from gatelodge.web.endpoint.request_context import RequestContext

Watched = tuple[ServerId, str]


LONGEST_URI = 8192
"""Characters in a URI that somebody waits for: it is kept for as long as they do."""


PER_PERSON = 16
"""How many times the limit of one client a person may wait for, with all clients and agents."""


def unbearable(
    gate: EndpointContext, visit: RequestContext, uris: Collection[str], more: int
) -> str:
    """Why nobody can wait for so much at once; empty when they can. `more` = what is new of it."""
    person, most = visit.answerable, gate.limits.subscriptions * PER_PERSON
    # Counted by person: sessions and agents without number would multiply a client's limit.
    if gate.sessions.waited_for(person) + gate.streams.waited_for(person) + more > most:
        return f"one person and their agents wait for at most {most} resources at once"
    if len(uris) > gate.limits.subscriptions:
        return f"one client waits for at most {gate.limits.subscriptions} resources at once"
    if any(len(uri) > LONGEST_URI for uri in uris):
        return f"a URI is too long to wait for: at most {LONGEST_URI} characters"
    return ""


def watched(gate: EndpointContext, visit: RequestContext, uri: str) -> Watched | None:
    """The resource behind a shown URI, None when this caller may not read it."""
    target = visit.targets.find(visit.view, "resources/read", uri, {})
    if target is None:
        return None
    at, context = Instant(gate.clock.now()), visit.credential.context
    decision = decide(visit.view, visit.who, target.entry, at, context)
    return (target.entry.server, target.label) if isinstance(decision, Allow) else None


async def subscribe(gate: EndpointContext, visit: RequestContext) -> None:
    """Let a legacy session hear of changes of a resource, on its GET stream."""
    await _change_subscription(gate, visit, wanted=True)


async def unsubscribe(gate: EndpointContext, visit: RequestContext) -> None:
    """Let it hear of them no more."""
    await _change_subscription(gate, visit, wanted=False)


async def _change_subscription(
    gate: EndpointContext, visit: RequestContext, *, wanted: bool
) -> None:
    session, uri = visit.session, read_text(visit.message.params.get("uri"))
    assert session is not None
    if uri is None:
        await answer_invalid(gate, visit, "params.uri must be a string")
        return
    kept = gate.sessions.of(session.nonce, session.ends_at, gate.clock.now(), visit.answerable)
    found = watched(gate, visit, uri)
    if found is None and not wanted:
        found = _waited_for(visit, uri, kept.uris)
    # What may not be read is answered as what is not there (guarantee access:list-equals-call).
    if found is None:
        status, body = unknown(visit, uri)
        await answer_here(gate, visit, body, status=status, rpc_code=-32_002)
        return
    uris = kept.uris | {found} if wanted else kept.uris - {found}
    text = unbearable(gate, visit, [own for _, own in uris], len(uris - kept.uris))
    if text:
        await answer_invalid(gate, visit, text)
        return
    said = visit.said()
    noted = await gate.words.noted(said, {found[0]}, resources_of)
    # Another request of the session may have been quicker: what it asked for stays.
    uris = kept.uris | {found} if wanted and noted else kept.uris - {found}
    gate.sessions.wait_for(visit.answerable, kept, uris)
    if kept.streams:
        gate.streams.wait_for(kept.streams[-1], uris)
    # Nothing was waited for since `noted`, so what was judged there still held.
    gate.words.told(said, noted)
    if wanted and not noted:
        # Access to it ended while that was written down, so nothing of it will be heard.
        status, body = unknown(visit, uri)
        await answer_here(gate, visit, body, status=status, rpc_code=-32_002)
        return
    await answer_here(gate, visit, result_body(visit.message.id, b"{}"))


async def roots_changed(gate: EndpointContext, visit: RequestContext) -> None:
    """Tell servers with sessions of the caller's own that its client has other roots (legacy).

    Source: MCP 2025-11-25 client/roots.
    """
    session = visit.session
    if session is not None:
        asker = OnBehalfOf(visit.who.id, session.capabilities)
        servers = {ServerId(each) for each in gate.upstreams.hear_of_roots(asker)}
        said = visit.said()
        noted = await gate.words.noted(said, servers, all_of)
        gate.upstreams.roots_changed(asker, noted)
        gate.words.told(said, noted)
    await answer_here(gate, visit, b"", status=202)


def _waited_for(visit: RequestContext, uri: str, uris: Uris) -> Watched | None:
    """What a session waits for although it may not read it now: that can be taken back too."""
    target = visit.targets.find(visit.view, "resources/read", uri, {})
    found = None if target is None else (ServerId(target.entry.server), target.label)
    return found if found in uris else None
