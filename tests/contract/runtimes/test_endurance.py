"""However often containers come and go, and whoever is killed meanwhile, nothing of them stays."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.contract.runtimes.kinds import KINDS, check_required, open_here
from tests.upstreams.pools import alive, until

from gatelodge.adapters.runtime.oci.groups import group_folders
from gatelodge.core.errors import UpstreamUnreachable

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(900)]

RUNC = pytest.mark.parametrize("kind_name", ["oci runc"])
BOTH = pytest.mark.parametrize("kind_name", ["oci runc", "oci runsc"])


@pytest.fixture
def anyio_backend():
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(autouse=True)
def usable(kind_name):
    if not KINDS[kind_name].usable:
        check_required(kind_name)
        pytest.skip("this kind cannot run on this machine")


def traces(runtime):
    """What there is of a runtime on this machine: groups, directories, mounts, processes."""
    mark = runtime.folder.name
    found = [str(at) for at in group_folders(runtime.group)]
    found += [str(runtime.folder)] if runtime.folder.exists() else []
    for pid in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (pid / "cmdline").read_bytes()
            if words and (mark.encode() in words or mark in (pid / "cgroup").read_text()):
                found.append(f"{pid}: {words.decode()}")
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return found + [line for line in mounts if mark in line]


@pytest.mark.parametrize(("kind_name", "cycles"), [("oci runc", 500), ("oci runsc", 50)])
async def test_of_many_starts_and_stops_nothing_stays(host, cycles):
    await (await host.start("serve")).instance.stop(0.0)
    # The group of all of them goes when the supervisor does.
    groups = {str(each) for each in group_folders(host.runtime.group)}
    groups |= {f"/sys/fs/cgroup/systemd{host.runtime.group}"}
    before, running = open_here(), set(traces(host.runtime))
    for _ in range(cycles):
        guest = await host.start("serve")
        await guest.instance.stop(0.0)
    await until(lambda: open_here() <= before, "no file, socket or child stays")
    # The supervisor and what it has, as before: no mount or process for a container.
    await until(lambda: set(traces(host.runtime)) - groups <= running, "as before")
    await host.runtime.close()
    assert traces(host.runtime) == []


@BOTH
async def test_of_gates_that_are_killed_nothing_stays(host, kind_name, folder):
    """Each with an instance, at any moment of its start and after it."""
    await host.runtime.close()
    kind, rounds = KINDS[kind_name], 20 if kind_name == "oci runc" else 2
    places = [folder / f"caches-{number}" for number in range(5)]
    runtimes = [kind.make(host.settings, each) for each in places]
    for number in range(rounds):
        gates = [start_gate(kind_name, place, host) for place in places]
        for late, gate in enumerate(gates):
            if late == number % len(gates):
                assert await asyncio.to_thread(gate.stdout.readline) == b"up\n"
            gate.send_signal(signal.SIGKILL)
        for gate in gates:
            with gate:
                gate.wait()
        for each in runtimes:
            await until(lambda each=each: traces(each) == [], f"swept: {traces(each)}")


def start_gate(kind_name, place, host):
    words = kind_name, str(place), host.script, host.mark, "stubborn"
    command = sys.executable, "-m", "tests.contract.runtimes.gate", *words
    return subprocess.Popen(command, stdout=subprocess.PIPE)


@BOTH
async def test_a_supervisor_that_is_killed_takes_its_containers_along(host):
    guest = await host.start("serve")
    pid = guest.instance.pid
    os.kill(host.runtime._channel._process.pid, signal.SIGKILL)
    await until(lambda: guest.instance.status is not None, "it is told as ended")
    await until(lambda: not alive(pid) and not host.running, "it is")
    await guest.instance.stop(0.0)
    again = await host.start("serve")
    assert await again.ask("echo", "up") == ["up"]


@BOTH
async def test_what_gate_and_supervisor_left_when_both_were_killed_the_next_gate_ends(host):
    guest = await host.start("stubborn")
    supervisor = host.runtime._channel._process.pid
    # As if this gate were gone as well: nobody hears that the supervisor is.
    host.runtime._channel._lost = lambda: None
    os.kill(supervisor, signal.SIGKILL)
    await until(lambda: not alive(supervisor), "killed")
    assert host.running
    later = host.again()
    try:
        # Nothing is tried or started: what there is in the catalog is told, as at every start.
        later.keep(frozenset())
        await until(lambda: not alive(guest.instance.pid), "it is ended")
    finally:
        await later.close()
    for each in host.runtime.instances():
        each.lose()
        await each.stop(0.0)
    assert traces(host.runtime) == []


@RUNC
async def test_two_gates_of_one_data_directory_are_kept_from_each_other(host, monkeypatch):
    guest = await host.start("serve")
    monkeypatch.setattr("gatelodge.adapters.runtime.oci.channel._READY_SECONDS", 1.0)
    offer = await host.again().probe()
    assert offer.tiers == ()
    with pytest.raises(UpstreamUnreachable):
        await host.again().start(host.spec("serve"), asyncio.Protocol(), asyncio.Protocol())
    assert await guest.ask("echo", "still here") == ["still here"]
