"""A server that is killed on one node ends at once on the other, also when it does not listen."""

import sys
import time
from pathlib import Path

import pytest
from tests.fault.scene.nodes import two_nodes
from tests.integration.admin_house import House, W
from tests.integration.hosting.gates import approve
from tests.leaves import leaves_of
from tests.postgres import fresh_database
from tests.upstreams.pools import STDIO

STUBBORN = """
import runpy, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    time.sleep(600)
"""


@pytest.mark.slow
def test_a_kill_on_one_node_kills_on_the_other_at_once_and_is_on_record(tmp_path, postgres_url):
    sets = ("hosting.plain_commands=process", "hosting.stop_seconds=3", "audit.sequence_ms=50")
    url = fresh_database(postgres_url)
    with two_nodes(tmp_path, url, *sets) as gates:
        house = House(gates[0])
        command = [sys.executable, "-c", STUBBORN, STDIO, "modern"]
        approve(house, "stub", {"type": "stdio", "command": command, "run_as": "gateway"})
        pids = [until(lambda gate=gate: running(gate))[0]["pid"] for gate in gates]
        began = time.monotonic()
        gates[0].api("POST", f"{W}/servers/stub/kill", {})
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
        assert time.monotonic() - began < 3.0  # in order it has twice as long
        until(lambda: reasons(url).count("killed") == 2)
        told = gates[0].api("GET", f"{W}/audit/changes?type=instance.ended")["items"]
        assert [set(each["subject"]) for each in told] == [{"server", "reason"}]


def running(gate):
    return gate.api("GET", f"{W}/instances?server=stub")["items"]


def reasons(url):
    return [each["reason"] for each in leaves_of(url) if each["t"] == "instance.stopped"]


def until(seen):
    end = time.monotonic() + 30
    while not (found := seen()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found
