"""What a hosted server connects to stands in the log, by the name that was approved for it."""

import asyncio
import contextlib
import tempfile
from pathlib import Path

import pytest
from tests.contract.egress.images import IMAGE, GuestPrograms
from tests.contract.egress.sites import SITES, EgressSite, echo
from tests.unit.hosting.test_recorded_runtime import Hosting
from tests.upstreams.pools import until

from gatelodge.adapters.runtime.network import gate as gate_module
from gatelodge.config.schema import HostingSettings
from gatelodge.ports.runtime import LaunchSpec

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
KINDS = [name for name, kind in SITES.items() if kind.runtime is not None]


@pytest.fixture
def anyio_backend():
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(params=KINDS)
def kind(request):
    if not SITES[request.param].usable:
        pytest.skip("it cannot run here")
    return SITES[request.param]


@contextlib.asynccontextmanager
async def recorded(kind, image_root, private, *, program="egress_guest.py", stop_seconds=0.2):
    host = Hosting()
    with tempfile.TemporaryDirectory() as folder:
        images = GuestPrograms(image_root, program)
        settings = HostingSettings(stop_seconds=stop_seconds, egress_private=private)
        host.runtime._runtime = kind.runtime(settings, Path(folder), images)
        try:
            yield host
        finally:
            for each in host.runtime.instances():
                await each.stop(0.0)
            await host.runtime.close()


@pytest.mark.guarantee("audit:intent-before-effect")
@pytest.mark.guarantee("audit:no-payload")
async def test_a_connection_is_opened_and_closed_on_record(kind, image_root, monkeypatch):
    site = EgressSite()
    monkeypatch.setattr(gate_module, "resolve_apart", site.resolve)
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    place = f"echo.test:{port}"
    site.addresses["echo.test"] = ["127.0.0.1"]
    async with recorded(kind, image_root, (place,)) as host:
        spec = LaunchSpec(
            server="srv_a", workspace="wsp_1", image=IMAGE, command=(), env={},
            egress=(place,), tier=kind.tier,
        )  # fmt: skip
        instance = await host.runtime.start(spec, site.said, asyncio.Protocol())
        site.tell = instance.write
        assert await site.answer() == "up"
        assert await site.ask("half_close", "echo.test", port, 1000) == 1000
        assert "gaierror" in await site.ask("look_up", "c4nary-of-a-payload.evil.test")
        await until(lambda: "egress.closed" in host.journal.words, "closed on record")
        await instance.stop(0.0)
        leaves = {body["t"]: body for _, body in host.journal.bodies}
        assert host.journal.words.index("egress.opened") < host.journal.words.index("egress.closed")
        assert (leaves["egress.opened"]["host"], leaves["egress.opened"]["port"]) == (
            "echo.test",
            port,
        )
        assert (leaves["egress.closed"]["sent"], leaves["egress.closed"]["received"]) == (1000,) * 2
        assert "egress.refused" in leaves
        assert "c4nary" not in repr(host.journal.bodies)
    server.close()
