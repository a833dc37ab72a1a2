"""Where a hosted server may connect to is edited: what it had open is cut within a second."""

import asyncio
import time
from contextlib import suppress

import pytest
from msgspec import structs
from tests.contract.egress.images import IMAGE
from tests.contract.egress.sites import SITES, EgressSite
from tests.contract.egress.test_recorded import recorded
from tests.upstreams.hosted import hosting_pool
from tests.upstreams.pools import ask, call, server, text

from gatelodge.adapters.runtime.network import gate as gate_module
from gatelodge.core.catalog.server import ArtifactTransport

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


class Outside:
    """A place outside that takes connections: what it was sent, and when each ended."""

    def __init__(self):
        self.greeted, self.ended = asyncio.Event(), asyncio.Event()

    async def __call__(self, reader, writer):
        assert await reader.readexactly(5) == b"hello"
        self.greeted.set()
        with suppress(ConnectionError):
            assert await reader.read(1) == b""
        self.ended.set()
        writer.close()


@pytest.mark.guarantee("revoke:under-a-second")
@pytest.mark.parametrize("after", ["proposed", "approved"])
async def test_an_edit_of_the_places_cuts_what_is_open_whether_it_is_approved_or_not(
    kind, image_root, monkeypatch, after
):
    site, outside = EgressSite(), Outside()
    monkeypatch.setattr(gate_module, "resolve_apart", site.resolve)
    site.addresses["echo.test"] = ["127.0.0.1"]
    listener = await asyncio.start_server(outside, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    place = f"echo.test:{port}"
    # The server ignores TERM, and has a long time to end in.
    async with recorded(
        kind, image_root, (place,), program="egress_holding_server.py", stop_seconds=5
    ) as host:
        pool = hosting_pool(host.runtime)
        try:
            at = holding(kind, place)
            await pool.reconcile((at,))
            assert text(await ask(pool, at, call("hold", {"port": port}))) == "held"
            async with asyncio.timeout(10):
                await outside.greeted.wait()
            edited = structs.replace(holding(kind, "other.test:443"), status=after)
            began = time.monotonic()
            await pool.reconcile((edited,))
            async with asyncio.timeout(10):
                await outside.ended.wait()
            assert time.monotonic() - began < 1
        finally:
            await host.runtime.end_server(at.id)
            await pool.close()
    listener.close()


def holding(kind, *places):
    transport = ArtifactTransport(
        source="pypi:stub@1.0", image=IMAGE, args=(), egress=places, tier=kind.tier
    )
    return server("one", transport)
