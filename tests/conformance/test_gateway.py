"""The official suites through a real gate: each era of clients, before servers of each era.

EXPECTED_FAILURES says which scenarios do not pass and why. A scenario that fails without standing
there is a fault, and so is one that passes although it stands there.
"""

import pytest
from tests.conformance import suite

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.guarantee("protocol:both-eras"),
]


def because(reason: str, *scenarios: str) -> dict[str, str]:
    """These scenarios, for one reason."""
    return dict.fromkeys(scenarios, reason)


NO_TASKS = because(
    "the server is legacy: it has no tasks extension, and the gate invents none",
    "tasks-lifecycle",
    "tasks-capability-negotiation",
    "tasks-wire-fields",
    "tasks-request-state-removal",
    "tasks-mrtr-input",
    "tasks-request-headers",
    "tasks-dispatch-and-envelope",
    "tasks-required-task-error",
    "tasks-mrtr-composition",
)

EXPECTED_FAILURES: dict[tuple[str, str], dict[str, str]] = {
    ("2025-11-25", "legacy"): {},
    ("2025-11-25", "modern"): {},
    ("2025-11-25", "dual"): {},
    ("2026-07-28", "legacy"): NO_TASKS,
    ("2026-07-28", "modern"): {},
    ("2026-07-28", "dual"): {},
    (suite.OLD, "legacy"): {},
    (suite.OLD, "modern"): {},
    (suite.OLD, "dual"): {},
}
"""By the suite's version, which says the era of the clients, and the era of the server."""


@pytest.mark.parametrize(("version", "era"), EXPECTED_FAILURES)
def test_through_the_gate_each_scenario_ends_as_the_table_says(version, era, tmp_path):
    with suite.gated(era, tmp_path) as url:
        outcomes = suite.run(version, url, tmp_path / "results")
    expected = EXPECTED_FAILURES[version, era]
    faults = [
        *(f"not in the suite: {name}" for name in expected if name not in outcomes),
        *(
            fault
            for name, outcome in outcomes.items()
            if (fault := _fault(name, outcome, expected))
        ),
    ]
    if len(outcomes) != suite.SCENARIOS[version]:
        faults.append(f"{len(outcomes)} of {suite.SCENARIOS[version]} scenarios were run")
    assert not faults, "\n".join([f"{version} -> {era}", *faults])


def _fault(name: str, outcome: suite.Outcome, expected: dict[str, str]) -> str:
    if outcome.is_passed and name in expected:
        return f"passes unexpectedly: {name} (expected: {expected[name]})"
    if not outcome.is_passed and name not in expected:
        return f"fails unexpectedly: {name}: {outcome.told()}"
    return ""
