"""A full disk: nothing is forwarded that cannot be written down, until there is room again.

The disk is a small file system in memory, so the test needs the right to mount one.
"""

import contextlib
import os
import subprocess
import time

import pytest
from tests.fault.scene.setting import MAIN, admit, open_to_everyone, serve
from tests.gate import WAIT, Client, Gate
from tests.integration.watching.scraping import get, scrape
from tests.leaves import Calls, leaves_of
from tests.upstreams.witnessing import Witness

MOST_CALLS = 5_000

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")


@pytest.fixture
def disk(tmp_path):
    """A disk of 12 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=12m,mode=0700", "tmpfs", place]
    subprocess.run(command, check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def fill(disk):
    """Take what is left of it."""
    with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
        while ballast.write(b"\0" * 4096):
            pass


def until_refused(client):
    """Call until the journal has used what it had prepared; every answer, the refusal last."""
    answers = []
    while not answers or answers[-1].status == 200:
        assert len(answers) < MOST_CALLS, "a full disk goes unnoticed"
        answers.append(client.call("up__t_0"))
    assert answers[-1].status == 503
    return answers


def until(reached, else_):
    """Poll until it holds."""
    ends = time.monotonic() + WAIT
    while not reached():
        assert time.monotonic() < ends, else_
        time.sleep(0.05)


def ready(gate):
    return Client(gate.port, "", "/api/v1/ready").send("GET", b"", {})


@pytest.mark.slow
@pytest.mark.guarantee("audit:intent-before-effect")
def test_on_a_full_disk_nothing_is_forwarded_until_there_is_room(disk):
    gate = Gate(disk, "audit.segment_bytes=65536")
    with Witness() as upstream:
        with gate.running():
            serve(gate, "up", upstream.url)
            open_to_everyone(gate, "up")
            token = admit(gate, "ada")
            client = gate.client(token)
            assert ready(gate).status == 200
            fill(disk)
            answers = until_refused(client)
            forwarded = sum(upstream.seen()["calls"]["t_0"].values())
            told = ready(gate)
            assert told.status == 503
            assert "changing the store fails" in told.json["detail"]
            assert get(gate, "/readyz", host="10.0.0.7").status == 503
            numbers = scrape(gate, gate.token)
            assert numbers.number("gatelodge_node_ready") == 0
            named = {"kind": "changing the store", "state": "failing"}
            assert numbers.number("gatelodge_work_trouble", **named) == 1
            until(lambda: "changing the store fails" in gate.stderr, "nobody is told")
            gate.api("POST", f"{MAIN}/members/ada@example.test/suspend", {})
            assert gate.cli("member", "show", "ada@example.test")["status"] == "suspended"
            assert client.call("up__t_0").status == 503
            assert sum(upstream.seen()["calls"]["t_0"].values()) == forwarded

            (disk / "ballast").unlink()
            until(lambda: ready(gate).status == 200, "it does not go on when there is room")
            assert client.call("up__t_0").status == 401
            gate.api("POST", f"{MAIN}/members/ada@example.test/resume", {})
            assert client.call("up__t_0").status == 200
            assert gate.stderr.count("changing the store fails") == 1
            assert "changing the store goes well again" in gate.stderr
            until((disk / "reserve").exists, "nothing is kept back again")
        found = gate.cli("audit", "fsck")
        assert found["sound"], found["findings"]
        calls = Calls(leaves_of(gate.directory))
        calls.is_paired()
        executed = sum(upstream.seen()["calls"]["t_0"].values())
        succeeded = sum(answer.status == 200 for answer in answers) + 1
        assert succeeded <= executed <= calls.tools["t_0"]
