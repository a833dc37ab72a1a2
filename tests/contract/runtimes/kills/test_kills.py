"""Whatever ends an instance, and whenever: only errors of ours come out, and nothing stays."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from functools import partial

import pytest
from tests.contract.runtimes.conftest import Heard, Host
from tests.contract.runtimes.engines.started import place_of
from tests.upstreams.pools import until

from gatelodge.adapters.runtime.docker.engine import ContainerEngine
from gatelodge.core.errors import HouseError
from gatelodge.ports.runtime import RuntimeInstance

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

MOMENTS = 8
"""Over the time that a start takes, and somewhat beyond."""
BEYOND = 1.3


async def test_killed_at_any_moment_of_its_start_only_errors_of_ours_come_out(host, kind):
    if kind.elsewhere:
        pytest.skip("its processes are on another machine")
    for delay in await moments(host):
        starting = start(host)
        using = asyncio.create_task(use(starting))
        await asyncio.wait((using,), timeout=delay)
        await until(partial(is_killed, host, starting), "it was there")
        await until(lambda: not kill_all(host), "nothing of it runs")
        await end(using, starting)


async def test_ended_by_two_at_once_at_any_moment_only_errors_of_ours_come_out(host):
    loop = asyncio.get_running_loop()
    for delay in await moments(host):
        starting = start(host)
        using = asyncio.create_task(use(starting))
        with contextlib.suppress(HouseError):
            instance = await starting
            until_then = loop.time() + delay / 4
            await asyncio.wait((using,), timeout=max(0.0, until_then - loop.time()))
            await asyncio.gather(instance.stop(0.05), instance.stop(0.0))
        await end(using, starting)


async def test_removed_by_its_engine_at_any_moment_only_errors_of_ours_come_out(host, kind):
    if not kind.engine:
        pytest.skip("nobody else has the instances of this kind")
    async with opened_engine(kind.engine) as engine:
        for delay in await moments(host):
            starting = start(host)
            using = asyncio.create_task(use(starting))
            await asyncio.wait((using,), timeout=delay)
            while not using.done() and not await remove_all(engine):
                pass
            await end(using, starting)


def start(host: Host) -> "asyncio.Task[RuntimeInstance]":
    work = host.runtime.start(host.spec("serve"), Heard(), asyncio.Protocol())
    return asyncio.create_task(work)


async def moments(host: Host) -> list[float]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await (await start(host)).stop(0.0)
    took = loop.time() - began
    return [took * BEYOND * each / (MOMENTS - 1) for each in range(MOMENTS)]


async def use(starting: "asyncio.Task[RuntimeInstance]") -> None:
    """Do with it all that a gate does, until it is over."""
    await asyncio.wait((starting,))
    if starting.exception() is not None:
        return
    instance = starting.result()
    while instance.status is None:
        instance.write(b'["echo"]\n')
        assert instance.unread >= 0
        assert isinstance(instance.closed, bool)
        assert instance.isolation
        with contextlib.suppress(HouseError):
            await instance.stats()
        await asyncio.sleep(0.005)
    instance.write(b'["echo"]\n')
    assert isinstance(instance.ending, str)


@contextlib.asynccontextmanager
async def opened_engine(name: str) -> AsyncIterator[ContainerEngine]:
    engine = ContainerEngine(place_of(name))
    try:
        yield engine
    finally:
        await engine.close()


async def remove_all(engine: ContainerEngine) -> set[str]:
    """Those that were there to be removed; whoever made one may remove it just now as well."""
    names = await engine.labelled("dev.gatelodge.mark")
    for name in names:
        with contextlib.suppress(HouseError):
            await engine.remove(name)
    return names


def kill_all(host: Host) -> list[int]:
    """Those that were there to be killed."""
    found = host.running
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


def is_killed(host: Host, starting: "asyncio.Task[RuntimeInstance]") -> bool:
    return bool(kill_all(host)) or starting.done()


async def end(using: "asyncio.Task[None]", starting: "asyncio.Task[RuntimeInstance]") -> None:
    async with asyncio.timeout(30):
        await using
        fault = starting.exception()
        assert fault is None or isinstance(fault, HouseError), repr(fault)
        if fault is None:
            await starting.result().stop(0.0)
            assert starting.result().status is not None
