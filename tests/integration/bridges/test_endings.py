"""A question that is not answered in time, or whose client, server or gate is gone, still ends."""

import json
import os
import signal

import anyio
import pytest
from tests.gate import WAIT, Gate
from tests.integration.bridges.conftest import NEEDING, SETTINGS, Town
from tests.integration.bridges.pairs.covering import about
from tests.integration.bridges.test_apart import given_up
from tests.integration.bridges.test_rounds import FORM, answered, round_of
from tests.integration.bridges.visitors import (
    ELICIT,
    SAMPLE,
    Refused,
    accept,
    clients,
    of_clients,
    text,
    visiting,
)
from tests.upstreams.pools import alive
from tests.wire import until

pytestmark = [pytest.mark.slow, *of_clients]
LEGACY = ("python-2025-11-25", "node2-legacy", "node1")


@pytest.fixture(scope="module")
def hasty(town, tmp_path_factory):
    """A gate that gives its clients little time, with two of the town's servers behind it."""
    directory = tmp_path_factory.mktemp("hasty") / "gate"
    gate = Gate(directory, "limits.question_seconds=0.3", *SETTINGS)
    with gate.running():
        yield Town(gate, {alias: town.urls[alias] for alias in ("push", "need")}, {})


async def test_a_parked_call_that_nobody_takes_up_in_time_is_given_up(hasty):
    order = {"name": "push__order", "arguments": {"dish": "a hasty soup"}}
    async with visiting("python-modern", hasty.url(), hasty.ada, FORM) as ada:
        asked = await round_of(ada, **order)
        await given_up(ada, "push", "a hasty soup")
        with pytest.raises(Refused, match="this state is not good"):
            await round_of(ada, **order, **answered(asked, accept(count=1)))
        assert await ada.call("push__order", dish="soup") == "1 x soup"


async def test_a_relayed_state_is_good_for_a_time_only(hasty):
    order = {"name": "need__order", "arguments": {"dish": "soup"}}
    async with visiting("python-modern", hasty.url(), hasty.ada, FORM) as ada:
        again = {**order, **answered(await round_of(ada, **order), accept(count=1))}
        with pytest.raises(Refused, match="this state is not good"):
            await _again_and_again(ada, again)


async def _again_and_again(visitor, request):
    with anyio.fail_after(WAIT):
        while True:
            assert text(await round_of(visitor, **request)) == "1 x soup"


@clients(*LEGACY)
async def test_a_legacy_client_that_does_not_answer_in_time_has_not_answered(hasty, kind):
    answers = {ELICIT: ["never"], SAMPLE: ["never"]}
    async with visiting(kind, hasty.url(), hasty.ada, answers) as ada:
        with pytest.raises(Refused, match="did not answer"):
            await ada.do("tools/call", name="push__order", arguments={"dish": "soup"})
        assert await ada.call("need__order", dish="soup") == "cancel x soup"
        told = await ada.do("tools/call", name="need__compose", arguments={"topic": "x"})
        assert told["isError"]
        assert "did not answer" in text(told)


@about("notifications/cancelled")
@pytest.mark.parametrize("kind", ["node1", "node2-legacy"])
@pytest.mark.parametrize("alias", ["push", "need"])
async def test_a_legacy_client_that_is_gone_has_not_answered(town, kind, alias):
    before = len(town.leaves())
    async with (
        visiting(kind, town.url(), town.ada, {ELICIT: ["never"]}) as ada,
        anyio.create_task_group() as group,
    ):
        group.start_soon(_begin, ada, f"{alias}__order")
        await anyio.to_thread.run_sync(until, lambda: ada.asked)
        ada.vanish()
        await anyio.to_thread.run_sync(until, lambda: town.closed(before))
    assert town.outcomes(before) == ["ok" if alias in NEEDING else "rpc_error"]


async def _begin(visitor, name):
    with pytest.raises(Refused, match="it ended"):
        await visitor.do("tools/call", name=name, arguments={"dish": "soup"})


async def test_a_parked_call_whose_server_died_ends_in_words(town):
    _, token = town.guest("pipe")
    order = {"name": "pipe__order", "arguments": {"dish": "soup"}}
    async with visiting("python-modern", town.url(), token, FORM) as guest:
        pid, *_ = json.loads(await guest.call("pipe__place"))
        asked = await round_of(guest, **order)
        os.kill(pid, signal.SIGKILL)
        await anyio.to_thread.run_sync(until, lambda: not alive(pid))
        told = await round_of(guest, **order, **answered(asked, accept(count=1)))
        assert told["isError"]
        assert "stopped before it had answered" in text(told)


async def test_a_parked_call_does_not_outlive_its_gate(town, tmp_path):
    gate = Gate(tmp_path / "gate", *SETTINGS)
    order = {"name": "push__order", "arguments": {"dish": "a soup of two gates"}}
    with gate.running():
        short = Town(gate, {"push": town.urls["push"]}, {})
        async with visiting("python-modern", short.url(), short.ada, FORM) as ada:
            asked = await round_of(ada, **order)
            assert await anyio.to_thread.run_sync(gate.stop) == 0
    async with visiting("python-modern", town.url(), town.ada, FORM) as other:
        await given_up(other, "push", "a soup of two gates")
    with gate.running():
        short.token_for(member="ada@example.test")
        async with visiting("python-modern", short.url(), short.ada, FORM) as ada:
            with pytest.raises(Refused, match="waits on another node; make the request anew"):
                await round_of(ada, **order, **answered(asked, accept(count=1)))
            assert await ada.call("push__order", dish="soup") == "1 x soup"
        assert short.outcomes(0) == ["input_required", "rpc_error", "input_required", "ok"]
