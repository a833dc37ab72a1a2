"""Starts that are cut short, stops while calls run, and a demo that is set up twice."""

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import time

import pytest
from tests.fault.scene.setting import admit, open_to_everyone, serve
from tests.fault.scene.watching import Running, Stream, until
from tests.gate import WAIT, Gate
from tests.leaves import Calls, leaves_of
from tests.upstreams.witnessing import Witness

from gatelodge.app.first_start import UNSEEN

pytestmark = pytest.mark.slow


@pytest.fixture
def upstream():
    with Witness(tools=2) as witness:
        yield witness


def is_sound(gate):
    found = gate.cli("audit", "fsck")
    assert found["sound"], found["findings"]
    calls = Calls(leaves_of(gate.directory))
    calls.is_paired()
    return calls


def set_up(gate, upstream):
    serve(gate, "up", upstream.url)
    open_to_everyone(gate, "up")
    return admit(gate, "ada")


async def stopped_while_running(gate, upstream, token, tool, seconds):
    """Send TERM while a stream and a call are open; the call, the stream, the exit code."""
    stream = await Stream.open(gate.port, token)
    call = Running(gate.port, token, tool, seconds=seconds)
    await asyncio.to_thread(upstream.until_running, 1)
    code = await asyncio.to_thread(gate.stop, signal.SIGTERM)
    await until(lambda: call.ended_at and stream.ended_at, "a client was left hanging")
    return call, stream, code


@pytest.mark.guarantee("audit:every-request-once")
def test_a_call_that_ends_in_time_is_answered_before_the_gate_stops(tmp_path, upstream):
    gate = Gate(tmp_path / "data")
    gate.start()
    token = set_up(gate, upstream)
    call, stream, code = asyncio.run(
        stopped_while_running(gate, upstream, token, "up__t_0", seconds=1.0)
    )
    assert code == 0
    assert call.answer[0] == 200
    assert b'"result"' in call.answer[1]
    assert b'"complete"' in stream.read
    assert is_sound(gate).outcomes("ok") == {"t_0": 1}


@pytest.mark.guarantee("audit:every-request-once")
def test_a_call_that_does_not_end_is_cut_and_closed_as_cancelled(tmp_path, upstream):
    gate = Gate(tmp_path / "data", "limits.shutdown_seconds=0.5")
    gate.start()
    token = set_up(gate, upstream)
    call, _, code = asyncio.run(stopped_while_running(gate, upstream, token, "up__t_0", seconds=-1))
    assert code == 0
    assert b"4011" in call.answer[1]
    upstream.until_running(0)
    calls = is_sound(gate)
    assert calls.outcomes("cancelled") == {"t_0": 1}
    assert not calls.unresolved
    with gate.running():
        assert gate.client(token).call("up__t_1").status == 200
    assert is_sound(gate).outcomes("ok") == {"t_1": 1}


@pytest.mark.guarantee("audit:every-request-once")
def test_a_call_that_ran_when_the_gate_was_killed_is_unresolved_at_once(tmp_path, upstream):
    gate = Gate(tmp_path / "data")
    gate.start()
    token = set_up(gate, upstream)

    async def killed():
        call = Running(gate.port, token, "up__t_0")
        await asyncio.to_thread(upstream.until_running, 1)
        gate.kill()
        await until(lambda: call.ended_at, "the client was left hanging")

    asyncio.run(killed())
    with gate.running():
        (record,) = gate.cli("audit", "search", "--tool", "t_0")["items"]
    assert record["outcome"] == "unresolved"
    assert len(is_sound(gate).unresolved) == 1
    assert sum(upstream.seen()["calls"]["t_0"].values()) == 1


@pytest.mark.timeout(120)
def test_a_gate_that_nobody_listens_to_serves_and_says_in_its_log_that_a_token_was_not_shown(
    tmp_path,
):
    gate = Gate(tmp_path / "data")
    gate.spawn()
    gate.process.stdout.close()
    asyncio.run(until(lambda: UNSEEN in gate.stderr, "the lost token was not told"))
    assert gate.cli("member", "list")
    assert gate.stop() == 0
    assert_stopped_in_order(gate)


def test_a_gate_whose_reader_has_gone_stops_in_order(tmp_path):
    gate = Gate(tmp_path / "data")
    gate.start()
    gate.process.stdout.close()
    assert gate.stop() == 0
    assert UNSEEN not in gate.stderr
    assert_stopped_in_order(gate)


def test_a_gate_whose_terminal_is_closed_stops_in_order(tmp_path):
    gate = Gate(tmp_path / "data")
    terminal, ours = os.openpty()
    with (tmp_path / "stderr").open("wb") as log, hangup(signal.SIG_DFL):
        # The first of a session with this as its controlling terminal: what a shell window runs.
        gate.process = subprocess.Popen(
            ["setsid", "--ctty", *gate.arguments("up", "--port", "0", "--json")],
            stdin=ours,
            stdout=ours,
            stderr=log,
            env=gate.env,
        )
    os.close(ours)
    with os.fdopen(terminal, "rb", buffering=0) as screen:
        assert select.select([screen], [], [], WAIT)[0]
        assert b'"ready"' in screen.read(4096)
    assert gate.process.wait(WAIT) == 0
    assert "stopped: every record is closed" in (tmp_path / "stderr").read_text()


def test_a_gate_that_was_started_to_outlast_its_terminal_does(tmp_path):
    gate = Gate(tmp_path / "data")
    with hangup(signal.SIG_IGN):  # as nohup does
        gate.start()
    gate.process.send_signal(signal.SIGHUP)
    assert gate.cli("member", "list")
    assert "stopping" not in gate.stderr
    assert gate.stop() == 0


@contextlib.contextmanager
def hangup(what):
    """What is started meanwhile takes a hangup so, whatever these tests run under."""
    before = signal.signal(signal.SIGHUP, what)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def assert_stopped_in_order(gate):
    assert "stopped: every record is closed" in gate.stderr
    assert "standard output cannot be written (BrokenPipeError)" in gate.stderr
    assert "Traceback" not in gate.stderr
    assert not (gate.directory / "run" / "admin.sock").exists()


def test_a_first_start_that_is_killed_at_any_moment_is_made_good_by_the_next(tmp_path):
    for turn in range(8):
        gate = Gate(tmp_path / f"data{turn}")
        gate.spawn()
        time.sleep(0.15 * turn)
        gate.kill()
        with gate.running():
            assert gate.cli("member", "list")[0]["email"] == "owner@localhost"
        is_sound(gate)


@pytest.mark.timeout(480)
def test_a_demo_that_is_set_up_twice_is_set_up_once(tmp_path):
    gate = Gate(tmp_path / "data")
    told = []
    for _ in range(2):
        with gate.running("--demo"):
            gate.event("demonstrated", 200)
            told.append(
                {noun: gate.cli(noun, "list") for noun in ("member", "agent", "grant")}
                | {"server": [each["alias"] for each in gate.cli("server", "list")]}
            )
    assert told[0] == told[1]
    is_sound(gate)
