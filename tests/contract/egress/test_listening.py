"""A hosted server that listens within its own network is spoken to over streamable HTTP."""

import asyncio
import contextlib
import tempfile
from pathlib import Path

import pytest
from tests.contract.egress.images import IMAGE, GuestPrograms
from tests.contract.egress.sites import SITES
from tests.unit.hosting.test_recorded_runtime import Hosting
from tests.upstreams.hosted import hosting_pool
from tests.upstreams.pools import LOOPS, alive, ask, call, ready, server, text, until

from gatelodge.config.schema import HostingSettings
from gatelodge.core.catalog.server import ArtifactTransport
from gatelodge.core.catalog.transport import check_transport
from gatelodge.core.errors import Invalid, UpstreamError

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
PORT = 8080
KINDS = [name for name, kind in SITES.items() if kind.runtime is not None]


@pytest.fixture(params=LOOPS)
def anyio_backend(request):
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@pytest.fixture(params=KINDS)
def kind(request):
    if not SITES[request.param].usable:
        pytest.skip("it cannot run here")
    return SITES[request.param]


@contextlib.asynccontextmanager
async def pool_of(kind, image_root, **settings):
    images = GuestPrograms(image_root, "egress_listening_server.py")
    with tempfile.TemporaryDirectory() as folder:
        runtime = kind.runtime(HostingSettings(stop_seconds=0.2), Path(folder), images)
        pool = hosting_pool(runtime, **settings)
        try:
            yield pool
        finally:
            await pool.close()
        assert runtime.instances() == ()


def listening(*words, **fields):
    wanted = {"port": PORT, "args": (str(PORT), *words), **fields}
    return server("one", ArtifactTransport(source="pypi:stub@1.0", image=IMAGE, **wanted))


async def test_a_paused_one_goes_on_for_the_next_call(kind, image_root):
    images = GuestPrograms(image_root, "egress_listening_server.py")
    with tempfile.TemporaryDirectory() as folder:
        host = Hosting(below=kind.runtime(HostingSettings(stop_seconds=0.2), Path(folder), images))
        pool = hosting_pool(host.runtime)
        try:
            await pool.reconcile((at := listening(),))
            assert text(await ask(pool, at, call("echo", {"a": 1})))["said"] == {"a": 1}
            (instance,) = host.runtime.running()
            assert await instance.pause() is None
            before = (await instance.stats()).cpu_seconds
            await asyncio.sleep(0.2)
            assert (await instance.stats()).cpu_seconds - before < 0.02
            assert pool.health(at.id).state == "ready"
            assert text(await ask(pool, at, call("echo", {"a": 2})))["said"] == {"a": 2}
            assert instance.pausing.since is None
            assert "instance.woken" in host.journal.words
        finally:
            await pool.close()


async def test_it_is_called_at_its_port_which_nobody_else_can_reach(kind, image_root):
    async with pool_of(kind, image_root) as pool:
        at = listening()
        await pool.reconcile((at,))
        reply = text(await ask(pool, at, call("echo", {"a": 1})))
        assert reply["said"] == {"a": 1}
        assert f":{PORT:04X} 00000000:0000 0A" not in listeners_of_this_machine()
        again = text(await ask(pool, at, call("echo", {"a": 2})))
        assert again["pid"] == reply["pid"]


def listeners_of_this_machine():
    return Path("/proc/net/tcp").read_text()


async def test_one_that_dies_is_started_again(kind, image_root):
    async with pool_of(kind, image_root, backoff_seconds=0.1) as pool:
        at = listening()
        await pool.reconcile((at,))
        await ask(pool, at, call("echo"))
        before = pool.health(at.id).pid
        with pytest.raises(UpstreamError):
            await ask(pool, at, call("echo", {"die": True}))
        await until(lambda: not alive(before), "gone")
        await until(lambda: pool.health(at.id).pid not in (None, before), "another one")
        await ready(pool, at)
        assert text(await ask(pool, at, call("echo", {"b": 1})))["said"] == {"b": 1}


async def test_one_that_never_listens_is_told_with_its_last_words(kind, image_root):
    async with pool_of(kind, image_root, start_seconds=2.0) as pool:
        at = listening("dies")
        await pool.reconcile((at,))
        with pytest.raises(UpstreamError):
            await ask(pool, at, call("echo"))
        assert "no wish to listen" in " ".join(pool.health(at.id).said)


@pytest.mark.parametrize(
    "fields",
    [
        {"port": 443}, {"port": 53}, {"port": 8443, "egress": ("api.test:8443",)},
        {"path": "mcp"}, {"path": "/a?b"}, {"path": "/a b"},
    ],
)  # fmt: skip
def test_a_port_where_the_gate_listens_itself_and_a_path_that_is_none_are_refused(fields):
    with pytest.raises(Invalid):
        check_transport(listening(**fields).transport)
