"""Nodes and commands that start beside a busy node never take its growing log for a forged one.

`GATELODGE_TEST_STARTS` says how many start; each looks at every log, its signatures and its end.
"""

import os
import shutil
import threading
import time

import pytest
from tests.fault.scene.setting import admit, open_to_everyone, serve
from tests.fault.test_kill import Load
from tests.gate import WAIT, Gate
from tests.leaves import Calls, leaves_of
from tests.postgres import fresh_database
from tests.upstreams.witnessing import Witness

STARTS = int(os.environ.get("GATELODGE_TEST_STARTS", "16"))
AT_ONCE = 4
COMMANDS = (("node", "status"), ("doctor",), ("member", "list"), ("audit", "tail"))


class Starts:
    """Commands in data directories of their own, on the keys and the database of a busy node."""

    def __init__(self, gate: Gate, directory) -> None:
        self.gate, self.directory = gate, directory
        self.faults: list[tuple[str, int, str]] = []
        self.left = iter(range(STARTS))
        self.turn = threading.Lock()

    def run(self) -> None:
        threads = [
            threading.Thread(target=self._one_after_another, args=(n,)) for n in range(AT_ONCE)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _one_after_another(self, place: int) -> None:
        home = self.directory / f"node{place}"
        home.mkdir(mode=0o700)
        shutil.copytree(self.gate.directory / "keys", home / "keys")
        beside = Gate(home, *self.gate.sets)
        while True:
            with self.turn:
                number = next(self.left, None)
            if number is None:
                return
            told = self._node(beside) if number % 5 == 4 else self._command(beside, number)
            if told is not None:
                self.faults.append(told)

    def _command(self, beside: Gate, number: int) -> tuple[str, int, str] | None:
        words = COMMANDS[number % len(COMMANDS)]
        ran = beside.command(*words)
        return (" ".join(words), ran.returncode, ran.stderr) if ran.returncode else None

    def _node(self, beside: Gate) -> tuple[str, int, str] | None:
        try:
            beside.start()
        except AssertionError as fault:
            return "up", 1, str(fault)
        code = beside.stop()
        return ("up", code, beside.stderr) if code else None


@pytest.mark.slow
@pytest.mark.timeout(300 + 3 * STARTS)
@pytest.mark.guarantee("audit:tamper-evident")
def test_what_starts_beside_a_busy_node_never_raises_a_false_alarm(
    tmp_path, postgres_url, record_property
):
    url = fresh_database(postgres_url)
    gate = Gate(tmp_path / "data", f"store.url={url}")
    with Witness(tools=1) as upstream:
        gate.start()
        serve(gate, "up", upstream.url)
        open_to_everyone(gate, "up")
        load = Load(gate.port, admit(gate, "load"), "t_0")
        starts = Starts(gate, tmp_path)
        began = time.monotonic()
        try:
            starts.run()
        finally:
            seconds = time.monotonic() - began
            assert gate.stop() == 0
            for client in load.threads:
                client.join(WAIT)
    calls = Calls(leaves_of(url))
    record_property("calls a second", round(len(load.succeeded) / seconds))
    record_property("starts", STARTS)
    assert not starts.faults, starts.faults[:3]
    calls.is_paired()
