"""One MCP session over any transport: what is agreed, and in which order, is the same for all."""

import json
from types import SimpleNamespace

import pytest
from msgspec import Raw

from gatelodge.adapters.upstream.session import McpSession
from gatelodge.adapters.upstream.transport import TransportStatus, UpstreamTransport
from gatelodge.core.errors import UpstreamBrokeProtocol, UpstreamTimeout, UpstreamUnreachable
from gatelodge.core.protocol.upstream import UpstreamMessage
from gatelodge.ports.upstream import NOBODY, OnBehalfOf, UpstreamReply, UpstreamRequest

pytestmark = pytest.mark.anyio

MODERN = b'{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}'
LEGACY = b'{"protocolVersion":"2025-11-25","capabilities":{"tools":{},"logging":{}}}'
QUIET = b'{"protocolVersion":"2025-11-25","capabilities":{"tools":{}}}'
FUTURE = b'{"protocolVersion":"2099-01-01","capabilities":{}}'
UNKNOWN = UpstreamMessage(error=Raw(b'{"code":-32601,"message":"Method not found"}'))
LISTENING = ["initialize", "2025-11-25", "notifications/initialized"]


def said(result):
    return UpstreamMessage(result=Raw(result))


class TableTransport(UpstreamTransport):
    """Answers from a table, and takes note of what it is to move."""

    def __init__(self, session, answers, log, **ways):
        self.session, self.answers, self.log = session, answers, log
        self.next = None
        self.silent = False
        vars(self).update(ways)

    async def open(self):
        self.log.append("open")

    async def ask(self, asked):
        self.log.append(asked.method)
        answer = self.answers[asked.method]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def older(self):
        return self.next

    def agree(self, version):
        self.log.append(version)
        return True

    async def met(self, era):
        self.log.append(era)

    def transmit(self, flight, body):
        self.log.append(json.loads(body)["method"])
        if self.silent:
            self.session.flights.fail(flight, UpstreamTimeout("No answer."))
        else:
            self.session.flights.settle(flight, UpstreamReply(result=Raw(b"{}")))

    def say(self, *messages):
        self.log += [json.loads(message).get("method", "an answer") for message in messages]

    def cancel(self, flight, messages):
        self.say(*messages)

    def respond(self, flight, response, admitted):
        self.say(response)

    def sweep(self, now):
        pass

    async def let_go(self):
        self.log.append("let go")

    async def shut(self):
        self.log.append("shut")

    def told(self):
        return TransportStatus(isolation="none", said=("stderr: no such file",))


def begun(answers, wish="auto", asker=NOBODY, **ways):
    """A session, its transport, and what went over it."""
    log = []
    context = SimpleNamespace(version="1", upstream=SimpleNamespace(start_seconds=2.0))

    def make(session):
        return TableTransport(session, answers, log, **ways)

    session = McpSession(make, wish, context, SimpleNamespace(), asker)
    return session, session.transport, log


async def test_a_server_that_answers_in_the_modern_era_is_not_shaken_hands_with():
    session, _, log = begun({"server/discover": said(MODERN)})
    hello = await session.open()
    assert (hello.era, hello.version, session.modern) == ("modern", "2026-07-28", True)
    assert log == ["open", "server/discover", "modern"]


@pytest.mark.parametrize("answer", [UNKNOWN, None, said(b"{}"), said(b"[]")])
async def test_any_other_answer_is_that_of_a_legacy_server(answer):
    session, _, log = begun({"server/discover": answer, "initialize": said(QUIET)})
    hello = await session.open()
    assert (hello.era, session.modern) == ("legacy", False)
    assert log == ["open", "server/discover", *LISTENING, "legacy"]


async def test_silence_is_an_outage_unless_the_transport_says_otherwise():
    answers = {"server/discover": UpstreamTimeout("No answer."), "initialize": said(QUIET)}
    session, _, log = begun(answers)
    with pytest.raises(UpstreamTimeout):
        await session.open()
    assert log == ["open", "server/discover"]
    session, _, log = begun(answers, silence_is_legacy=True)
    assert (await session.open()).era == "legacy"


@pytest.mark.parametrize(
    ("wish", "known", "asked"),
    [
        ("auto", False, True),
        ("auto", True, False),
        ("legacy", False, False),
        ("modern", True, True),
    ],
)
async def test_the_era_is_asked_for_where_it_is_not_known(wish, known, asked):
    answers = {"server/discover": said(MODERN), "initialize": said(QUIET)}
    session, _, log = begun(answers, wish, known_legacy=known)
    assert (await session.open()).era == ("modern" if asked else "legacy")
    assert ("server/discover" in log) == asked


async def test_where_only_the_modern_era_will_do_nothing_else_is_tried():
    session, _, log = begun({"server/discover": UNKNOWN}, "modern")
    with pytest.raises(UpstreamBrokeProtocol, match="does not speak 2026-07-28"):
        await session.open()
    assert log == ["open", "server/discover"]


@pytest.mark.parametrize("silent", [False, True])
async def test_a_level_is_set_behind_the_handshake_and_no_answer_to_it_does_no_harm(silent):
    asker = OnBehalfOf("ada", level="debug")
    session, _, log = begun({"initialize": said(LEGACY)}, "legacy", asker, silent=silent)
    await session.open()
    assert log == ["open", *LISTENING, "logging/setLevel", "legacy"]


async def test_a_server_that_takes_no_level_is_not_told_one():
    asker = OnBehalfOf("ada", level="debug")
    session, _, log = begun({"initialize": said(QUIET)}, "legacy", asker)
    await session.open()
    assert "logging/setLevel" not in log


@pytest.mark.parametrize("answer", [UNKNOWN, None, said(FUTURE), said(b"7")])
async def test_a_handshake_that_agrees_on_nothing_ends_with_the_server_s_last_words(answer):
    session, _, log = begun({"initialize": answer}, "legacy")
    with pytest.raises(UpstreamBrokeProtocol) as caught:
        await session.open()
    assert caught.value.said == ("stderr: no such file",)
    assert "notifications/initialized" not in log


async def test_an_older_transport_is_spoken_until_the_server_is_lost():
    session, first, log = begun({"initialize": UpstreamUnreachable("No POST.")}, "legacy")
    first.next = older = TableTransport(session, {"initialize": said(QUIET)}, log)
    await session.open()
    assert session.transport is older
    await session.let_go()
    assert session.transport is first
    assert log == ["open", "initialize", "open", *LISTENING, "legacy", "let go"]


async def test_where_the_older_one_is_not_spoken_either_the_first_refusal_is_told():
    session, first, log = begun({"initialize": UpstreamUnreachable("No POST.")}, "legacy")
    first.next = TableTransport(session, {"initialize": UpstreamUnreachable("No stream.")}, log)
    with pytest.raises(UpstreamUnreachable, match=r"No POST\."):
        await session.open()
    assert session.transport is first
    assert log[-1] == "let go"


async def test_whoever_waits_no_more_is_told_of_but_for_a_handshake():
    session, _, log = begun({})
    for method in ("tools/call", "initialize"):
        flight = session.flights.add(UpstreamRequest(method=method, params={}), None)
        session.cancel(flight, "cancelled")
    assert log == ["notifications/cancelled"]
