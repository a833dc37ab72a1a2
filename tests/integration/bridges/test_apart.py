"""Two members on one server: each is asked their own, and what ends, ends for one alone."""

import json
import time

import anyio
import pytest
from tests.gate import WAIT
from tests.integration.bridges.conftest import NEEDING, PUSHING, every_server, pushing_server
from tests.integration.bridges.test_rounds import FORM, answered, round_of
from tests.integration.bridges.visitors import (
    ELICIT,
    Refused,
    accept,
    of_clients,
    text,
    visiting,
)
from tests.upstreams.pools import alive
from tests.wire import until

pytestmark = [pytest.mark.slow, *of_clients]


class Table:
    """Where questions are held until everybody has one."""

    def __init__(self, seats: int) -> None:
        self._seats = seats
        self._full = anyio.Event()

    def answer(self, **content):
        async def wait():
            self._seats -= 1
            if not self._seats:
                self._full.set()
            with anyio.fail_after(WAIT):
                await self._full.wait()
            return accept(**content)

        return wait


@pytest.mark.parametrize("revision", ["modern", "2025-11-25"])
@every_server
async def test_two_members_who_are_asked_at_once_are_asked_their_own(town, revision, alias):
    _, token = town.guest(*PUSHING, *NEEDING)
    table = Table(2)
    kind = f"python-{revision}"
    done = {}
    async with (
        visiting(kind, town.url(), town.ada, {ELICIT: [table.answer(count=1)]}) as ada,
        visiting(kind, town.url(), token, {ELICIT: [table.answer(count=2)]}) as guest,
        anyio.create_task_group() as both,
    ):

        async def order(visitor, dish):
            done[dish] = await visitor.call(f"{alias}__order", dish=dish)

        both.start_soon(order, ada, "soup")
        both.start_soon(order, guest, "fish")
    assert done == {"soup": "1 x soup", "fish": "2 x fish"}
    assert [x["params"]["message"] for x in ada.asked] == ["How many of soup?"]
    assert [x["params"]["message"] for x in guest.asked] == ["How many of fish?"]


@pytest.mark.parametrize("alias", PUSHING)
async def test_a_session_in_which_can_be_asked_is_one_members_alone(town, alias):
    email, token = town.guest(*PUSHING)
    places = {}
    for name, mine, answers in (
        ("ada", town.ada, FORM),
        ("guest", token, FORM),
        ("guest's agent", town.agent_of(email, *PUSHING), FORM),
        ("silent ada", town.ada, {}),
        ("silent guest", token, {}),
    ):
        for kind in ("python-modern", "python-2025-11-25"):
            async with visiting(kind, town.url(), mine, answers) as visitor:
                places.setdefault(name, set()).add(await visitor.call(f"{alias}__place"))
    assert [len(each) for each in places.values()] == [1] * 5
    # Who cannot be asked anything is told nothing of others either: that session is everybody's.
    assert places["silent ada"] == places["silent guest"]
    assert len(set.union(*places.values())) == 4


@pytest.mark.guarantee("revoke:under-a-second")
@pytest.mark.parametrize("alias", ["push", "sse"])
async def test_a_parked_call_ends_with_its_members_access_in_under_a_second(town, alias):
    email, token = town.guest(*PUSHING)
    dish = f"a dish of {email} at {alias}"
    order = {"name": f"{alias}__order", "arguments": {"dish": dish}}
    async with (
        visiting("python-modern", town.url(), town.ada, FORM) as ada,
        visiting("python-modern", town.url(), token, FORM) as guest,
    ):
        mine, theirs = await round_of(ada, **order), await round_of(guest, **order)
        before = time.time()
        await anyio.to_thread.run_sync(town.api, "POST", f"/members/{email}/revoke", {})
        ended = await given_up(ada, alias, dish)
        assert ended - before < 1.0
        with pytest.raises(Refused):
            await round_of(guest, **order, **answered(theirs, accept(count=1)))
        done = await round_of(ada, **order, **answered(mine, accept(count=3)))
        assert text(done) == f"3 x {dish}"


async def given_up(visitor, alias, dish) -> float:
    """When the server gave up a question on this dish, which it does once."""
    with anyio.fail_after(WAIT):
        while True:
            told = json.loads(await visitor.call(f"{alias}__given_up"))
            found = [at for at, message in told if message == f"How many of {dish}?"]
            if found:
                assert len(found) == 1
                return found[0]
            await anyio.sleep(0.01)


@pytest.mark.guarantee("revoke:under-a-second")
async def test_a_members_own_process_of_a_server_ends_with_their_access(town):
    email, token = town.guest(*PUSHING)
    async with visiting("python-modern", town.url(), token, FORM) as guest:
        pid, *_ = json.loads(await guest.call("pipe__place"))
        parked = await round_of(guest, name="pipe__order", arguments={"dish": "soup"})
        assert parked["inputRequests"]
        assert alive(pid)
        await anyio.to_thread.run_sync(town.api, "POST", f"/members/{email}/revoke", {})
        await anyio.to_thread.run_sync(until, lambda: not alive(pid))
    async with visiting("python-modern", town.url(), town.ada, FORM) as ada:
        assert await ada.call("pipe__order", dish="soup") == "1 x soup"


@pushing_server
async def test_a_question_to_a_legacy_client_ends_with_its_members_access(town, alias):
    email, token = town.guest(*PUSHING)
    asked, ended = anyio.Event(), []

    async def never():
        asked.set()
        await anyio.sleep_forever()

    async def order(guest):
        with pytest.raises(Refused) as refused:
            await guest.do("tools/call", name=f"{alias}__order", arguments={"dish": "soup"})
        ended.append(refused.value.code)

    async with (
        visiting("python-2025-11-25", town.url(), token, {ELICIT: [never]}) as guest,
        anyio.create_task_group() as group,
    ):
        group.start_soon(order, guest)
        with anyio.fail_after(WAIT):
            await asked.wait()
        before = time.monotonic()
        await anyio.to_thread.run_sync(town.api, "POST", f"/members/{email}/revoke", {})
        await anyio.to_thread.run_sync(until, lambda: ended)
        assert time.monotonic() - before < 1.0
    assert ended == [4010]


async def test_a_server_that_is_disabled_takes_its_parked_calls_with_it(town):
    await anyio.to_thread.run_sync(town.serve, "brief", town.urls["push"])
    _, token = town.guest("brief", *PUSHING)
    order = {"name": "brief__order", "arguments": {"dish": "a brief soup"}}
    async with visiting("python-modern", town.url(), token, FORM) as guest:
        asked = await round_of(guest, **order)
        another = {**order, "name": "push__order"}
        other = await round_of(guest, **another)
        before = time.time()
        await anyio.to_thread.run_sync(town.api, "POST", "/servers/brief/disable", {})
        assert await given_up(guest, "push", "a brief soup") - before < 1.0
        with pytest.raises(Refused, match="Unknown tool"):
            await round_of(guest, **order, **answered(asked, accept(count=1)))
        done = await round_of(guest, **another, **answered(other, accept(count=2)))
        assert text(done) == "2 x a brief soup"
