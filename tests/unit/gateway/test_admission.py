"""What was decided is asked again after each wait, right before the effect: then it ends, or not.

The call path with a journal, a server and a lease that the test moves by hand.
"""

import asyncio
import gc
import weakref
from types import SimpleNamespace

import pytest
from msgspec import Raw
from msgspec.structs import replace
from tests.fakes.world import StillClock
from tests.unit.view.rows import (
    NOON,
    credential,
    grant,
    group,
    guardrail,
    joined,
    member,
    server,
    tool,
    view,
)

from gatelodge.core.errors import LedgerDown, Stale
from gatelodge.core.policy.schema import moment
from gatelodge.core.view_entry import ReadEntry
from gatelodge.flows.gateway.admission import CallControl
from gatelodge.flows.gateway.answers import CallFailed, UpstreamResult, WasCut
from gatelodge.flows.gateway.call import CallLimits, CallPath
from gatelodge.flows.gateway.inflight import InFlight
from gatelodge.flows.gateway.request import CallRequest
from gatelodge.flows.gateway.targets import CallTarget
from gatelodge.flows.health import NodeHealth
from gatelodge.ports.journal import record_landed, record_refused
from gatelodge.ports.upstream import NOBODY, UpstreamReply

pytestmark = [pytest.mark.anyio, pytest.mark.guarantee("revoke:under-a-second")]
ANSWER = Raw(b'{"content":[],"resultType":"complete"}')
EVERYONE = (member(), credential(), server(), group(), joined("mem_ann"))
GOOD = (*EVERYONE, tool(), grant("grn_1", "group", "grp_eng"))
ENDS = {
    "the grant": (*EVERYONE, tool()),
    "the place in the group": (*EVERYONE[:-1], tool(), grant("grn_1", "group", "grp_eng")),
    "a guardrail": (*GOOD, guardrail("forbid (principal, action, resource);")),
    "the tool is blocked": (*EVERYONE, tool(approved=""), grant("grn_1", "group", "grp_eng")),
    "the tool drifted": (*EVERYONE, tool(observed="other"), grant("grn_1", "group", "grp_eng")),
    "the server": (EVERYONE[0], EVERYONE[1], server(status="disabled"), *GOOD[3:]),
    "the token": (EVERYONE[0], *GOOD[2:]),
    "the member": (member(status="suspended"), *GOOD[1:]),
}


class Node:
    """The lease and the view."""

    def __init__(self):
        self.view, self.lease = view(*GOOD), True

    def fresh(self):
        return self.lease

    async def renewed(self):
        return self.lease


class Journal:
    """Records that are durable when the test says so."""

    failed = False

    def __init__(self):
        self.waiting, self.said = [], []

    def intent(self, _log, _who, _call, durable):
        self._take("intent", durable)
        return "c1"

    def outcome(self, _log, _server, ending, durable, *, again=False):
        self._take(ending.outcome, durable)

    def withheld(self, _log, call, _method, reason):
        self.said.append(f"{call} withheld: {reason}")

    def _take(self, what, durable):
        self.said.append(what)
        if durable is not None:
            self.waiting.append(durable)


class Server:
    """An upstream that asks for permission right before it would write."""

    def __init__(self):
        self.got, self.aborted = [], []

    def begin(self, _server, request, _hear):
        self.request = request
        self.spoken = "modern"
        self.reply = asyncio.get_running_loop().create_future()
        if request.admitted():
            self.got.append(request.method)
        else:
            self.reply.set_exception(Stale("not written"))
        return self

    def abort(self, reason):
        self.aborted.append(reason)
        self.reply.cancel()


class Scene:
    def __init__(self, durability="strict", cut=None, entry=None, given=None):
        self.entry = entry
        self.node, self.journal, self.server = Node(), Journal(), Server()
        self.inflight, self.cut = InFlight(), cut or CallControl()
        limits = CallLimits(durability=durability, seconds=60, result_bytes=1000, per_principal=9)
        self.node.view = given or self.node.view
        clock = self.clock = StillClock(NOON)
        self.calls = CallPath(self.server, self.journal, self.inflight, None, clock, limits=limits)
        self.task = asyncio.ensure_future(self.calls.call(self._request(), self.node, self.cut))

    def _request(self):
        now = self.node.view
        entry = self.entry or now.workspaces["home"].tools["git__log"]
        (known,) = now.credentials.values()
        return CallRequest(
            who=now.principals["mem_ann"],
            credential=known,
            caller=SimpleNamespace(client=""),
            workspace="wsp_home",
            slug="home",
            alias="",
            log="calls:home",
            method="tools/call",
            targets=SimpleNamespace(
                find=lambda *given: CallTarget(entry, "log", given[-1], "log", server())
            ),
            name="git__log",
            headers={},
            params={},
            meta={},
            proto="2026-07-28",
            era="modern",
            asker=NOBODY,
            bytes_in=1,
            request=None,
            notify=None,
            hearing=None,
            round=None,
            put=None,
            tasks=False,
        )

    async def durable(self):
        """Let what was recorded be on the disk."""
        await asyncio.sleep(0)
        self.journal.waiting.pop(0).set_result(None)
        await asyncio.sleep(0)

    async def answered(self):
        self.server.reply.set_result(UpstreamReply(result=ANSWER))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def came(self):
        return await asyncio.wait_for(self.task, 5)


async def test_a_call_whose_access_did_not_end_comes_back_with_its_answer():
    scene = Scene()
    await scene.durable()
    scene.node.view = view(*GOOD)  # another view that says the same
    await scene.answered()
    await scene.durable()
    assert isinstance(await scene.came(), UpstreamResult)
    assert scene.journal.said == ["intent", "ok"]


class SeenCut(CallControl, weakref=True):
    pass


async def test_a_call_that_is_over_is_forgotten_at_once_and_not_when_a_collector_comes():
    gc.disable()
    try:
        scene = Scene(cut=SeenCut())
        await scene.durable()
        await scene.answered()
        await scene.durable()
        await scene.came()
        kept = weakref.ref(scene.cut)
        scene.cut.over()
        del scene
        assert kept() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("what", ENDS)
async def test_nothing_is_forwarded_once_it_ended_while_the_intent_was_written(what):
    scene = Scene()
    await asyncio.sleep(0)
    scene.node.view = view(*ENDS[what])
    await scene.durable()
    await scene.durable()
    assert (await scene.came()).reason == "revoked"
    assert scene.server.got == []
    assert scene.journal.said == ["intent", "revoked"]


@pytest.mark.parametrize("what", ENDS)
async def test_no_result_is_handed_back_once_it_ended_while_the_server_worked(what):
    scene = Scene()
    await scene.durable()
    scene.node.view = view(*ENDS[what])
    await scene.answered()
    await scene.durable()
    assert (await scene.came()).reason == "revoked"
    assert scene.journal.said == ["intent", "revoked"]


@pytest.mark.parametrize("what", ENDS)
async def test_no_result_is_handed_back_once_it_ended_while_the_outcome_was_written(what):
    scene = Scene()
    await scene.durable()
    await scene.answered()
    scene.node.view = view(*ENDS[what])
    await scene.durable()
    assert (await scene.came()).reason == "revoked"
    assert scene.journal.said == ["intent", "ok", "c1 withheld: revoked"]


@pytest.mark.parametrize("what", ENDS)
async def test_what_runs_is_cut_by_the_view_that_does_not_allow_it_any_more(what):
    scene = Scene()
    await scene.durable()
    calls, _ = scene.inflight.cut_ended(view(*GOOD))
    assert calls == 0
    assert scene.inflight.cut_ended(view(*ENDS[what])) == (1, 0)
    assert scene.server.aborted == ["revoked"]
    await scene.durable()
    assert (await scene.came()).reason == "revoked"


HOUR = 3_600_000_000
TIMES = {
    "a grant's": (*EVERYONE, tool(), grant("grn_1", "group", "grp_eng", expires_at=NOON + HOUR)),
    "a token's": (EVERYONE[0], credential(expires_at=NOON + HOUR), *GOOD[2:]),
    "a guardrail's": (*GOOD, guardrail(
        "forbid (principal, action, resource) when "
        f'{{ context.now >= datetime("{moment(NOON + HOUR)}") }};'
    )),
}  # fmt: skip


@pytest.mark.parametrize("what", TIMES)
async def test_what_runs_longer_than_its_leave_is_cut_though_no_view_says_so(what):
    scene = Scene(given=view(*TIMES[what]))
    await scene.durable()
    now = scene.node.view
    assert scene.inflight.cut_expired(now, scene.clock.boottime() + 1) == (0, 0)
    scene.clock.step(3_600)
    assert scene.inflight.cut_expired(now, 0.0) == (0, 0), "it began after that"
    assert scene.inflight.cut_expired(now, scene.clock.boottime()) == (1, 0)
    await scene.durable()
    assert (await scene.came()).reason == "revoked"


async def test_without_a_lease_nothing_is_forwarded_and_the_record_says_stale():
    scene = Scene()
    await asyncio.sleep(0)
    scene.node.lease = False
    await scene.durable()
    await scene.durable()
    assert (await scene.came()).reason == "stale"
    assert scene.server.got == []
    assert scene.journal.said == ["intent", "stale"]


@pytest.mark.parametrize("recorded", [False, True])
async def test_without_a_lease_no_result_is_handed_back(recorded):
    scene = Scene()
    await scene.durable()
    scene.node.lease = recorded
    await scene.answered()
    scene.node.lease = False
    await scene.durable()
    assert (await scene.came()).reason == "stale"
    assert scene.journal.said[1:] == (["ok", "c1 withheld: stale"] if recorded else ["stale"])


async def test_what_may_not_be_written_after_all_reaches_no_server():
    scene = Scene()
    await scene.durable()
    assert scene.server.request.admitted()
    scene.node.lease = False
    assert not scene.server.request.admitted()
    scene.node.lease = True
    scene.cut("revoked")
    assert not scene.server.request.admitted()
    await scene.durable()
    assert isinstance(await scene.came(), WasCut)


@pytest.mark.parametrize("kind", ["tool", "reviewed", "prompt"])
async def test_only_a_tool_that_was_reviewed_as_reading_is_forwarded_before_its_intent_is_durable(
    kind,
):
    tool = view(*GOOD).workspaces["home"].tools["git__log"]
    entry = {
        "tool": replace(tool, read_only=False),
        "reviewed": replace(tool, read_only=True, destructive=False),
        "prompt": ReadEntry(server=tool.server, workspace="wsp_home", alias="git", kind="prompts"),
    }[kind]
    scene = Scene("overlap", entry=entry)
    await asyncio.sleep(0)
    assert scene.server.got == (["tools/call"] if kind == "reviewed" else [])
    await scene.durable()
    assert scene.server.got == ["tools/call"]
    scene.task.cancel()


@pytest.mark.parametrize("stands", [False, True])
async def test_a_call_gets_an_outcome_only_if_its_intent_stands_in_the_log(stands, monkeypatch):
    monkeypatch.setattr("gatelodge.flows.gateway.unclosed._SETTLE_SECONDS", 0)
    scene, fault = Scene(), LedgerDown("it took too long")
    known = []
    fault.landed = lambda: known[0] if known else None
    await asyncio.sleep(0)
    scene.journal.waiting.pop(0).set_exception(fault)
    assert isinstance(await scene.came(), CallFailed)
    settling = asyncio.ensure_future(scene.calls.unclosed.settle(NodeHealth(lambda: 0.0)))
    await a_few_rounds()
    assert scene.journal.said == ["intent"]
    known.append(stands)
    await a_few_rounds()
    settling.cancel()
    assert scene.journal.said == ["intent", *(["internal"] if stands else [])]


GIVEN_UP = [
    # the record that is being written, how that ends, what stands there afterwards
    ("intent", "durable", ["intent", "internal"]),
    ("intent", "lost", ["intent"]),
    ("outcome", "durable", ["intent", "ok"]),
    ("outcome", "lost", ["intent", "ok", "ok"]),
]


@pytest.mark.guarantee("audit:every-request-once")
@pytest.mark.parametrize(
    ("record", "ends", "said"), GIVEN_UP, ids=[f"{a} {b}" for a, b, _ in GIVEN_UP]
)
async def test_a_call_that_is_given_up_while_a_record_is_written_is_closed_once(
    record, ends, said, monkeypatch
):
    monkeypatch.setattr("gatelodge.flows.gateway.unclosed._SETTLE_SECONDS", 0)
    scene = Scene()
    if record == "outcome":
        await scene.durable()
        await scene.answered()
    await a_few_rounds()
    (written,) = scene.journal.waiting
    scene.journal.waiting.clear()
    scene.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await scene.came()
    settling = asyncio.ensure_future(scene.calls.unclosed.settle(NodeHealth(lambda: 0.0)))
    await a_few_rounds()
    assert scene.journal.waiting == [], "nobody knows yet what becomes of the first"
    if ends == "durable":
        record_landed(written)
    else:
        record_refused(written, LedgerDown("the disk is full"))
    await a_few_rounds()
    for again in scene.journal.waiting:
        again.set_result(None)
    await a_few_rounds()
    settling.cancel()
    assert scene.journal.said == said
    assert scene.server.got == ([] if record == "intent" else ["tools/call"])


async def a_few_rounds():
    for _ in range(5):
        await asyncio.sleep(0)
