"""What is particular about the end, the usage and the trial of instances in the weak tier."""

import os
import signal
import tempfile
from pathlib import Path

import pytest
from tests.contract.runtimes.conftest import Host
from tests.upstreams.pools import alive, until

from gatelodge.adapters.runtime.landlock import machine
from gatelodge.adapters.runtime.landlock.machine import cure_refusal

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def folder(monkeypatch):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        homes = Path(folder) / "homes"
        homes.mkdir()
        homes.chmod(0o777)
        monkeypatch.setattr(tempfile, "tempdir", str(homes))
        yield Path(folder)


@pytest.fixture
async def host(folder):
    made = Host("landlock", folder)
    yield made
    for each in made.runtime.instances():
        await each.stop(0.0)
    await made.runtime.close()


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def test_a_supervisor_that_is_killed_takes_all_with_it(host):
    guest = await host.start("serve")
    await guest.ask("leave", host.mark, "stay")
    # Of what it leaves it hears before that has begun.
    await until(lambda: len({*host.running, guest.instance.init}) == 3, "all three are there")
    pids = {*host.running, guest.instance.init}
    os.kill(parent_of(guest.instance.pid), signal.SIGKILL)
    await until(lambda: not any(alive(each) for each in pids), "all is gone")
    await guest.instance.stop(0.0)


async def test_orphans_are_buried_by_its_init(host):
    guest = await host.start("serve")
    for _ in range(3):
        await guest.ask("leave", host.mark, "chain", "0")
    listing = Path(f"/proc/{guest.instance.init}/task/{guest.instance.init}/children")
    await until(lambda: listing.read_text() == "", "no zombie stays")


async def test_what_its_processes_take_is_added_up(host):
    guest = await host.start("serve")
    await guest.ask("leave", host.mark, "stay")
    found = await guest.instance.stats()
    assert found.processes == 3
    assert 1 << 20 < found.memory_bytes < 1 << 28
    assert found.cpu_seconds > 0
    await guest.instance.stop(0.0)
    assert (await guest.instance.stats()).processes == 0


async def test_a_trial_start_says_what_holds_and_what_does_not(host):
    offer = await host.runtime.probe()
    assert (offer.runtime, offer.tiers) == ("landlock", ("weak",))
    assert offer.version.startswith("Landlock ")
    assert "memory" in offer.gaps[0].says
    assert "runc" in offer.gaps[0].remedy
    assert host.runtime.instances() == ()


async def test_without_landlock_nothing_starts_and_the_trial_says_why(host, monkeypatch):
    monkeypatch.setattr("gatelodge.adapters.runtime.landlock.runtime.landlock_version", lambda: 0)
    offer = await host.runtime.probe()
    assert offer.tiers == ()
    assert "no Landlock" in offer.gaps[0].says
    assert "kernel" in offer.gaps[0].remedy


def test_what_forbids_user_namespaces_is_named_with_its_cure(tmp_path, monkeypatch):
    assert "seccomp" in cure_refusal("unshare")
    assert "doctor" in cure_refusal("/etc/ssl")
    switch = tmp_path / "switch"
    switch.write_text("1\n")
    rows = ((str(switch), "1", "sysctl example=0"),)
    monkeypatch.setattr(machine, "_SWITCHES", rows)
    assert cure_refusal("unshare") == "Allow user namespaces: sysctl example=0."
