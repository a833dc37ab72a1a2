"""Containers of both engines are kept apart, spoken to, and gone; whatever the engine shows."""

import asyncio
import json
import shutil
import signal
import socket
from pathlib import Path

import pytest
from tests.contract.runtimes.guest_image import IMAGE
from tests.upstreams.pools import until

from gatelodge.adapters.runtime.docker.secrets import memory_directory
from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.hosting.facts import deviations
from gatelodge.core.hosting.limits import InstanceLimits

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SOON = 5.0


async def test_a_container_is_kept_apart_as_the_kernel_finds(containers):
    limits = InstanceLimits(memory_mib=128, cpus=0.5, processes=32)
    guest = await containers.start(limits=limits)
    assert await guest.ask("echo", "a", 1) == ["a", 1]
    facts = guest.instance.facts
    assert deviations(facts, "standard", limits) == ()
    assert (facts.source, facts.interfaces) == ("kernel", ("lo",))
    assert (facts.memory_bytes, facts.cpus, facts.processes) == (128 << 20, 0.5, 32)
    assert facts.uid > 100_000
    assert facts.runtime.split()[0] in guest.instance.isolation
    taken = await guest.instance.stats()
    assert taken.processes == 1
    assert 1 << 20 < taken.memory_bytes <= 128 << 20


async def test_our_own_list_of_system_calls_holds_and_lets_programs_run(containers):
    guest = await containers.start()
    assert await guest.ask("thread") == ""
    assert await guest.ask("socket", socket.AF_INET) == ""
    # Engines' own lists let this one through: it reaches the hypervisor past the network's border.
    assert await guest.ask("socket", socket.AF_VSOCK) != ""
    assert "its own list" not in guest.instance.facts.runtime


async def test_files_are_there_to_be_read_and_lie_on_no_disk(containers):
    guest = await containers.start(files={"KEY": "s3cret-of-a-file"})
    assert await guest.ask("read", "/run/secrets/KEY") == "s3cret-of-a-file"
    assert await guest.ask("write", "/run/secrets/KEY", "other") == "Read-only file system"
    folder = guest.instance.secrets.parent
    assert folder.stat().st_mode & 0o777 == 0o700
    assert file_system(folder) == "tmpfs"
    await guest.instance.stop(SOON)
    assert not folder.exists()


def file_system(at):
    kinds = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kinds[before.split()[4]] = after.split()[0]
    return next(kinds[str(each)] for each in at.parents if str(each) in kinds)


async def test_a_start_after_its_folders_in_memory_were_cleared_goes_well(containers):
    """As those of a user are, when their last session on the machine ends."""
    await (await containers.start(files={"KEY": "s3cret"})).instance.stop(SOON)
    for each in memory_directory().glob(f"gatelodge-{containers.mark}-*"):
        shutil.rmtree(each)
    guest = await containers.start(files={"KEY": "s3cret"})
    assert await guest.ask("read", "/run/secrets/KEY") == "s3cret"


@pytest.mark.guarantee("secrets:stay-here")
async def test_no_secret_is_in_labels_arguments_or_logs(containers):
    guest = await containers.start(env={"TOKEN": "s3cret-canary"}, files={"KEY": "s3cret-canary"})
    await guest.ask("echo", "payload-canary")
    shown = await containers.runtime._engine.inspect(guest.instance.name)
    assert shown["HostConfig"]["LogConfig"]["Type"] == "none"
    assert "s3cret-canary" not in json.dumps((shown["Config"]["Labels"], shown["Args"]))
    assert shown["Config"]["Labels"]["dev.gatelodge.server"] == "srv_one"
    # Whoever holds the engine's socket sees variables, and not files: it is said.
    assert "s3cret-canary" in json.dumps(shown["Config"]["Env"])
    assert "the engine shows its variables" in guest.instance.isolation
    del shown["Config"]["Env"]
    assert "s3cret-canary" not in json.dumps(shown)


async def test_one_that_takes_too_much_memory_is_told_as_such(containers):
    guest = await containers.start("eats", limits=InstanceLimits(memory_mib=64))
    await until(lambda: guest.instance.status is not None, "killed")
    assert guest.instance.status == -signal.SIGKILL
    assert guest.instance.ending == "out of memory"


async def test_what_was_paused_comes_whole_and_in_order(containers):
    guest = await containers.start("counts", "60000", paused=True)
    await until(lambda: guest.output.data, "begun")
    before = len(guest.output.data)
    await asyncio.sleep(0.5)
    assert len(guest.output.data) == before
    assert before < 1 << 20
    guest.output.resume()
    await until(lambda: guest.output.ended, "all of it")
    assert bytes(guest.output.data) == b"".join(b"%d\n" % each for each in range(60000))


async def test_what_is_not_read_is_counted(containers):
    guest = await containers.start("stay")
    for _ in range(64):
        guest.instance.write(b"x" * 65_536)
    await asyncio.sleep(0.3)
    assert guest.instance.unread > 1 << 20


async def test_what_a_killed_gate_left_is_removed_by_the_next_one(containers):
    guest = await containers.start("stay", files={"KEY": "s3cret"})
    later = containers.again()
    later.keep(frozenset({"srv_one"}))
    await later.close()
    await until(lambda: guest.instance.status is not None, "ended")
    assert not guest.instance.secrets.exists()


async def test_an_engine_that_is_not_there_is_told_with_its_place(containers):
    settings = containers.settings
    containers.settings = type(settings)(docker_url="unix:///nonexistent/socket")
    runtime, containers.runtime = containers.runtime, containers.again()
    with pytest.raises(UpstreamUnreachable, match="/nonexistent/socket") as failed:
        await containers.start()
    assert "docker_url" in failed.value.remedy
    await containers.runtime.close()
    containers.runtime = runtime


@pytest.mark.parametrize(
    "fields",
    [{"image": ""}, {"egress": ("api.example.com:443",)}, {"tier": "strong"}, {"port": 8080}],
)
async def test_what_an_engine_cannot_do_is_refused(containers, fields):
    with pytest.raises(UpstreamUnreachable) as failed:
        await containers.start(**fields)
    assert failed.value.remedy
    assert containers.runtime.instances() == ()


async def test_an_image_that_is_not_what_was_built_is_refused(containers):
    other = f"sha256:{'0' * 64}"
    containers.images._names[other] = IMAGE
    with pytest.raises(UpstreamUnreachable, match="not what was built"):
        await containers.start(image=other)


async def test_a_probe_says_what_the_engine_offers_and_leaves_nothing(containers):
    offer = await containers.runtime.probe()
    assert offer.tiers == ("weak", "standard")
    assert offer.version.split()[0] in ("docker", "podman")
    assert all(gap.remedy for gap in offer.gaps)
    assert (
        await containers.runtime._engine.labelled(f"dev.gatelodge.mark={containers.mark}") == set()
    )
