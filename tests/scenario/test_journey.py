"""The commands of an operator's first day, typed one after another, with all that they print."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from tests.gate import ROOT, Gate
from tests.scenario.script import answer, matches, play
from tests.wire import until

from gatelodge.cli.main import run

SCRIPT = Path(__file__).parent / "journey.txt"


@pytest.mark.guarantee("revoke:under-a-second")
@pytest.mark.guarantee("access:deny-by-default")
def test_a_member_comes_in_calls_a_tool_and_leaves_with_everything_proved(tmp_path):
    stub = ROOT / "tests/upstreams/stdio_server.py"
    gate = Gate(tmp_path / "gate")
    known = {"directory": str(tmp_path), "stub": str(stub), "python": sys.executable}
    with gate.running():
        play(SCRIPT, known, lambda words: _run(gate, known, words))


def _run(gate: Gate, known: dict[str, str], words: list[str]) -> str:
    program, *rest = words
    if program == "call":
        who, tool = rest[0], rest[1]
        given = gate.client(known[who]).call(tool, json.loads(" ".join(rest[2:])))
        return answer(given.json) if given.status in {200, 400} else f"HTTP {given.status}"
    if program == "wait":
        # What is met and what is called are recorded in the order of their happening, and the end
        # of a server's process soon after the answer that it may run no more.
        asked = {"ready": _is_ready, "stopped": _has_stopped}[rest[0]]
        until(lambda: asked(gate, rest[1]) or None)
        return ""
    # In this process: each would spend most of its time on starting Python.
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(gate.arguments(*rest)[3:])
    return out.getvalue() + err.getvalue() + (f"exit {code}\n" if code else "")


def _is_ready(gate: Gate, server: str) -> bool:
    return bool(gate.cli("server", "show", server)["health"] == "ready")


def _has_stopped(gate: Gate, server: str) -> bool:
    """Whether no start of the server is without its recorded end."""
    found = gate.cli("audit", "search", "--server", server)["items"]
    return all(record["outcome"] != "open" for record in found)


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        (["a <x> b"], ["a 1 b"], True),
        (["a <x>", "b <x>"], ["a 1", "b 2"], False),
        (["a", "...", "z"], ["a", "b", "c", "z"], True),
        (["a", "..."], ["a"], True),
        (["a"], ["a", "b"], False),
        (["a <*>"], ["a 1 2 3"], True),
        (["a.c"], ["abc"], False),
    ],
)
def test_a_scenario_matches_what_was_printed_and_nothing_else(expected, printed, same):
    assert matches(expected, printed, {}) is same
