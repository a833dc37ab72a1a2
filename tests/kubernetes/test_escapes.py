"""What gets out of a pod: nothing. All attempts of the contract are made by one instance."""

import socket
import time

import pytest
from tests.contract.runtimes.probe import ATTEMPTS

from gatelodge.core.hosting.limits import InstanceLimits

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SECONDS = 60.0
OF_A_POD = {
    # The bridge's folder, with its own credentials.
    "a socket of an engine": ["/run/gatelodge"],
    # A file of the node's, which the bridge never writes.
    "any other device": ["termination-log"],
    # A volume in memory has no option noexec.
    "run from /tmp": "ran",
    # It is there, and no socket for it.
    "an interface": ["eth0"],
}
"""What a pod has that a container of the gate's own has not, and why it is let be."""


async def test_no_attempt_gets_anything(gate):
    guest = await gate.start("m", "serve", files={"KEY": "s3cret"})
    got = {}
    for name in ATTEMPTS:
        found = await guest.ask("try", name)
        if found.get("got"):
            got[name] = found["got"]
        assert found.get("refused") or "got" in found or name == "a name", (name, found)
    assert got.items() <= OF_A_POD.items(), got
    assert "refused" in await guest.ask("try", "write", "/app/guest.py")


async def test_what_is_on_the_node_is_not_to_be_seen(gate, tmp_path):
    canary = tmp_path / "canary"
    canary.write_text("of the node")
    guest = await gate.start("m", "serve")
    for before in ("", "/proc/1/root", "/proc/self/root", "/tmp/../../../..", "/proc/self/cwd"):
        found = await guest.ask("try", "read", f"{before}{canary}")
        assert found["refused"] in {"ENOENT", "EACCES"}, before


async def test_no_network_is_reached_by_a_server_even_where_no_policy_is_enforced(gate):
    """The bridge of this cluster lets everything through; our list of system calls does not."""
    guest = await gate.start("m", "serve")
    with socket.create_server(("10.200.0.1", 0)) as mine:
        for host, port in (("10.200.0.1", mine.getsockname()[1]), ("10.200.0.1", 6443)):
            found = await guest.ask("try", "connect", host, port)
            assert "got" not in found, found


async def test_limits_are_kept(gate):
    guest = await gate.start("m", "serve", limits=InstanceLimits(processes=40, cpus=0.2))
    found = await guest.ask("try", "fork")
    assert 0 < found["got"] < 40
    before, begun = await guest.instance.stats(), time.monotonic()
    taken = before
    # On a busy machine it may get less than its limit for a while, and is not held back then.
    while taken.throttled_seconds == before.throttled_seconds:
        assert time.monotonic() - begun < SECONDS
        assert (await guest.ask("try", "busy", 2.0))["got"] < 0.8
        taken = await guest.instance.stats()
    assert guest.instance.status is None


async def test_instances_do_not_see_each_other(gate):
    limits = InstanceLimits(cpus=0.4)
    one = await gate.start("m", "serve", limits=limits)
    two = await gate.start("m", "serve", server="srv_two", limits=limits)
    for place in ("/tmp/left", "/dev/shm/left"):
        assert await one.ask("try", "write", place) == {"got": place}
        assert await two.ask("try", "read", place) == {"refused": "ENOENT"}
    assert one.instance.facts.uid != two.instance.facts.uid
