"""An instance reaches the places of its list, by name, on record; and nothing else at all."""

import asyncio
import shutil

import pytest
from tests.contract.egress.guest import question
from tests.contract.egress.sites import SITES, egress_site, free_port
from tests.upstreams.pools import LOOPS, until

from gatelodge.adapters.runtime.network.gate import EgressBounds

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture(params=LOOPS)
def anyio_backend(request):
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@pytest.fixture(params=SITES)
def kind(request):
    if not SITES[request.param].usable:
        pytest.skip("no namespace can be made here")
    return SITES[request.param]


@pytest.fixture
async def site(kind, monkeypatch, image_root):
    async with egress_site(
        kind, monkeypatch, image_root, "echo.test:echo", "page.test:page"
    ) as made:
        yield made


@pytest.mark.guarantee("isolation:no-second-path")
async def test_an_allowed_place_is_reached_by_its_name_and_stands_in_the_record(site):
    assert await site.ask("fetch", f"http://page.test:{site.page_port}/") == "hello"
    (closed,) = await site.hears("closed")
    (opened,) = site.told("opened")
    assert (opened.host, opened.port, opened.sent) == ("page.test", site.page_port, 0)
    assert closed.connection == opened.connection
    assert (closed.sent > 100, closed.received) == (True, 62)
    assert closed.reason == ""
    assert [each.host for each in site.told("resolved")] == ["page.test"]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not there")
async def test_fetch_of_node_needs_no_proxy_variable(kind, site):
    if kind.runtime is not None:
        pytest.skip("Node is not in the image")
    script = f"fetch('http://page.test:{site.page_port}/').then(a => a.text()).then(console.log)"
    assert await site.ask("run", shutil.which("node"), "-e", script) == "hello\n"


async def test_what_is_sent_comes_back_after_the_senders_end(site):
    size = 20_000_000
    assert await site.ask("half_close", "echo.test", site.echo_port, size) == size
    (closed,) = await site.hears("closed")
    assert (closed.sent, closed.received) == (size, size)


@pytest.mark.guarantee("isolation:no-second-path")
@pytest.mark.parametrize(
    "name", ["evil.test", "test", "xecho.test", "echo.test.evil.test", "a.echo.test", "localhost.x"]
)
async def test_another_name_is_not_there(site, name):
    assert "gaierror" in await site.ask("look_up", name)
    assert {each.reason for each in await site.hears("refused")} == {"the name is on no list"}
    assert site.told("opened") == []


@pytest.mark.guarantee("isolation:no-second-path")
@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("192.0.2.1", "echo"), ("169.254.169.254", "80"), ("127.0.0.1", "echo"),
        ("127.0.0.1", "host"), ("10.0.0.1", "page"), ("198.18.99.99", "echo"),
        ("echo.test", "443"), ("echo.test", "page"), ("::1", "echo"), ("2606:4700::1", "443"),
    ],
)  # fmt: skip
async def test_nothing_else_takes_a_connection(site, host, port):
    hosts_own = await asyncio.start_server(lambda *_: None, "0.0.0.0", 0)
    ports = {"echo": site.echo_port, "page": site.page_port, "80": 80, "443": 443}
    ports["host"] = hosts_own.sockets[0].getsockname()[1]
    answer = await site.ask("connect", host, ports[port])
    assert answer.split(":")[0] in {
        "ConnectionResetError", "ConnectionRefusedError", "OSError", "PermissionError",
    }  # fmt: skip
    assert site.told("opened") == []
    hosts_own.close()


async def test_an_address_without_a_name_is_refused_on_record(site):
    await site.ask("connect", "198.18.99.99", site.echo_port)
    (refused,) = await site.hears("refused")
    assert (refused.host, refused.port) == ("198.18.99.99", site.echo_port)


@pytest.mark.guarantee("isolation:no-second-path")
async def test_datagrams_and_raw_packets_reach_nobody(site):
    assert "refused" in await site.ask("send_datagram", "echo.test", site.echo_port)
    assert "unreachable" in await site.ask("send_datagram", "192.0.2.1", 53)


@pytest.mark.guarantee("isolation:no-second-path")
@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("127.0.0.1", "loopback"), ("10.1.2.3", "private"), ("169.254.169.254", "cloud metadata"),
        ("::1", "loopback"), ("::ffff:10.0.0.1", "private"), ("64:ff9b::a9fe:a9fe", "NAT64"),
    ],
)  # fmt: skip
async def test_a_name_that_leads_to_an_address_that_is_not_public_is_refused(
    kind, monkeypatch, image_root, address, what
):
    async with egress_site(kind, monkeypatch, image_root, "echo.test:echo", private=()) as site:
        site.addresses["echo.test"] = [address]
        assert "Reset" in await site.ask("connect", "echo.test", site.echo_port)
        (closed,) = await site.hears("closed")
        assert "not public" in closed.reason
        assert what in closed.reason
        assert closed.sent == closed.received == 0


async def test_metadata_stays_closed_also_where_private_addresses_are_meant(site):
    site.addresses["echo.test"] = ["169.254.169.254"]
    assert "Reset" in await site.ask("connect", "echo.test", site.echo_port)
    assert "cloud metadata" in (await site.hears("closed"))[0].reason


@pytest.mark.guarantee("audit:intent-before-effect")
async def test_nothing_is_connected_that_cannot_be_recorded(site):
    site.record_down = True
    assert "Reset" in await site.ask("connect", "echo.test", site.echo_port)
    site.record_down = False
    assert await site.ask("fetch", f"http://page.test:{site.page_port}/") == "hello"
    assert {each.host for each in site.told("opened")} == {"page.test"}


async def test_what_does_not_answer_outside_is_told_and_on_record(kind, monkeypatch, image_root):
    place = f"gone.test:{free_port()}"
    async with egress_site(kind, monkeypatch, image_root, place) as site:
        assert "Reset" in await site.ask("connect", "gone.test", int(place.split(":")[1]))
        assert "refused the connection" in (await site.hears("closed"))[0].reason


@pytest.mark.guarantee("revoke:under-a-second")
async def test_everything_is_cut_when_the_instance_ends(site):
    for mark in ("one", "two"):
        await site.ask("hold", mark, "echo.test", site.echo_port)
        assert await site.ask("say", mark, "hi") == "hi"
    await site.gate.close()
    assert [each.reason for each in site.told("closed")] == ["the instance is stopped"] * 2
    assert "Reset" in await site.ask("wait_end", "one", 5)
    assert "Refused" in await site.ask("connect", "198.18.0.1", site.echo_port)


async def test_the_name_server_knows_addresses_of_version_4_only(site):
    assert await site.ask("look_up", "ECHO.Test") == ["198.18.0.1"]
    answer = bytes.fromhex(await site.ask("ask_raw", question("echo.test", 28).hex()))
    assert (answer[3] & 15, answer[7]) == (0, 0)
    streamed = await site.ask("ask_raw", question("page.test").hex(), True)
    assert streamed.endswith("c612" + "0002")
    assert "timed out" in await site.ask("ask_raw", "00")
    assert bytes.fromhex(await site.ask("ask_raw", "00" * 40))[3] & 15 == 1


async def test_a_flood_of_lookups_is_a_few_records_and_lets_others_through(site):
    await site.ask("flood_names", 20_000)
    assert await site.ask("fetch", f"http://page.test:{site.page_port}/") == "hello"
    await site.gate.close()
    assert len(site.told("refused")) <= 20
    assert sum(each.count for each in site.told("refused")) >= 20


async def test_connections_are_bounded_and_the_next_gets_its_turn(kind, monkeypatch, image_root):
    skip_without_bounds(kind)
    bounds = EgressBounds(connections=4, new_connections=(100, 100), idle_seconds=2.0)
    async with egress_site(kind, monkeypatch, image_root, "echo.test:echo", bounds=bounds) as site:
        await site.ask("flood_connections", "198.18.0.1", site.echo_port, 40)
        await site.hears("opened", 4)
        await asyncio.sleep(0.2)
        assert len(site.told("opened")) == 4
        # Nothing is sent, so they are ended one after the other, and the next ones begin.
        await until(lambda: len(site.told("closed")) >= 4, "the first are closed")
        await site.hears("opened", 8)


async def test_a_silent_connection_is_ended(kind, monkeypatch, image_root):
    skip_without_bounds(kind)
    bounds = EgressBounds(idle_seconds=0.3)
    async with egress_site(kind, monkeypatch, image_root, "echo.test:echo", bounds=bounds) as site:
        await site.ask("hold", "one", "echo.test", site.echo_port)
        assert "Reset" in await site.ask("wait_end", "one", 5)
        assert (await site.hears("closed"))[0].reason == "nothing was sent for too long"


def skip_without_bounds(kind):
    if kind.runtime is not None:
        pytest.skip("runtimes have the bounds that they have")
