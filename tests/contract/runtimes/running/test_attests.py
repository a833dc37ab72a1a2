"""What holds a running instance is read when it is asked for, not remembered from its start."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from tests.upstreams.pools import until

from gatelodge.adapters.runtime.kernel.cgroups import find_control_groups
from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.hosting.facts import deviations
from gatelodge.core.hosting.limits import InstanceLimits
from gatelodge.ports.runtime import RuntimeInstance

pytestmark = pytest.mark.anyio


def lift_limit_of_processes(instance: RuntimeInstance) -> None:
    groups = find_control_groups(instance.pid)
    group = groups.get("pids") or groups[""]
    (group.folder / "pids.max").write_text("max")


def lift_limit_of_memory(instance: RuntimeInstance) -> None:
    groups = find_control_groups(instance.pid)
    if "memory" not in groups:
        (groups[""].folder / "memory.max").write_text("max")
        return
    for name in ("memory.memsw.limit_in_bytes", "memory.limit_in_bytes"):
        file = groups["memory"].folder / name
        if file.exists():
            file.write_text("-1")


_OPEN_ROOT = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
namespace = os.open(f"/proc/{sys.argv[1]}/ns/mnt", os.O_RDONLY)
remount_bind = 0x20 | 0x1000
if libc.setns(namespace, 0) or libc.mount(None, b"/", None, remount_bind, None):
    sys.exit(os.strerror(ctypes.get_errno()))
"""


def open_root(instance: Any) -> None:
    """Remount its root so that it can be written to; an image has no program for that."""
    pid = str(instance.init)
    subprocess.run((sys.executable, "-I", "-S", "-c", _OPEN_ROOT, pid), check=True)


async def test_an_instance_is_still_as_it_was_found_at_its_start(host, kind):
    guest = await host.start("serve")
    await guest.ask("echo", "at work")
    found = await guest.instance.attest()
    assert found == guest.instance.facts
    assert deviations(found, kind.tier, guest_limits(kind)) == ()


def guest_limits(kind) -> InstanceLimits:
    return InstanceLimits(cpus=0.4) if kind.elsewhere else InstanceLimits()


@pytest.mark.guarantee("isolation:attested")
@pytest.mark.parametrize(
    ("lift", "told"),
    [
        (lift_limit_of_processes, "the limit of processes is none"),
        (lift_limit_of_memory, "the limit of memory is none"),
    ],
)
async def test_a_limit_that_somebody_lifted_is_a_deviation(
    host, kind, lift: Callable[[RuntimeInstance], None], told: str
):
    if kind.tier not in ("standard", "strong"):
        pytest.skip("this kind promises no limits")
    guest = await host.start("serve")
    lift(guest.instance)
    found = await guest.instance.attest()
    (said,) = deviations(found, kind.tier, InstanceLimits())
    assert said.startswith(told)
    # What was found at the start stays what it was.
    assert deviations(guest.instance.facts, kind.tier, InstanceLimits()) == ()


@pytest.mark.guarantee("isolation:attested")
async def test_a_root_that_somebody_made_writable_is_a_deviation(host, kind_name, kind):
    if not kind_name.startswith("landlock"):
        pytest.skip("of kinds with limits, a lifted limit shows the same")
    if os.geteuid() != 0:
        pytest.skip("only root of this machine can change what holds it")
    guest = await host.start("serve")
    open_root(guest.instance)
    found = await guest.instance.attest()
    assert deviations(found, "weak", InstanceLimits()) == ("its root can be written to",)


async def test_of_one_that_has_ended_nothing_is_attested(host, kind):
    guest = await host.start("serve")
    if kind.elsewhere:
        guest.instance.write(b'["exit", 3]\n')
    else:
        os.kill(guest.instance.pid, signal.SIGKILL)
    await until(lambda: guest.instance.status is not None, "ended")
    with pytest.raises(UpstreamUnreachable, match="has ended"):
        await guest.instance.attest()
    await guest.instance.stop(0.0)
    with pytest.raises(UpstreamUnreachable, match="has ended"):
        await guest.instance.attest()


async def test_many_are_attested_while_they_end(host, kind):
    if kind.engine or kind.elsewhere or kind.tier == "none":
        pytest.skip("an engine answers in its own time; the race is the kernel's")
    guests = await asyncio.gather(*(host.start("serve") for _ in range(12)))
    for guest in guests:
        ending = asyncio.ensure_future(guest.instance.stop(0.0))
        while not ending.done():
            await asyncio.sleep(0)
            try:
                found = await guest.instance.attest()
            except UpstreamUnreachable:
                continue
            assert deviations(found, kind.tier, InstanceLimits()) == ()
        await ending
