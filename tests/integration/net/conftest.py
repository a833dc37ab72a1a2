"""A service on this machine, one that passes for a public one, and what names lead to."""

import asyncio
import socket
import ssl
from collections import Counter

import pytest
from tests.integration.net.certificates import certificate
from tests.integration.net.service import PUBLIC, Service
from tests.upstreams.pools import LOOPS

from gatelodge.adapters.net.fetch import GuardedClient, OutboundRequest
from gatelodge.core.http import endpoint
from gatelodge.core.http.egress import AddressClass, judge


@pytest.fixture(params=LOOPS)
def anyio_backend(request):
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@pytest.fixture
async def service():
    made = await Service().start()
    yield made
    await made.stop()


@pytest.fixture
def client():
    return GuardedClient(ssl.create_default_context, "1.2")


@pytest.fixture
async def names(monkeypatch):
    """What names lead to: one list of addresses for each look-up, the last one for all others."""
    known, looked_up = {}, Counter()

    async def resolve(host, port, **_):
        looked_up[host] += 1
        found = known[host].pop(0) if len(known[host]) > 1 else known[host][0]
        family = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(family[":" in each], socket.SOCK_STREAM, 6, "", (each, port)) for each in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    known["looked up"] = looked_up
    return known


@pytest.fixture
def public(monkeypatch):
    """Have addresses of this machine pass for public ones."""
    ones = {PUBLIC, "127.0.0.3"}
    everybodys = AddressClass("global", "global")
    monkeypatch.setattr(endpoint, "judge", lambda at: everybodys if at in ones else judge(at))


@pytest.fixture
async def outside(tmp_path, public):
    """A service at a public address, of two names."""
    serving, trusting = certificate(tmp_path, "service.test", "other.test")
    made = await Service().start(PUBLIC, serving)
    made.client = GuardedClient(lambda: trusting, "1.2")
    made.asked = lambda path="/", **said: OutboundRequest(
        url=f"https://service.test:{made.port}{path}", ports=frozenset((made.port,)), **said
    )
    yield made
    await made.stop()
