"""A run that is stopped ends at once, and says what is true of what it did."""

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import click
import pytest

from gatelodge.cli import main, output
from gatelodge.cli.client import ApiRequest, ApiResponse, GateClient
from gatelodge.cli.receipt import show_receipt
from gatelodge.cli.terminal import CommandRun, GlobalOptions

ASKS = (
    "import click; from gatelodge.cli.asking import confirm\n"
    "try: confirm('Sure?'); print('it was a yes')\n"
    "except click.Abort: print('it was a no')"
)


@pytest.mark.parametrize(
    ("typed", "came_of_it"),
    [("\x03", "it was a no"), ("y\n", "it was a yes"), ("\n", "it was a no"), ("\x04", "a no")],
)
def test_one_key_press_answers_a_question(typed: str, came_of_it: str) -> None:
    process, terminal = os.forkpty()
    if process == 0:
        os.execv(sys.executable, [sys.executable, "-c", ASKS])
    try:
        _read_until(terminal, "[y/N]: ")
        os.write(terminal, typed.encode())
        assert came_of_it in _read_until(terminal, came_of_it)
    finally:
        os.close(terminal)
        os.waitpid(process, 0)


def _read_until(terminal: int, wanted: str) -> str:
    seen = ""
    while wanted not in seen:
        assert select.select([terminal], [], [], 20)[0], seen
        seen += os.read(terminal, 4096).decode()
    return seen


class Interrupted:
    """A way on which Ctrl-C comes while the answer is waited for."""

    def send(self, asked: ApiRequest) -> ApiResponse:
        raise KeyboardInterrupt(asked.method)

    def close(self) -> None:
        return


def _abort() -> None:
    with contextlib.suppress(KeyboardInterrupt):
        raise KeyboardInterrupt
    raise click.Abort


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda: GateClient(Interrupted(), "main").get("/x"), "stopped.\n"),
        (lambda: GateClient(Interrupted(), "main").post("/x"), "may have been done"),
        (lambda: GateClient(Interrupted(), "main").delete("/x"), "may have been done"),
        (_abort, "nothing was changed"),
    ],
)
def test_what_is_said_at_the_end_is_true_of_what_was_under_way(
    act: Callable[[], Any],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    @click.command()
    def command() -> None:
        act()

    monkeypatch.setattr(main, "root", command)
    assert main.run([]) == output.INTERRUPTED
    assert said in capsys.readouterr().err


def test_with_json_a_wrong_command_line_is_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (["sever"], ["completion", "tcsh"], ["member", "add"], ["audit", "tail", "-n0"]):
        assert main.run(["--json", *wrong]) == output.USAGE
        told = json.loads(capsys.readouterr().err)
        assert told["code"] == "error.refused.invalid"
        assert told["detail"]


def test_with_json_a_completion_script_is_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["completion", "bash", "--json"]) == output.OK
    told = json.loads(capsys.readouterr().out)
    assert told["shell"] == "bash"
    assert "_GATELODGE_COMPLETE" in told["script"]


def test_a_receipt_names_what_ended_and_who_has_the_agents_now(
    capsys: pytest.CaptureFixture[str],
) -> None:
    receipt = {
        "completed_ms": 1,
        "bound_ms": 1000,
        "gov": 7,
        "nodes": [],
        "cascade": ["crd_1", "grn_1", "agt_1", "grp_1", "new_1"],
        "named": {"agt_1": "nightly (answered for by bob@x.test)", "grp_1": "ops"},
    }
    show_receipt(CommandRun(GlobalOptions()), receipt, "ada@x.test")
    told = capsys.readouterr().out
    assert "nightly (answered for by bob@x.test) (agt_1)" in told
    assert "ops (grp_1)" in told
    for each in receipt["cascade"]:
        assert each in told


def test_a_run_whose_reader_has_gone_ends_as_done_and_says_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "gatelodge", "completion", "bash"]
    ran = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (output.OK, b"")
