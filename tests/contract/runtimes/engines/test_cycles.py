"""However often containers of an engine come and go, and whoever is killed, nothing of them stays.

It is looked for everywhere, so nothing else may use the engine meanwhile.
"""

import asyncio
import contextlib
import signal
import subprocess
import sys

import pytest
from tests.contract.runtimes.engines.traces import traces
from tests.contract.runtimes.kinds import open_here
from tests.upstreams.pools import until

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.parametrize("kind_name", ["docker dockerd", "docker podman"], indirect=True),
]

CYCLES = 20
SECONDS = 30.0


@pytest.fixture
def anyio_backend():
    return "asyncio", {"use_uvloop": True}


async def found_before(host):
    """What there is while nothing runs; the image is there, and what is made once for all."""
    await (await host.start("serve", files={"KEY": "s3cret"})).instance.stop(0.0)
    return found(host)


def found(host):
    own = {f"own {each}" for each in open_here()}
    return traces(host.kind.engine, host.runtime._mark) | own


async def nothing_more(host, before):
    with contextlib.suppress(pytest.fail.Exception):  # what is more says why
        await until(lambda: found(host) <= before, "nothing more")
    assert found(host) - before == set()


async def test_of_many_starts_and_stops_nothing_stays(host):
    before = await found_before(host)
    for number in range(CYCLES):
        guest = await host.start("serve", files={"KEY": "s3cret"})
        assert await guest.ask("echo", number) == [number]
        await guest.instance.stop(5.0 if number % 2 else 0.0)
    await nothing_more(host, before)


@pytest.mark.parametrize("moment", ["made", "made too", "runs", "runs too", "up"])
async def test_of_a_gate_that_is_killed_the_next_one_leaves_nothing(host, moment):
    """At the moments of a start: its container is there, it runs, it is told as started."""
    before = await found_before(host)
    await host.runtime.close()  # one gate of a data directory at a time
    with start_gate(host) as gate:
        try:
            async with asyncio.timeout(SECONDS):
                if moment == "up":
                    assert await asyncio.to_thread(gate.stdout.readline) == b"up\n"
                while not await is_there(host, moment):
                    assert gate.poll() is None
        finally:
            gate.send_signal(signal.SIGKILL)
    later = host.again()
    later.keep(frozenset())
    await later.close()
    await nothing_more(host, before)
    guest = await host.start("serve")
    assert await guest.ask("echo", "up") == ["up"]


def start_gate(host):
    words = host.kind_name, str(host.caches), host.script, host.mark, "stubborn"
    command = sys.executable, "-m", "tests.contract.runtimes.gate", *words
    return subprocess.Popen(command, stdout=subprocess.PIPE)


async def is_there(host, moment):
    if moment.startswith("made"):
        return await host.runtime._engine.labelled(f"dev.gatelodge.mark={host.runtime._mark}")
    await asyncio.sleep(0.005)
    return host.running
