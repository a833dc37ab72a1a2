"""PostgreSQL hangs, dies, comes back, or comes back as it once was: two nodes, one database.

Each row: what is broken, what callers see, whether service comes back by itself; then the whole
log is checked.
"""

import asyncio
import json
import os
import shutil
import signal
import time

import psycopg
import pytest
from tests import postgres
from tests.fault.scene.nodes import (
    two_nodes,
    until_both_are_stale,
    until_both_call,
    until_both_serve,
)
from tests.fault.scene.setting import MAIN, admit, open_to_everyone, serve
from tests.fault.scene.watching import Probe, Running, Stream, until
from tests.gate import Gate
from tests.leaves import Calls, leaves_of
from tests.upstreams.witnessing import Witness

LEASE = 1.0
MARGIN = 0.3
PAUSES = 8

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(200),
    pytest.mark.guarantee("revoke:under-a-second"),
]


class Scene:
    """Two nodes that serve a member, whose stream and call are open on both."""

    def __init__(self, gates, upstream, token):
        self.gates, self.upstream, self.token = gates, upstream, token

    async def begin(self):
        self.streams = [await Stream.open(gate.port, self.token) for gate in self.gates]
        self.calls = [Running(gate.port, self.token, "up__t_0") for gate in self.gates]
        self.lists = [Probe(gate.port, self.token) for gate in self.gates]
        self.probes = [Probe(gate.port, self.token, tool="up__t_1") for gate in self.gates]
        await asyncio.to_thread(self.upstream.until, lambda seen: seen["held"] == 2)
        await until(lambda: all(p.admitted for p in (*self.lists, *self.probes)), "not admitted")

    async def refused_since(self, moment):
        """Wait until nothing is served; each moment of it in seconds since that moment."""
        ended = [*self.streams, *self.calls]
        probes = [*self.lists, *self.probes]
        await until(lambda: all(p.refused > 2 for p in probes), "a node still serves", 10)
        await until(lambda: all(each.ended_at for each in ended), "something still runs", 10)
        assert {status for probe in probes for status in probe.statuses} == {503}
        return {
            "last admitted": max(probe.admitted_at for probe in probes) - moment,
            "first refused": max(probe.refused_at for probe in probes) - moment,
            "last cut": max(each.ended_at for each in ended) - moment,
        }

    async def served_since(self, moment):
        probes = [*self.lists, *self.probes]
        for probe in probes:
            probe.forget()
        await until(lambda: all(probe.admitted for probe in probes), "service does not come back")
        return time.time() - moment

    async def end(self):
        for each in (*self.lists, *self.probes, *self.streams):
            await each.close()


@pytest.fixture
def own(own_postgres_url):
    return postgres.fresh_database(own_postgres_url), own_postgres_url


@pytest.fixture
def scene(tmp_path, own):
    """The scene; afterwards the log is whole and every call is closed."""
    with Witness(tools=2) as upstream:
        with two_nodes(tmp_path, own[0]) as gates:
            yield set_up(gates, upstream)
        executed = upstream.seen()["calls"]
    found = gates[0].cli("audit", "fsck")
    assert found["sound"], found["findings"]
    calls = Calls(leaves_of(own[0]))
    calls.is_paired()
    assert all(sum(executed[tool].values()) <= calls.tools[tool] for tool in executed)


def set_up(gates, upstream):
    serve(gates[0], "up", upstream.url)
    open_to_everyone(gates[0], "up")
    token = admit(gates[0], "ada")
    until_both_call(gates, token, "up__t_1")
    return Scene(gates, upstream, token)


def rounded(numbers):
    return {name: round(seconds, 3) for name, seconds in numbers.items()}


def test_a_frozen_database_ends_service_within_the_lease_and_thawed_brings_it_back(
    scene, own, record_property
):
    async def story():
        await scene.begin()
        frozen = time.time()
        postgres.freeze(own[1])
        numbers = await scene.refused_since(frozen)
        thawed = time.time()
        postgres.thaw(own[1])
        numbers["served again"] = await scene.served_since(thawed)
        await scene.end()
        return numbers

    numbers = asyncio.run(story())
    record_property("numbers", rounded(numbers))
    assert numbers["last admitted"] < LEASE
    assert numbers["first refused"] < LEASE + MARGIN
    assert numbers["last cut"] < LEASE + MARGIN


def test_a_database_that_dies_ends_service_and_comes_back_with_everything(
    scene, own, record_property
):
    async def story():
        await scene.begin()
        died = time.time()
        postgres.crash(own[1])
        numbers = await scene.refused_since(died)
        began = time.time()
        postgres.start_again(own[1])
        numbers["served again"] = await scene.served_since(began)
        await scene.end()
        return numbers

    numbers = asyncio.run(story())
    record_property("numbers", rounded(numbers))
    assert numbers["last admitted"] < LEASE
    assert numbers["first refused"] < LEASE + MARGIN
    assert numbers["last cut"] < LEASE + MARGIN
    assert scene.gates[1].api("GET", f"{MAIN}/members/ada@example.test")["status"] == "active"


def test_a_node_that_slept_over_a_revocation_admits_nobody_when_it_wakes(scene):
    first, second = scene.gates
    for turn in range(PAUSES):
        token = admit(first, f"sleeper{turn}")
        until_both_serve(scene.gates, token)
        os.kill(second.process.pid, signal.SIGSTOP)
        try:
            path = f"{MAIN}/members/sleeper{turn}@example.test/revoke"
            receipt = first.api("POST", path, {})
            statuses = asyncio.run(asked_while_it_sleeps(second, token))
        finally:
            os.kill(second.process.pid, signal.SIGCONT)
        how = {node["how"] for node in receipt["nodes"]}
        assert how == {"acknowledged", "lease_expired"}, receipt["nodes"]
        assert receipt["completed_ms"] >= receipt["bound_ms"]
        assert set(statuses) <= {401, 503}, statuses
        until_both_serve(scene.gates, scene.token)


async def asked_while_it_sleeps(gate, token):
    """Put requests into its sockets, then wake it; what they were answered."""
    probes = [Probe(gate.port, token) for _ in range(4)]
    await asyncio.sleep(0.1)  # the kernel has them now; the gate has not
    os.kill(gate.process.pid, signal.SIGCONT)
    await until(lambda: all(probe.refused for probe in probes), "an answer is missing")
    assert not sum(probe.admitted for probe in probes)
    for probe in probes:
        await probe.close()
    return [status for probe in probes for status in probe.statuses]


@pytest.fixture
def restorable(tmp_path, own):
    """Two nodes, without the last look at the log: it is not whole any more, on purpose."""
    with Witness(tools=2) as upstream, two_nodes(tmp_path, own[0]) as gates:
        yield set_up(gates, upstream)


def test_a_database_of_another_epoch_is_never_served_again(restorable, own):
    async def story():
        await restorable.begin()
        with psycopg.connect(own[0], autocommit=True) as connection:
            connection.execute("UPDATE epoch SET value = 'another'")
        await restorable.refused_since(time.time())
        await restorable.end()

    with psycopg.connect(own[0]) as connection:
        (was,) = connection.execute("SELECT value FROM epoch").fetchone()
    asyncio.run(story())
    with psycopg.connect(own[0], autocommit=True) as connection:
        connection.execute("UPDATE epoch SET value = %s", (was,))
    for gate in restorable.gates:
        stays_refused(gate, restorable.token)
        assert "changed its epoch" in gate.stderr


def stays_refused(gate, token):
    """For two leases; and it says why, once it has noticed that its journal is back too."""
    ends, said = time.monotonic() + 2 * LEASE, ""
    while time.monotonic() < ends or "the journal" in said:
        assert time.monotonic() < ends + 20, said
        answer = gate.client(token).request("tools/list", {})
        assert answer.status == 503
        said = answer.json["error"]["message"]
        time.sleep(0.05)
    assert "went back in time" in said


def test_a_database_put_back_to_an_older_state_ends_service_and_the_next_start(
    restorable, own, tmp_path
):
    url, server = own
    gates, files = restorable.gates, postgres.files(server)
    postgres.crash(server)
    shutil.copytree(files, tmp_path / "older")
    until_both_are_stale(gates, restorable.token)  # what a lease of before still allows is no sign
    postgres.start_again(server)
    until_both_serve(gates, restorable.token)
    newcomer = admit(gates[0], "eve")
    until_both_serve(gates, newcomer)
    until_all_remember(url, gates)

    postgres.crash(server)
    shutil.rmtree(files)
    shutil.copytree(tmp_path / "older", files)
    for path in [files, *files.rglob("*")]:
        if os.geteuid() == 0:
            shutil.chown(path, "nobody", "nogroup")
    postgres.start_again(server)
    for gate in gates:
        refuses_for_good(gate, newcomer)
    for gate in gates:
        gate.stop()
        again = gate.command("up", "--port", "0")
        assert again.returncode == 5, again.stderr
        assert "signed" in again.stderr


def until_all_remember(url, gates):
    """Wait until each node's guard has the gov log as it is now."""
    ends = time.monotonic() + 20
    with psycopg.connect(url) as connection:
        (size,) = connection.execute("SELECT size FROM log WHERE id = 'gov'").fetchone()
    for gate in gates:
        while _remembered(gate.directory / "guard/signed.json") < size:
            assert time.monotonic() < ends, "a node's guard stays behind"
            time.sleep(0.05)


def _remembered(guard):
    """Leaves of the gov log that a node's guard knows; a node that never signed has no file."""
    return json.loads(guard.read_text())["gov"][0] if guard.exists() else 0


def refuses_for_good(gate, token):
    """It stops and says why, or lives on, serves nobody and says why to whoever asks."""
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        if gate.process.poll() is not None:
            assert gate.process.returncode == 5
            assert "log_forked" in gate.stderr
            return
        if "went back in time" in gate.stderr:
            try:
                stays_refused(gate, token)
            except OSError:
                continue  # it stops just now
            return
        time.sleep(0.05)
    pytest.fail(f"it goes on: {gate.stderr}")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_gate_whose_database_hangs_ends_in_its_time_when_it_is_told_to(tmp_path, own, signum):
    url, server = own
    gate = Gate(tmp_path / "gate", f"store.url={url}", "limits.shutdown_seconds=1")
    with gate.running(), Witness() as upstream:
        serve(gate, "up", upstream.url)
        open_to_everyone(gate, "up")
        token = admit(gate, "ada")
        assert gate.client(token).call("up__t_0").status == 200
        postgres.freeze(server)
        try:
            assert gate.stop(signum) == 4
            assert "the next start makes it good" in gate.stderr
        finally:
            postgres.thaw(server)
        gate.start()
        assert gate.cli("audit", "fsck")["sound"]
    Calls(leaves_of(url)).is_paired()
