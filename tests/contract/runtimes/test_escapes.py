"""What gets out of an instance: nothing. One row for each attempt, the same for every backend."""

import asyncio
import os
import signal
import socket
import subprocess
import time
import uuid

import pytest
from msgspec import structs
from tests.contract.runtimes.conftest import open_host
from tests.contract.runtimes.kinds import arguments
from tests.contract.runtimes.probe import ATTEMPTS
from tests.upstreams.pools import until

from gatelodge.core.hosting.facts import deviations
from gatelodge.core.hosting.limits import InstanceLimits

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.usefixtures("on_its_own")]

SECONDS = 60.0
OWN_KERNELS = {
    "a namespace of users", "a namespace of networks", "io_uring",
    "any other device", "make a device", "be favoured", "the kernel's log", "events of devices",
}  # fmt: skip
"""What a kernel of its own lets a program do within itself, where it reaches nothing else."""


@pytest.fixture
def on_its_own(kind, in_image):
    """A cluster takes seconds for a start: one instance of it tries all, in tests/kubernetes."""
    if kind.elsewhere:
        pytest.skip("see tests/kubernetes/test_escapes.py")


@pytest.fixture
def anyio_backend():
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
async def guest(host):
    return await host.start("serve", files={"KEY": "s3cret"})


FOUND: dict[str, dict[str, dict]] = {}
"""By kind, what all attempts got: they are made once, in one instance, for all rows."""


async def attempts(kind_name, folder):
    if kind_name not in FOUND:
        async with open_host(kind_name, folder) as host:
            guest = await host.start("serve", files={"KEY": "s3cret"})
            FOUND[kind_name] = {name: await guest.ask("try", name) for name in ATTEMPTS}
    return FOUND[kind_name]


@pytest.mark.parametrize("name", ATTEMPTS)
async def test_an_attempt_gets_nothing(kind_name, kind, folder, name, in_network):
    found = (await attempts(kind_name, folder))[name]
    if kind.own_kernel and name in OWN_KERNELS:
        return
    assert found.get("refused") or found == {"got": None}, found


async def test_what_is_on_the_machine_is_not_to_be_seen(host, kind, guest, folder):
    canary = folder / "canary"
    canary.write_text("of the machine")
    for before in ("", "/proc/1/root", "/proc/self/root", "/tmp/../../../..", "/proc/self/cwd"):
        found = await guest.ask("try", "read", f"{before}{canary}")
        assert found["refused"] in kind.refusals_of_host, before


@pytest.mark.guarantee("secrets:stay-here")
async def test_nothing_of_the_gates_environment_is_there(host, monkeypatch):
    monkeypatch.setenv("CANARY_SECRET", "canary-of-the-gate")
    guest = await host.start("serve")
    assert await guest.ask("try", "environment", "canary-of-the-gate") == {"got": None}


async def test_no_service_of_the_machine_is_reached(guest):
    mine = socket.create_server(("0.0.0.0", 0))
    path = f"\0gatelodge-canary-{os.getpid()}"
    hidden = socket.socket(socket.AF_UNIX)
    hidden.bind(path)
    hidden.listen()
    with mine, hidden:
        port = mine.getsockname()[1]
        for host in ("127.0.0.1", "0.0.0.0", *addresses()):
            found = await guest.ask("try", "connect", host, port)
            assert "refused" in found or "failed" in found, (host, found)
        assert "refused" in await guest.ask("try", "unix", path)


def addresses():
    """Those of this machine."""
    return [each for each in run("hostname", "-I").stdout.split() if "." in each]


async def test_instances_do_not_see_each_other(host, kind):
    one, two = await host.start("serve"), await host.start("serve", server="srv_two")
    for place in ("/tmp/left", "/dev/shm/left"):
        assert await one.ask("try", "write", place) == {"got": place}
        assert await two.ask("try", "read", place) == {"refused": "ENOENT"}
    if kind.own_uids:
        assert one.instance.facts.uid_map != two.instance.facts.uid_map
        assert one.instance.facts.uid != two.instance.facts.uid


async def test_what_was_found_is_what_its_tier_promises(guest, kind):
    assert deviations(guest.instance.facts, kind.tier, InstanceLimits()) == ()
    wide = InstanceLimits(memory_mib=128)
    assert bool(deviations(guest.instance.facts, kind.tier, wide)) is kind.limits


async def test_memory_beyond_its_limit_ends_it_and_says_so_and_nobody_else(host, limited):
    other = await host.start("serve")
    limits = InstanceLimits(memory_mib=64)
    guest = await host.start("serve", limits=limits)
    assert guest.instance.facts.memory_bytes == 64 << 20
    guest.instance.write(b'["hog"]\n')
    await until(lambda: guest.instance.status is not None, "it is ended")
    assert guest.instance.status == -signal.SIGKILL
    assert guest.instance.ending == "out of memory"
    assert await other.ask("echo", "still here") == ["still here"]
    assert other.instance.ending == ""


async def test_processes_stop_at_their_limit(host, kind):
    limits = InstanceLimits(processes=40)
    other = await host.start("serve", limits=limits)
    guest = await host.start("serve", limits=limits)
    guest.instance.write(b'["try", "fork"]\n')
    if kind.own_kernel:  # which itself ends when it gets no more threads
        await until(lambda: guest.output.lines or guest.instance.status is not None, "bounded")
    else:
        await until(lambda: guest.output.lines, "answered")
        assert 0 < guest.output.lines[0]["got"] < 40
        assert await guest.ask("echo", "still here") == ["still here"]
    assert await other.ask("echo", "still here") == ["still here"]


async def test_processor_time_stops_at_its_limit(host, limited):
    guest = await host.start("serve", limits=InstanceLimits(cpus=0.2))
    before, begun = await guest.instance.stats(), time.monotonic()
    taken = before
    # On a busy machine it may get less than its limit for a while, and is not held back then.
    while taken.throttled_seconds == before.throttled_seconds:
        assert time.monotonic() - begun < SECONDS
        await guest.ask("try", "busy", 2.0)
        taken = await guest.instance.stats()
    share = (taken.cpu_seconds - before.cpu_seconds) / (time.monotonic() - begun)
    assert 0 < share < 0.3
    assert taken.memory_bytes > 0
    assert taken.processes > 0


@pytest.mark.guarantee("secrets:stay-here")
async def test_a_secret_is_a_file_in_its_memory_and_nowhere_else(host, kind):
    secret = f"s3cret-canary-{uuid.uuid4().hex}"
    # Engines keep variables in files of their own, as long as there is the container.
    env = {} if kind.engine else {"TOKEN": secret}
    guest = await host.start("serve", files={"KEY": secret}, env=env)
    assert await guest.ask("read", "/run/secrets/KEY") == secret
    assert "refused" in await guest.ask("try", "write", "/run/secrets/KEY")
    assert [pid for pid, words in arguments().items() if secret.encode() in words] == []
    told = await asyncio.to_thread(run, "grep", "-rlsF", secret, "/run", "/var/log", "/tmp")
    assert told.stdout == ""
    if os.geteuid() != 0:
        return  # nobody else can be asked
    # Another user of this machine cannot read it in /proc either.
    stranger = ("setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups")
    script = f"open('/proc/{guest.instance.pid}/environ').read()"
    looked = await asyncio.to_thread(run, *stranger, "/usr/bin/python3", "-c", script)
    assert "Permission denied" in looked.stderr


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


async def test_an_allowed_place_is_reached_on_record_and_no_other(host, kind, monkeypatch):
    if kind.own_kernel:
        pytest.skip("a kernel of its own has a network of its own, which no gate reaches yet")

    async def resolve(name, port):
        return ["127.0.0.1"]

    monkeypatch.setattr("gatelodge.adapters.runtime.network.gate.resolve_apart", resolve)

    def greet(_, writer):
        writer.write(b"hello")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port, told = server.sockets[0].getsockname()[1], []

    async def report(event):
        told.append((event.kind, event.host))

    place = f"site.example:{port}"
    host.settings = structs.replace(host.settings, egress_private=(place,))
    await host.runtime.close()
    host.runtime = host.again()
    guest = await host.start("serve", report=report, egress=(place,))
    async with server:
        found = await guest.ask("try", "fetch", "site.example", port)
        assert found == {"got": "hello"}
        for name in ("other.example", "127.0.0.1", "192.0.2.1"):
            assert "got" not in await guest.ask("try", "fetch", name, port)
        await until(lambda: ("closed", "site.example") in told, "it is on record")
    assert ("opened", "site.example") in told
    assert guest.instance.facts.interfaces == ("lo",)
