"""A job outlives the node that runs it: killed, it is run by whichever node leads next."""

import time

import pytest
from tests import postgres
from tests.fault.scene.nodes import two_nodes
from tests.gate import WAIT, Gate
from tests.ledgers import grow_gov_log

LEAVES = 120_000
"""A check of so many takes long enough that its node can be killed in the middle."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def job_of(gate, job):
    return gate.api("GET", f"/jobs/{job}", local=True)


def until(true, what):
    ends = time.monotonic() + WAIT * 3
    while not (found := true()):
        assert time.monotonic() < ends, what
        time.sleep(0.02)
    return found


def started_and_kept(gate, shown):
    """A check that was begun, and of which the node that shows it knows a place."""
    job = gate.api("POST", "/jobs", {"kind": "fsck"}, local=True)["id"]
    until(lambda: job_of(shown, job)["done"], "nothing of it is kept")
    return job


def begun_anew(gate, job):
    """This node took the job up; what judges the database keeps no place in it."""
    line = f"job {job} (fsck) is begun anew"
    return until(lambda: line in gate.stderr, "it is not taken up")


def ended(gate, job):
    until(lambda: job_of(gate, job)["ended_at"], "it does not end")
    return job_of(gate, job)


def test_a_check_whose_gate_was_killed_is_made_by_the_next_from_its_beginning(tmp_path):
    gate = Gate(tmp_path / "data")
    gate.cli("init")
    grow_gov_log(gate.directory, LEAVES)
    gate.start()
    job = started_and_kept(gate, gate)
    gate.kill()
    with gate.running():
        begun_anew(gate, job)
        found = ended(gate, job)
    assert (found["state"], found["attempts"]) == ("finished", 2)
    assert found["result"]["sound"] is True
    assert found["result"]["logs"][0]["leaves"] >= LEAVES


def test_a_check_of_a_killed_gate_is_finished_by_a_command_where_none_runs(tmp_path):
    gate = Gate(tmp_path / "data")
    gate.cli("init")
    grow_gov_log(gate.directory, LEAVES)
    gate.start()
    job = started_and_kept(gate, gate)
    gate.kill()
    assert gate.cli("job", "show", job)["state"] == "running"
    assert gate.cli("audit", "fsck")["sound"] is True
    found = gate.cli("job", "show", job)
    assert (found["state"], found["attempts"]) == ("finished", 2)


@pytest.fixture
def pair(tmp_path, postgres_url):
    """Two nodes with a large log; the first one leads."""
    url = postgres.fresh_database(postgres_url)
    first = Gate(tmp_path / "first", f"store.url={url}")
    with first.running():
        pass
    grow_gov_log(first.directory, LEAVES, url)
    with two_nodes(tmp_path, url) as gates:
        yield gates


def test_a_job_is_run_by_the_node_that_leads_and_taken_up_by_the_next_when_that_is_killed(pair):
    first, second = pair
    job = started_and_kept(second, first)
    assert job_of(second, job)["node"] == job_of(first, job)["node"]
    assert first.api("GET", "/debug", local=True)["jobs"][0]["job"] == job
    assert second.api("GET", "/debug", local=True)["jobs"] == []
    assert second.api("POST", "/jobs", {"kind": "fsck"}, local=True)["id"] == job
    first.kill()
    begun_anew(second, job)
    found = ended(second, job)
    assert (found["state"], found["attempts"], found["result"]["sound"]) == ("finished", 2, True)


def test_a_job_is_cancelled_from_another_node_within_a_second(pair):
    first, second = pair
    job = started_and_kept(second, second)
    began = time.monotonic()
    assert second.api("POST", f"/jobs/{job}/cancel", {}, local=True)["state"] == "cancelled"
    until(lambda: not first.api("GET", "/debug", local=True)["jobs"], "it goes on")
    assert time.monotonic() - began < 1.0, "a cancelled job ends within a second"
    assert job_of(first, job)["state"] == "cancelled"
