"""A start that fails, or is cut off, says why and leaves nothing."""

import asyncio
import contextlib
import gc
import tempfile
from pathlib import Path

import pytest
from tests.contract.runtimes.guest_image import NO_PROGRAM
from tests.upstreams.pools import until

from gatelodge.core.errors import UpstreamUnreachable

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"command": ("no-such-program",)}, "no-such-program"),
        ({"command": ("",)}, "''"),
        ({"command": ("/etc/passwd",)}, "/etc/passwd"),
        ({"cwd": "/no/such/directory"}, "/no/such/directory"),
    ],
)
async def test_what_cannot_be_started_is_told_with_a_remedy(host, fields, told, on_this_machine):
    with pytest.raises(UpstreamUnreachable, match=told) as failed:
        await host.start("serve", **fields)
    assert failed.value.remedy
    assert host.runtime.instances() == ()


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"image": NO_PROGRAM}, "no-such-program"),
        ({"image": f"sha256:{'0' * 64}"}, "No such image"),
        ({"egress": ("api.example.com:443",)}, "network|connect"),
        ({"image": ""}, "image|was not found"),
    ],
)
async def test_what_of_an_image_cannot_be_started_is_told(host, fields, told, in_image):
    with pytest.raises(UpstreamUnreachable, match=told) as failed:
        await host.start("serve", **fields)
    assert failed.value.remedy
    assert host.runtime.instances() == ()


def open_pipes():
    """The pipes and sockets that this process has open."""
    found = set()
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(str(each.readlink()))
    return {what for what in found if what.startswith(("pipe", "socket"))}


@pytest.mark.parametrize("rounds", [1, 2, 3, 6, 14])
async def test_a_start_that_is_cancelled_at_any_moment_leaves_nothing(host, rounds, kind):
    before = open_pipes()
    starting = asyncio.create_task(host.start("stubborn"))
    for _ in range(rounds):
        await asyncio.sleep(0)
    assert len(host.runtime.instances()) == 1 or starting.done()
    starting.cancel()
    await asyncio.wait((starting,), timeout=30)
    assert starting.done()
    if not starting.cancelled():
        await starting.result().instance.stop(0.0)
    assert host.runtime.instances() == ()
    await until(lambda: host.running == [], "nothing runs")
    if kind.elsewhere:
        await host.runtime.close()  # it keeps connections to the cluster
    await until(lambda: open_pipes() <= before, "all is closed")
    await until(lambda: not list(Path(tempfile.gettempdir()).iterdir()), "its home is removed")
    gc.collect()  # what was not closed would be told now, and no test here may leave a warning
