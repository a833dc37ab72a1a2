"""Hosted servers: whose instance carries a request, and when an instance is there at all."""

import asyncio

import pytest
from tests.upstreams.hosted import UnpackedRuntime, hosted, hosting_pool
from tests.upstreams.pools import alive, ask, asker, call, ready, text, until

from gatelodge.adapters.upstream import lifecycle
from gatelodge.core.errors import LimitReached, UpstreamUnreachable
from gatelodge.ports.upstream import OnBehalfOf

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

ANN, BOB = asker("mem_ann"), asker("mem_bob")
CI = OnBehalfOf("agt_ci", person="mem_ann")


@pytest.fixture
def anyio_backend():
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def runtime():
    return UnpackedRuntime()


@pytest.fixture
async def pool(request, runtime):
    made = hosting_pool(runtime, idle_seconds=getattr(request, "param", 60.0))
    yield made
    await made.close()
    assert runtime.instances() == ()


soon_idle = pytest.mark.parametrize("pool", [0.3], indirect=True)


async def who(pool, at, whose):
    return text(await ask(pool, at, call("whoami", asker=whose)))["pid"]


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_each_principal_has_an_instance_of_its_own_and_nobody_the_look(pool, runtime, era):
    one = hosted(era, scope="per_user")
    await ready(pool, one)
    pids = {name: await who(pool, one, each) for name, each in (("a", ANN), ("b", BOB), ("c", CI))}
    assert len(set(pids.values())) == 3
    assert await who(pool, one, ANN) == pids["a"]
    owners = {(spec.owner, spec.person) for spec in runtime.specs}
    assert owners == {
        ("", ""),
        ("mem_ann", "mem_ann"),
        ("mem_bob", "mem_bob"),
        ("agt_ci", "mem_ann"),
    }
    assert pool.health(one.id).pid not in pids.values()


@pytest.mark.guarantee("isolation:no-second-path")
@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_fifty_first_calls_of_one_person_start_one_instance(pool, runtime, era):
    one = hosted(era, scope="per_user")
    await ready(pool, one)
    before = len(runtime.specs)
    pids = await asyncio.gather(*(who(pool, one, ANN) for _ in range(50)))
    assert len(set(pids)) == 1
    assert len(runtime.specs) == before + 1


async def test_each_session_of_a_person_has_its_own_where_a_server_wants_that(pool):
    one = hosted(scope="per_session")
    await ready(pool, one)
    first, second = (OnBehalfOf("mem_ann", person="mem_ann", session=each) for each in "ab")
    pids = [await who(pool, one, each) for each in (first, second, first)]
    assert pids[0] == pids[2] != pids[1]


@pytest.mark.guarantee("revoke:under-a-second")
async def test_the_end_of_access_ends_a_persons_instances_and_nobody_elses(pool):
    one = hosted(scope="per_user")
    await ready(pool, one)
    anns, bobs, cis = [await who(pool, one, each) for each in (ANN, BOB, CI)]
    loop = asyncio.get_running_loop()
    began = loop.time()
    pool.leave("mem_ann")
    await until(lambda: not alive(anns) and not alive(cis), "gone")
    assert loop.time() - began < 1.0
    assert alive(bobs)
    assert await who(pool, one, BOB) == bobs


@pytest.mark.parametrize("scope", ["shared", "per_user"])
async def test_what_runs_is_counted_for_whose_instance_it_runs_in(pool, scope):
    one = hosted(scope=scope)
    await ready(pool, one)
    await who(pool, one, BOB)
    whose = "mem_ann" if scope == "per_user" else ""
    slow = call("slow", {"seconds": 0.5}, asker=ANN)
    running = asyncio.create_task(ask(pool, one, slow))
    await until(lambda: pool.calls_in(one.id, whose) == 1, "it runs")
    assert pool.calls_in(one.id, "mem_bob") == 0
    assert pool.calls_in("srv_other", whose) == 0
    await running
    assert pool.calls_in(one.id, whose) == 0


@soon_idle
@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_an_unused_instance_ends_and_the_next_call_starts_it_again(pool, runtime, era):
    one, told = hosted(era), []
    pool.on_ending(lambda *why: told.append(why))
    await ready(pool, one)
    first = await who(pool, one, ANN)
    await until(lambda: pool.health(one.id).state == "idle", "idle")
    await until(lambda: not alive(first), "gone")
    assert told == [(one.id, "", "idle")]
    assert pool.health(one.id).detail == ""
    starts = len(runtime.specs)
    pids = await asyncio.gather(*(who(pool, one, ANN) for _ in range(50)))
    assert len(set(pids)) == 1
    assert len(runtime.specs) == starts + 1
    assert pool.health(one.id).restarts == 0


@soon_idle
async def test_what_runs_or_is_looked_at_is_not_idle(pool):
    one = hosted()
    await ready(pool, one)
    running = asyncio.create_task(ask(pool, one, call("slow", {"seconds": 1.0})))
    await asyncio.sleep(0.7)
    assert pool.health(one.id).state == "ready"
    await running
    await until(lambda: pool.health(one.id).state == "idle", "idle")
    assert (await pool.observe(one)).tools
    assert pool.health(one.id).state == "ready"


@soon_idle
async def test_an_idle_persons_instance_ends_alone(pool):
    one = hosted(scope="per_user")
    await ready(pool, one)
    anns = await who(pool, one, ANN)
    await until(lambda: not alive(anns), "gone")
    assert await who(pool, one, ANN) != anns


async def test_a_server_that_ends_again_and_again_is_left_alone_until_it_is_restarted(
    runtime, monkeypatch
):
    pool, told = hosting_pool(runtime, backoff_seconds=0.01), []
    pool.on_quarantine(told.append)
    one = hosted("dead")
    await pool.reconcile((one,))
    await until(lambda: pool.health(one.id).state == "quarantined", "quarantined")
    starts = len(runtime.specs)
    assert told == [one.id]
    assert "quarantined" in pool.health(one.id).detail
    assert "exited with status 3" in pool.health(one.id).detail
    with pytest.raises(UpstreamUnreachable, match="quarantined") as refused:
        await ask(pool, one, call("echo"))
    assert "server restart" in refused.value.remedy
    await asyncio.sleep(0.2)
    assert len(runtime.specs) == starts
    assert pool.restart(one.id)
    await until(lambda: len(runtime.specs) > starts, "tried again")
    await pool.close()
    assert lifecycle.MOST_EXITS == 5


async def test_who_is_beyond_a_cap_is_told_so_and_served_once_there_is_room(runtime):
    pool = hosting_pool(runtime, backoff_seconds=0.05)
    one = hosted(scope="per_user")
    await ready(pool, one)
    below, full = runtime.start, [True]

    async def start(spec, output, errors, report=None):
        if full and spec.owner == "mem_ann":
            raise LimitReached("You have as many instances as there may be.", retry_after=5.0)
        return await below(spec, output, errors, report)

    runtime.start = start
    for _ in range(8):
        with pytest.raises(LimitReached, match="as many instances"):
            await ask(pool, one, call("whoami", asker=ANN))
        await asyncio.sleep(0.02)
    assert await who(pool, one, BOB)
    full.clear()
    loop = asyncio.get_running_loop()
    until_then = loop.time() + 20
    while loop.time() < until_then:
        try:
            assert await who(pool, one, ANN)
            break
        except LimitReached:
            await asyncio.sleep(0.05)
    assert alive(await who(pool, one, ANN))
    await pool.close()
