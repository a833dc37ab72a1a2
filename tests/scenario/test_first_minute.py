"""README's first minute is what really happens."""

import re
import shlex
import shutil
import signal
import subprocess
import sys

import pytest
from tests.gate import ROOT, environment

NODE = {"everything", "filesystem", "memory"}
"""Servers that the demo has only where Node is."""

SAME = (
    (r"isolated \((standard|weak)[^)]*\)", "isolated (TIER)"),
    (r"is built: \d+ packages, \d+ MiB, \d+ s|was built before", "is built"),
    (r"127\.0\.0\.1:\d+", "ADDRESS"),
    (r"\b(gatelodge|SDK) \d+\.\d+\S*?(?=[\s)])", r"\1 VERSION"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)", "TIME"),
    (r'"day_of_week": "\w+"', '"day_of_week": "DAY"'),
    (r"\bc_[\w-]{22}", "CALL"),
    (r"\bwsp_\w{22}", "WORKSPACE"),
    (r"localhost\+[0-9a-f]{8}\+[\w+/=]+", "KEY"),
    (r"\bsize \d+", "size N"),
    (r"(?m)( ok) \d+ ", r"\1 MS "),
    (r"sees \d+ tools", "sees N tools"),
)
"""What differs from run to run, and what it is called here."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("minute")


@pytest.fixture(scope="module")
def first(place):
    """What the first minute of all printed; its data stays in the place."""
    done = minute_in(place)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.guarantee("audit:tamper-evident")
def test_the_readme_shows_what_the_first_minute_prints(first):
    (shown,) = re.findall(r"(?ms)^```text\n(gatelodge .*?)^```", (ROOT / "README.md").read_text())
    assert same(shown) == same(first.stdout), "put this into README.md:\n" + first.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_second_run_goes_on_with_the_same_data_and_makes_its_own_proof(first, place):
    done = minute_in(place)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert "\nVERIFIED\n" in first.stdout
    assert "\nVERIFIED\n" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_command_that_a_minute_leaves_on_the_screen_issues_a_token(place):
    """What `make up` shows last is what a person pastes first."""
    minute = subprocess.Popen(
        [sys.executable, ROOT / "examples/first_minute.py", "--port", "0"],
        cwd=place,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        shown = ""
        for line in minute.stdout:
            shown += line
            if "Ctrl-C stops the gate" in line:
                break
        (command,) = re.findall(r"export GATE_TOKEN=\$\((.*)\)", shown)
        program, *words = shlex.split(command)
        assert program == ".venv/bin/gatelodge"
        done = subprocess.run(
            [sys.executable, "-m", "gatelodge", *words],
            cwd=place,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout.startswith("gtlp_")
    finally:
        minute.send_signal(signal.SIGINT)
        minute.wait(30)
        minute.stdout.close()


def same(text: str) -> list[str]:
    """The lines without what differs from run to run, and without servers that Node would run."""
    text = re.sub(r"[ \t]+", " ", text)
    for pattern, name in SAME:
        text = re.sub(pattern, name, text)
    installed = (ROOT / "examples/demo/node_modules/.package-lock.json").exists()
    if not installed or shutil.which("node") is None:
        text = re.sub(rf"(?m)^ ({'|'.join(NODE)}) is .*\n", "", text)
        text = re.sub(rf"\b({'|'.join(NODE)}) \d+(, )?", "", text)
    return text.splitlines()


def test_what_differs_in_the_meaning_is_not_taken_for_the_same():
    assert same("x denied: no_grant - c_AaIFw2w_TqTqJLkPGSBDRA") == ["x denied: no_grant - CALL"]
    assert same("time 2") != same("time 3")
    assert same("VERIFIED") != same("TAMPERED")


def minute_in(directory):
    return subprocess.run(
        [sys.executable, ROOT / "examples/first_minute.py", "--once", "--port", "0"],
        cwd=directory,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
