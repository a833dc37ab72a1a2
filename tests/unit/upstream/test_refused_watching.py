"""What a session asks for itself: it is no work of the server, and a refusal of it is final."""

import asyncio
from unittest.mock import Mock

import pytest
from msgspec import Raw

from gatelodge.adapters.upstream import subscriptions
from gatelodge.adapters.upstream.http.http_sse import HttpSseTransport
from gatelodge.adapters.upstream.pending import PendingRequest
from gatelodge.adapters.upstream.session import McpSession
from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.protocol import upstream_status
from gatelodge.ports.upstream import NOBODY, UpstreamReply, UpstreamRequest

pytestmark = pytest.mark.anyio


def begun(transmit):
    transport = Mock(kind=PendingRequest)
    session = McpSession(lambda _: transport, "legacy", Mock(version="0"), Mock(), NOBODY)
    transport.transmit = lambda flight, _: transmit(session, flight)
    return session


async def test_the_answer_to_what_the_session_asks_is_no_work_that_the_server_did():
    reply = UpstreamReply(result=Raw(b"{}"))
    session = begun(lambda session, flight: session.flights.settle(flight, reply))
    asked = UpstreamRequest(method="logging/setLevel", params={}, seconds=9.0)
    assert await session.request(asked) == reply
    assert session.flights.settled == 0
    session.flights.settle(session.flights.add(asked, None), reply)
    assert session.flights.settled == 1


@pytest.mark.parametrize(
    ("status", "final"),
    [
        *((each, True) for each in (302, 400, 403, 405)),
        *((each, False) for each in (408, 429, 500, 503)),
    ],
)
async def test_a_resource_that_is_refused_over_http_is_asked_for_once(monkeypatch, status, final):
    monkeypatch.setattr(subscriptions, "LISTEN_FIRST", 0.001)
    asked, enough = [], asyncio.Event()

    def refuse(session, flight):
        asked.append(flight.request.method)
        if len(asked) > 2:
            enough.set()
        fault = upstream_status.rejected(status, b"no", flight.number, session=True, wait=0.0)
        session.flights.fail(flight, fault.again())

    session = begun(refuse)
    session.watching.watch(frozenset({"file:///x"}))
    keeping = asyncio.ensure_future(
        session.watching.keep_subscribed(session._subscribe_to, missed=False)
    )
    try:
        async with asyncio.timeout(0.2 if final else 10.0):
            await enough.wait()
    except TimeoutError:
        assert final
        assert asked == ["resources/subscribe"]
    else:
        assert not final
    finally:
        keeping.cancel()


@pytest.mark.parametrize("current", [True, False])
async def test_an_old_stream_does_not_break_the_session_met_since(current):
    session = Mock(flights=Mock(open={}), context=Mock(result_bytes=9))
    heads = Mock(listening=lambda: b"")
    transport = HttpSseTransport(Mock(), heads, Mock(), Mock(), session)
    session.transport = transport if current else Mock()
    transport.lost(Mock(), UpstreamUnreachable("It went away."))
    assert session.owner.broke.called is current
