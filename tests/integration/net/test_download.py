"""A large body is handed on as it comes: bounded in memory, in bytes and in time."""

import asyncio
import gzip
import threading

import pytest
from tests.integration.net.service import OK, redirect, whole
from tests.upstreams.pools import until

from gatelodge.adapters.net.download import TAKEN
from gatelodge.core.errors import OutsideFailed

pytestmark = pytest.mark.anyio

LARGE = bytes(range(256)) * 40_000
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
PIECE = b"10000\r\n" + b"x" * 65_536 + b"\r\n"


class Taken:
    """What was handed on; `may` lets the next portion be taken."""

    def __init__(self):
        self.portions = []
        self.threads = set()
        self.may = threading.Event()
        self.may.set()

    def take(self, portion):
        assert self.may.wait(10)
        self.portions.append(portion)
        self.threads.add(threading.get_ident())

    @property
    def octets(self):
        return b"".join(self.portions)


@pytest.fixture
def taken():
    return Taken()


@pytest.mark.parametrize("framed", ["length", "chunked", "end", "gzip"])
async def test_a_large_body_comes_in_portions_on_a_thread_and_is_held_nowhere(
    client, service, taken, framed
):
    pieces = [LARGE[at : at + 100_000] for at in range(0, len(LARGE), 100_000)]
    packed = gzip.compress(LARGE)
    service.answers["/"] = {
        "length": whole(LARGE),
        "chunked": CHUNKED
        + b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in pieces)
        + b"0\r\n\r\n",
        "end": OK + b"\r\n" + LARGE,
        "gzip": whole(packed, OK + b"content-encoding: gzip\r\n"),
    }[framed]
    reply = await client.download(service.asked(max_bytes=len(LARGE)), taken.take)
    assert (reply.status, reply.body) == (200, b"")
    assert taken.octets == LARGE
    assert all(len(each) < 6 * TAKEN for each in taken.portions)
    assert threading.get_ident() not in taken.threads


async def test_small_and_empty_bodies_are_taken_as_well(client, service, taken):
    service.answers["/small"], service.answers["/none"] = whole(b"small"), whole(b"")
    await client.download(service.asked("/small"), taken.take)
    await client.download(service.asked("/none"), taken.take)
    assert taken.portions == [b"small"]


async def test_no_more_is_read_than_is_taken(client, service, taken):
    sent, waits = 0, asyncio.Event()

    async def endless(writer):
        nonlocal sent
        writer.write(CHUNKED)
        while not writer.is_closing():
            writer.write(PIECE)
            try:
                async with asyncio.timeout(1):
                    await writer.drain()
            except TimeoutError:
                waits.set()
                await writer.drain()
            sent += 65_536

    service.answers["/"] = endless
    taken.may.clear()
    asked = service.asked(max_bytes=64 << 20, seconds=30)
    downloading = asyncio.ensure_future(client.download(asked, taken.take))
    await asyncio.wait_for(waits.wait(), 20)
    # What the machine's own buffers hold is beside what is held here.
    assert sent < 32 << 20
    taken.may.set()
    with pytest.raises(OutsideFailed, match="larger than"):
        await downloading
    assert len(taken.octets) <= 64 << 20
    await until(lambda: not service.open, "the connection is closed")


async def test_a_length_beyond_the_limit_is_refused_before_anything_is_taken(
    client, service, taken
):
    service.answers["/"] = OK + b"content-length: 99999999999999\r\n\r\n"
    with pytest.raises(OutsideFailed, match="larger than 1000 bytes"):
        await client.download(service.asked(max_bytes=1000), taken.take)
    assert taken.portions == []


async def test_an_answer_that_is_no_good_one_is_no_part_of_the_file(client, service, taken):
    refused = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=x\r\n"
    service.answers["/"] = whole(b"who are you", refused)
    service.answers["/moved"] = redirect("/there")
    service.answers["/there"] = whole(b"found")
    service.answers["/large"] = whole(b"x" * 100_000, refused)
    reply = await client.download(service.asked(), taken.take)
    assert (reply.status, reply.body, taken.portions) == (401, b"who are you", [])
    assert reply.fields[b"www-authenticate"] == b"Bearer realm=x"
    await client.download(service.asked("/moved", redirects=1), taken.take)
    assert taken.portions == [b"found"]
    with pytest.raises(OutsideFailed, match="larger than"):
        await client.download(service.asked("/large", max_bytes=1 << 30), taken.take)


async def test_a_body_that_ends_early_or_comes_too_slowly_fails(client, service, taken):
    async def slow(writer):
        writer.write(CHUNKED)
        while not writer.is_closing():
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    service.answers["/slow"] = slow
    service.answers["/cut"] = OK + b"content-length: 5000000\r\n\r\n" + LARGE[:2_000_000]
    with pytest.raises(OutsideFailed, match=r"within 0.3 s"):
        await client.download(service.asked("/slow", seconds=0.3), taken.take)
    with pytest.raises(OutsideFailed, match="closed the connection"):
        await client.download(service.asked("/cut", max_bytes=1 << 30), taken.take)


async def test_a_disk_that_is_full_ends_it(client, service):
    def full(_):
        raise OSError(28, "No space left on device")

    service.answers["/"] = whole(LARGE)
    with pytest.raises(OSError, match="No space"):
        await client.download(service.asked(max_bytes=len(LARGE)), full)
    await until(lambda: not service.open, "the connection is closed")
