"""Work longer than a request, as commands and the admin API start, show and cancel it."""

import contextlib
import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.gate import WAIT, Gate
from tests.integration.watching.scraping import scrape
from tests.ledgers import grow_gov_log

pytestmark = pytest.mark.slow  # quick: `unit/jobs`
LEAVES = 60_000
"""So many take a check seconds, and a command that looks at it a part of one."""


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with Gate(tmp_path_factory.mktemp("jobs") / "data").running() as made:
        yield made


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A gate whose check takes its time."""
    made = Gate(tmp_path_factory.mktemp("large") / "data")
    with made.running():
        pass
    grow_gov_log(made.directory, LEAVES)
    with made.running():
        yield made


def until_ended(gate: Gate, job: str) -> dict[str, Any]:
    """The job, once it has ended."""

    def found() -> dict[str, Any]:
        return dict(gate.api("GET", f"/jobs/{job}", local=True))

    until(lambda: found()["ended_at"], "it does not end")
    return found()


def test_a_check_goes_on_when_its_command_has_returned(gate: Gate) -> None:
    started = gate.cli("audit", "fsck", "--detach")
    assert started["state"] in ("queued", "running")
    ended = until_ended(gate, started["id"])
    assert (ended["state"], ended["started_by"][:6]) == ("finished", "local:")
    assert ended["result"]["sound"] is True
    assert (
        ended["done"] == ended["total"] == sum(each["leaves"] for each in ended["result"]["logs"])
    )
    shown = gate.command("job", "show", started["id"]).stdout
    assert "finished" in shown
    listed = gate.cli("job", "list")
    assert listed[0]["id"] == started["id"]
    assert "result" not in listed[0]
    assert f"job {started['id']} (fsck) started" in gate.stderr
    assert f"job {started['id']} (fsck) finished" in gate.stderr


def test_two_commands_at_once_wait_for_one_check(gate: Gate) -> None:
    before = len(gate.cli("job", "list"))
    with contextlib.ExitStack() as open_pipes:
        both = [open_pipes.enter_context(waiting(gate)) for _ in range(2)]
        told = [each.communicate(timeout=WAIT)[0] for each in both]
    assert [each.returncode for each in both] == [0, 0]
    assert "Sound" in told[0]
    assert told[0] == told[1]
    assert 1 <= len(gate.cli("job", "list")) - before <= 2


def test_a_running_check_is_shown_and_ends_within_a_second_of_being_cancelled(large: Gate) -> None:
    started = large.cli("audit", "fsck", "--detach")
    until(lambda: under_way(large), "it does not run")
    assert (under_way(large)[0]["job"], under_way(large)[0]["kind"]) == (started["id"], "fsck")
    assert scrape(large, large.token).number("gatelodge_jobs_running", kind="fsck") == 1
    assert large.api("POST", "/jobs", {"kind": "fsck"}, local=True)["id"] == started["id"]
    began = time.monotonic()
    told = large.api("POST", f"/jobs/{started['id']}/cancel", {}, local=True)
    assert told["state"] == "cancelled"
    until(lambda: not under_way(large), "it goes on")
    assert time.monotonic() - began < 1.0, "a cancelled job ends within a second"
    found = large.api("GET", f"/jobs/{started['id']}", local=True)
    assert (found["state"], found["result"], found["failure"]) == ("cancelled", None, None)
    assert scrape(large, large.token).number("gatelodge_jobs_running", kind="fsck") == 0
    assert "No job runs on this node." in large.command("debug").stdout


def test_what_has_ended_is_not_cancelled(gate: Gate) -> None:
    gate.cli("audit", "fsck")
    job = gate.cli("job", "list")[0]["id"]
    refused = gate.command("job", "cancel", job)
    assert (refused.returncode, "has ended before" in refused.stderr) == (3, True)


def test_a_command_whose_check_is_cancelled_says_so(large: Gate) -> None:
    with waiting(large) as command:
        until(lambda: under_way(large), "it does not run")
        job = under_way(large)[0]["job"]
        assert large.command("job", "cancel", job).stdout == f"{job} is cancelled.\n"
        _, told = command.communicate(timeout=WAIT)
    assert (command.returncode, f"{job} was cancelled" in told) == (3, True)


def test_who_presses_ctrl_c_is_told_where_the_check_goes_on(large: Gate) -> None:
    ours, theirs = pty.openpty()
    with waiting(large, stderr=theirs) as command:
        os.close(theirs)
        told = b""
        while b"(gov)" not in told:  # on a terminal it tells how far it is
            told += os.read(ours, 4096)
        command.send_signal(signal.SIGINT)
        assert command.wait(WAIT) == 130
    while b"gatelodge job show job_" not in told or not told.endswith(b"stopped.\r\n"):
        told += os.read(ours, 4096)
    os.close(ours)
    job = told.split(b"gatelodge job show ")[1].split()[0].decode()
    assert under_way(large)[0]["job"] == job
    large.cli("job", "cancel", job)


def waiting(gate: Gate, stderr: int = subprocess.PIPE) -> "subprocess.Popen[str]":
    """A command that waits for a check."""
    return subprocess.Popen(
        gate.arguments("audit", "fsck"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=gate.env,
        text=True,
    )


def under_way(gate: Gate) -> list[dict[str, Any]]:
    """What the node runs."""
    found: list[dict[str, Any]] = gate.api("GET", "/debug", local=True)["jobs"]
    return found


def until(true: Callable[[], object], what: str) -> None:
    """Look until it is true."""
    ends = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < ends, what
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"kind": "fsck", "more": 1}, 400),
        ({"kind": "erasure"}, 400),
        ({}, 400),
    ],
)
def test_what_is_no_job_is_refused(gate: Gate, body: dict[str, Any], status: int) -> None:
    assert gate.ask("POST", "/jobs", body, local=True)[0] == status
    assert gate.ask("GET", "/jobs/job_none", local=True)[0] == 404
    assert gate.ask("POST", "/jobs/job_none/cancel", {}, local=True)[0] == 404


def test_where_no_gate_runs_the_command_does_it_and_cannot_leave_it_behind(tmp_path: Path) -> None:
    stopped = Gate(tmp_path / "data")
    stopped.cli("init")
    done = stopped.command("audit", "fsck")
    assert (done.returncode, "Sound" in done.stdout) == (0, True)
    assert stopped.cli("job", "list")[0]["state"] == "finished"
    refused = stopped.command("audit", "fsck", "--detach")
    assert (refused.returncode, "no node runs" in refused.stderr) == (4, True)


def test_a_job_of_the_operator_is_shown_to_no_role(gate: Gate) -> None:
    gate.cli("audit", "fsck")
    job = gate.cli("job", "list")[0]["id"]
    assert gate.api("GET", "/jobs")["items"] == []
    unseen, nothing = (gate.ask("GET", f"/jobs/{each}") for each in (job, "job_none"))
    assert unseen[0] == nothing[0] == 404
    assert unseen[1]["detail"].replace(job, "job_none") == nothing[1]["detail"]
    assert gate.ask("POST", f"/jobs/{job}/cancel", {})[0] == 404
    assert gate.ask("POST", "/jobs", {"kind": "fsck"})[0] == 403
