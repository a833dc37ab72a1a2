"""Who is at the gate: route, Host and Origin, lease, credential; then what they say.

The order matters: nothing of the body is looked at before the credential was good, and what a
stranger learns is the same whether a workspace exists or not.
"""

from gatelodge.core.errors import Stale
from gatelodge.core.jsontext.jsonrpc import UNAVAILABLE
from gatelodge.core.protocol.envelope import (
    ClientMessage,
    ClientResponse,
    MessageFault,
    read_message,
)
from gatelodge.core.protocol.era import (
    check_modern,
    check_repeated,
    client_era,
    client_text,
    passing_meta,
    said_of_itself,
)
from gatelodge.core.protocol.session import CONTEXT, LegacySession, read_session
from gatelodge.core.protocol.version import HEADER_MISMATCH, MODERN
from gatelodge.core.records.origin import UNROUTED, calls_log
from gatelodge.flows.identity.authenticate import AuthenticatedCaller, recorded_caller
from gatelodge.ports.upstream import OnBehalfOf
from gatelodge.web.endpoint.context import EndpointContext, TurnedAway, durable, turn_away
from gatelodge.web.endpoint.http.connection import ClientConnection
from gatelodge.web.endpoint.http.request import HttpRequest
from gatelodge.web.endpoint.http.serving import look_at
from gatelodge.web.endpoint.methods.tables import LEGACY_METHODS, MODERN_METHODS
from gatelodge.web.endpoint.origins import NOT_SERVED, is_preflight, preflight
from gatelodge.web.endpoint.request_context import AdmissionCache, RequestContext, route_of

_JSON = b"application/json"
_CHALLENGE = b'www-authenticate: Bearer realm="gatelodge"'
_INVALID = _CHALLENGE + b', error="invalid_token"'
_KNOWN_METHODS = frozenset(
    (
        *MODERN_METHODS,
        *LEGACY_METHODS,
        "notifications/initialized",
        "notifications/cancelled",
        "notifications/roots/list_changed",
        "notifications/progress",
    )
)
"""Names that a record may hold; any other is recorded as `unknown`."""


def let_in(gate: EndpointContext, visit: RequestContext) -> None:
    """Settle route, freshness and caller. Raises TurnedAway.

    A request that equals the connection's last one in all that decides here, under the same view,
    is let in as that one was, as long as the lease and the credential last.
    """
    # The view stays the same when a credential expires, so the clock is asked each time.
    memo = visit.connection.memo
    if (
        isinstance(memo, AdmissionCache)
        and memo.fits(visit.request, gate.follower.view)
        and gate.follower.fresh()
        and not gate.shut()
        and memo.credential.expires_at > gate.clock.now()
    ):
        memo.lend(visit)
        return
    _let_in(gate, visit)
    # Nothing but an admission is kept: whatever was refused raised above.
    visit.admission = visit.connection.memo = AdmissionCache(visit)
    # An agent's bytes are its owner's: agents without number would multiply a person's limits.
    visit.connection.known(visit.answerable)


def judge(gate: EndpointContext, connection: ClientConnection, request: HttpRequest) -> None:
    """Judge the head of a request that has to wait: its `person` becomes known, or its `away`.

    It is let in anew when its turn comes: access may have ended by then.
    """
    visit = RequestContext(connection, request, 0.0)
    try:
        let_in(gate, visit)
    except TurnedAway as away:
        # Its frames hold the request, which shall hold it: memory that only a collector would free.
        request.away = away.with_traceback(None)
    else:
        request.person = visit.answerable


def _let_in(gate: EndpointContext, visit: RequestContext) -> None:
    request = visit.request
    route = route_of(request.target)
    if route is None:
        raise turn_away(404, "no such endpoint", "not_found")
    visit.route = route
    # One view decides all of this request: a swap in between would mix two states.
    view = gate.follower.view
    workspace = view.workspaces.get(route.workspace)
    # The log is settled first, so that every refusal below stands in the workspace's own.
    if workspace is not None:
        visit.log = calls_log(workspace.id)
    # A proxy in front may have checked the other one of the two fields.
    if request.repeated:
        name = request.repeated.decode("latin-1")
        raise turn_away(400, f"header {name} stands twice", "duplicate_header", HEADER_MISMATCH)
    host = request.headers.get(b"host")
    if host is None:
        raise turn_away(400, "Host is missing", "malformed_http")
    # A page that rebinds its name to this address sends that name as Host (DNS rebinding).
    if not gate.origins.host_allowed(host):
        raise turn_away(403, NOT_SERVED, "origin_not_allowed")
    origin = request.headers.get(b"origin")
    if not gate.origins.origin_allowed(origin, host):
        raise turn_away(403, "this Origin is not allowed", "origin_not_allowed")
    # A browser sends no credential with a preflight, so it is answered before one is wanted.
    if origin is not None and is_preflight(request):
        raise turn_away(204, "", "preflight", -32600, *preflight(request))
    visit.view = view
    caller = _authenticated_caller(gate, visit)
    # Both get the same answer: nobody learns here which other workspaces exist.
    if workspace is None or caller.credential.workspace != workspace.id:
        raise _recorded_auth_failure(gate, visit, "other_workspace")
    visit.workspace = workspace
    visit.credential, visit.who = caller.credential, caller.who
    visit.caller = caller.recorded
    visit.targets = gate.targets(visit.who.id, route)
    visit.asker = OnBehalfOf(visit.who.id, person=visit.who.person, session=caller.credential.id)


def _authenticated_caller(gate: EndpointContext, visit: RequestContext) -> AuthenticatedCaller:
    """Who sends this, while this node may act by its view and somebody could be shut out."""
    try:
        gate.authenticator.must_be_fresh()
        if shut := gate.shut():
            text = f"no call is taken: {shut}"
            raise turn_away(503, text, "unavailable", UNAVAILABLE, b"retry-after: 1")
        found = gate.authenticator.authenticate(visit.request.headers.get(b"authorization"))
    except Stale as stale:
        text = f"authorization is unavailable: {stale.detail}"
        raise turn_away(503, text, "stale", UNAVAILABLE, b"retry-after: 1") from None
    if isinstance(found, str):
        raise _recorded_auth_failure(gate, visit, found)
    return found


def log_of(gate: EndpointContext, target: bytes) -> str:
    """The log of the workspace that a request's target names, or the log of unrouted requests."""
    route = route_of(target)
    workspace = None if route is None else gate.follower.view.workspaces.get(route.workspace)
    return UNROUTED if workspace is None else calls_log(workspace.id)


def _recorded_auth_failure(gate: EndpointContext, visit: RequestContext, reason: str) -> TurnedAway:
    # Whoever guesses tokens is answered only once the first record of the burst is durable.
    written = durable(gate)
    if written is not None:
        written.add_done_callback(look_at)  # a request that waits its turn may be left before
    header = visit.request.headers.get(b"authorization")
    # The log of a workspace never names a token that was another workspace's.
    told, whose = gate.authenticator.recorded_failure(header, reason, visit.log)
    gate.recorder.auth_failed(visit.log, told, written, whose)
    # Where no credential was sent, no error code is told (RFC 6750 clause 3.1).
    sent = header is not None
    away = turn_away(
        401,
        "send a valid token as 'Authorization: Bearer ...'",
        "invalid_request",
        -32600,
        _INVALID if sent else _CHALLENGE,
    )
    away.recorded, away.written = True, written
    return away


def read_body(gate: EndpointContext, visit: RequestContext) -> ClientMessage | ClientResponse:
    """Read the message and settle the era. Raises TurnedAway."""
    headers = visit.request.headers
    kind = headers.get(b"content-type", b"")
    if kind != _JSON and kind.split(b";", 1)[0].strip().lower() != _JSON:
        raise turn_away(415, "send Content-Type: application/json", "invalid_request")
    # A request without Accept takes any type (RFC 9110 clause 12.5.1).
    accept = headers.get(b"accept", b"*/*")
    visit.answer.may_stream = b"text/event-stream" in accept or b"*/*" in accept
    return read_message_of(gate, visit, visit.request.body)


def read_message_of(
    gate: EndpointContext, visit: RequestContext, body: bytes
) -> ClientMessage | ClientResponse:
    """Read one message, of a body or of a batch, and settle the era. Raises TurnedAway."""
    headers = visit.request.headers
    raw_version = headers.get(b"mcp-protocol-version")
    # Latin-1 reads any byte, so an odd header ends as an unknown version and not as an incident.
    version = None if raw_version is None else raw_version.decode("latin-1")
    try:
        message = read_message(body, gate.limits.json_depth)
        if isinstance(message, ClientResponse):
            if version == MODERN:  # nothing is asked in this era, so it answers nothing
                visit.era, visit.proto = "modern", MODERN
            else:
                visit.session = session_of(gate, visit)
            return message
        visit.message = message
        visit.raw_id = message.id or b"null"
        # A method is the client's own word: an unknown one must not reach a log (decision 0013).
        visit.method = message.method if message.method in _KNOWN_METHODS else "unknown"
        memo = visit.admission
        if memo.speaks(message, raw_version):
            # Method and name may differ in each request, so they are compared in each.
            check_repeated(message, headers)
            visit.era, visit.proto = "modern", MODERN
            visit.caller, visit.passing = memo.caller, memo.passing
            return message
        visit.era = client_era(version, message)
        if visit.era == "modern":
            check_modern(message, headers)
            visit.proto = MODERN
    except MessageFault as found:
        raise TurnedAway(found.fault) from None
    visit.passing = passing_meta(message.meta)
    if visit.era == "legacy" and message.method != "initialize":
        visit.session = session_of(gate, visit)
        visit.proto = visit.session.version
        return message
    raw = said_of_itself(message)
    if raw is None:
        _name_caller(visit, b"", "")
    else:
        _name_caller(visit, bytes(raw), None)
    # A notification may leave out what a request must say, so it vouches for no request after it.
    if visit.era == "modern" and message.id and "clientInfo" not in message.params:
        memo.meta, memo.version, memo.passing = message.meta, raw_version, visit.passing
    return message


def _name_caller(visit: RequestContext, given: bytes, text: str | None) -> None:
    """Put the client's own name to the caller; read only when it differs from the last one."""
    memo = visit.admission
    if memo.client != given:
        # A request with the `_meta` that was kept would pass under the name of this other client.
        memo.client, memo.meta = given, None
        named = client_text(given) if text is None else text
        memo.caller = recorded_caller(visit.who, visit.credential, named)
    visit.caller = memo.caller


def session_of(gate: EndpointContext, visit: RequestContext) -> LegacySession:
    """The legacy session that the request names; its client is the caller's from here on.

    Raises TurnedAway (400 none, 404 unknown).
    """
    sealed = visit.request.headers.get(b"mcp-session-id")
    if sealed is None:
        raise turn_away(400, "Mcp-Session-Id is missing: initialize first", "session_unknown")
    session = read_session(gate.sealer.open(sealed.decode("latin-1"), CONTEXT))
    if (
        session is None
        # An id that leaked is good for no other principal, and at no other endpoint.
        or session.principal != visit.who.id
        or session.workspace != visit.workspace.id
        or session.alias != visit.route.alias
        or session.ends_at <= gate.clock.now()
        or gate.sessions.ended(session.nonce, session.ends_at, visit.answerable)
    ):
        # 404 has a client begin a new session (MCP 2025-11-25 basic/transports).
        raise turn_away(404, "no such session: initialize again", "session_unknown", -32600)
    # The session names its client, whichever connection a request of it comes over.
    _name_caller(visit, session.client.encode(), session.client)
    return session
