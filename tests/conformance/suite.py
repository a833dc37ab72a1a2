"""The official conformance suite, run against the fixture or through a gate.

python -m tests.conformance.suite --era legacy|modern|dual [--requirements V] [--through-gate]
    [--scenario NAME]

`V` is a revision that the current suite has requirements for, or `0.1.16`: the last suite of the
legacy era, whole.
"""

import argparse
import contextlib
import json
import re
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.shim import Shim
from tests.gate import ROOT, WAIT, Gate, environment

HERE = Path(__file__).parent
NODE = HERE / "node_modules/node/bin/node"
INSTALLED = "node_modules/@modelcontextprotocol/conformance/dist/index.js"
LONGEST = 150.0
"""No run takes longer, in seconds; a usual one takes ten."""

OLD = "0.1.16"
SUITES = {
    "2025-11-25": (HERE / INSTALLED, ("--requirements", "2025-11-25")),
    "2026-07-28": (HERE / INSTALLED, ("--requirements", "2026-07-28")),
    OLD: (HERE / "old" / INSTALLED, ("--suite", "all")),
}
SCENARIOS = {"2025-11-25": 33, "2026-07-28": 50, OLD: 32}
"""How many scenarios each suite has."""

SPOKEN = {"legacy": ("2025-11-25", OLD), "modern": ("2026-07-28",), "dual": tuple(SUITES)}
"""What a server of each era can be asked without a gate before it."""

SUMMARY = re.compile(r"^[✓✗] (\S+): (\d+) passed, (\d+) failed$", re.MULTILINE)
BEGUN = re.compile(r"^=== Running scenario: (\S+) ===$", re.MULTILINE)
FOLDER = re.compile(r"(?:server-)?(.+)-\d{4}-\d\d-\d\dT[\d-]+Z")


@dataclass
class Outcome:
    """How a scenario ended: how many checks passed, and what the others say, by their names."""

    passed: int
    failures: int
    failed: dict[str, str] = field(default_factory=dict)
    warned: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def is_passed(self) -> bool:
        """Say whether no check failed."""
        return not self.failures

    def told(self) -> str:
        """What is wrong, on one line."""
        faults = [f"{name}: {why}" for name, why in (*self.failed.items(), *self.warned.items())]
        return " | ".join(faults) or ("no check tells why" if self.failures else "")


def run(version: str, url: str, place: Path, scenario: str = "") -> dict[str, Outcome]:
    """The outcome of each scenario of a suite against the server at this URL."""
    script, chosen = SUITES[version]
    assert NODE.exists(), "run `npm ci` in tests/conformance"
    assert script.exists(), f"run `npm ci` in {script.parents[4].relative_to(ROOT)}"
    if scenario:
        at = [] if version == OLD else ["--spec-version", version]
        chosen = ("--scenario", scenario, *at)
    output, why = _output(
        [str(NODE), str(script), "server", "--url", url, *chosen, "-o", str(place)]
    )
    found = {name: Outcome(int(ok), int(bad)) for name, ok, bad in SUMMARY.findall(output)}
    for told in sorted(place.glob("*/checks.json")):
        named = FOLDER.fullmatch(told.parent.name)
        assert named, told.parent.name
        checks = json.loads(told.read_text())
        _note(found.setdefault(named[1], _counted(checks)), checks)
    for name in BEGUN.findall(output):
        found.setdefault(name, Outcome(0, 1, {"no result": why}))
    assert found, f"{why}: {output[-2000:]}"
    return found


def _output(command: list[str]) -> tuple[str, str]:
    """What a command says, and how it ended."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
    )
    with process:
        try:
            output = process.communicate(timeout=LONGEST)[0]
            return output, f"the suite ended with {process.returncode}"
        except subprocess.TimeoutExpired:
            process.kill()
            return process.communicate()[0], f"the suite was stopped after {LONGEST} s"


def _counted(checks: list[dict[str, str]]) -> Outcome:
    ended = [check["status"] for check in checks]
    return Outcome(ended.count("SUCCESS"), ended.count("FAILURE"))


def _note(outcome: Outcome, checks: list[dict[str, str]]) -> None:
    kept = {"FAILURE": outcome.failed, "WARNING": outcome.warned, "SKIPPED": outcome.skipped}
    for check in checks:
        if check["status"] in kept:
            why = check.get("errorMessage") or check["description"]
            kept[check["status"]].setdefault(check["id"], " ".join(why.split()))


@contextlib.contextmanager
def fixture(era: str) -> Iterator[int]:
    """A fixture in a process of its own; its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.conformance.fixture", "--era", era],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=environment(),
    )
    with process:
        try:
            assert process.stdout is not None
            assert select.select([process.stdout], [], [], WAIT)[0], "the fixture does not start"
            told = json.loads(process.stdout.readline())
            yield int(told["url"].rpartition(":")[2].partition("/")[0])
        finally:
            process.kill()


@contextlib.contextmanager
def direct(era: str) -> Iterator[str]:
    """The URL of a fixture, through a shim that adds nothing."""
    with fixture(era) as port, Shim(port) as shim:
        yield f"http://localhost:{shim.port}/mcp"


@contextlib.contextmanager
def gated(era: str, place: Path) -> Iterator[str]:
    """The URL of a fixture behind a gate, through a shim that adds a member's token."""
    with fixture(era) as port, Shim() as shim:
        gate = Gate(place / "gate")
        with gate.running():
            gate.upstream(era, f"http://127.0.0.1:{port}/mcp")
            shim.token = gate.member("suite@example.test", era)
            shim.target = gate.port
            yield f"http://localhost:{shim.port}/k/main/s/{era}/mcp"


def table(outcomes: dict[str, Outcome]) -> str:
    """The outcomes as text: one line a scenario, and one for each check that did not pass."""
    lines = []
    for name, outcome in outcomes.items():
        mark = "ok  " if outcome.is_passed else "FAIL"
        lines.append(f"{mark} {name:<48} {outcome.passed:>3} passed {outcome.failures:>3} failed")
        lines += [f"       failed  {check}: {why[:300]}" for check, why in outcome.failed.items()]
        lines += [f"       warned  {check}: {why[:300]}" for check, why in outcome.warned.items()]
        lines += [f"       skipped {check}: {why[:300]}" for check, why in outcome.skipped.items()]
    good = sum(outcome.is_passed for outcome in outcomes.values())
    checks = sum(outcome.passed for outcome in outcomes.values())
    faults = sum(outcome.failures for outcome in outcomes.values())
    lines.append(f"scenarios: {good}/{len(outcomes) - good}, checks: {checks}/{faults}")
    return "\n".join(lines)


def main() -> int:
    """Run one pair, and print its table."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.suite")
    parser.add_argument("--era", choices=tuple(SPOKEN), required=True)
    parser.add_argument("--requirements", choices=tuple(SUITES))
    parser.add_argument("--through-gate", action="store_true")
    parser.add_argument("--scenario", default="")
    given = parser.parse_args()
    every = tuple(SUITES) if given.through_gate else SPOKEN[given.era]
    is_good = True
    for version in [given.requirements] if given.requirements else every:
        with tempfile.TemporaryDirectory() as place:
            pair = gated(given.era, Path(place)) if given.through_gate else direct(given.era)
            with pair as url:
                outcomes = run(version, url, Path(place) / "results", given.scenario)
        sys.stdout.write(f"{version} -> {given.era}\n{table(outcomes)}\n\n")
        sys.stdout.flush()
        is_good = is_good and all(outcome.is_passed for outcome in outcomes.values())
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
