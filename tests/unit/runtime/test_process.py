"""Processes that could not be connected to, and caches that were found at a start."""

import asyncio
import errno
import time

import pytest

from gatelodge.adapters.runtime.process import instance
from gatelodge.adapters.runtime.process.runtime import ProcessRuntime
from gatelodge.config.schema import HostingSettings
from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.ports.runtime import LaunchSpec

pytestmark = pytest.mark.anyio
SPEC = LaunchSpec(server="srv_new", command=("/bin/cat",), env={}, cwd="", own_uid=False)


async def start(runtime):
    return await runtime.start(SPEC, asyncio.Protocol(), asyncio.Protocol())


async def test_a_supervisor_whose_pipes_cannot_be_connected_ends_at_once(monkeypatch):
    spawned = []

    async def fail(self, *_):
        spawned.append(self._process)
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(instance.ProcessInstance, "_connect_pipes", fail)
    runtime, began = ProcessRuntime(HostingSettings(), uids=None, caches=None), time.monotonic()
    with pytest.raises(UpstreamUnreachable, match="Too many open files") as refused:
        await start(runtime)
    assert "open files" in refused.value.remedy
    assert time.monotonic() - began < instance._GONE_SECONDS / 2
    assert spawned[0].poll() is not None
    assert runtime.instances() == ()


async def test_caches_found_at_the_start_are_kept_until_it_is_known_whose_they_are(tmp_path):
    for name in ("srv_a", "srv_b"):
        (tmp_path / name).mkdir()
    runtime = ProcessRuntime(HostingSettings(), uids=None, caches=tmp_path)
    await (await start(runtime)).stop(0.5)
    await runtime.close()
    assert {"srv_a", "srv_b"} <= {each.name for each in tmp_path.iterdir()}
    runtime.keep(frozenset({"srv_a"}))
    await runtime.close()
    assert {each.name for each in tmp_path.iterdir()} & {"srv_a", "srv_b"} == {"srv_a"}
