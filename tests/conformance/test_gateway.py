"""The official suites through a real gate: each era of clients, before servers of each era.

EXPECTED_FAILURES says which scenarios do not pass and why. A scenario that fails without standing
there is a fault, and so is one that passes although it stands there.
"""

import pytest
from tests.conformance import suite

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def because(reason: str, *scenarios: str) -> dict[str, str]:
    """These scenarios, for one reason."""
    return dict.fromkeys(scenarios, reason)


TOOLS_ONLY = because(
    "the gate serves tools only",
    "completion-complete",
    "resources-list",
    "resources-read-text",
    "resources-read-binary",
    "resources-templates-read",
    "prompts-list",
    "prompts-get-simple",
    "prompts-get-with-args",
    "prompts-get-embedded-resource",
    "prompts-get-with-image",
)

LEGACY_CLIENTS = {
    **TOOLS_ONLY,
    **because("the gate serves tools only", "resources-subscribe", "resources-unsubscribe"),
    **because("a session has no log level", "logging-set-level", "tools-call-with-logging"),
    **because(
        "a server cannot ask the client",
        "tools-call-sampling",
        "tools-call-elicitation",
        "elicitation-sep1034-defaults",
        "elicitation-sep1330-enums",
    ),
}

MODERN_CLIENTS = {
    **TOOLS_ONLY,
    **because("the gate serves tools only", "caching"),
    **because(
        "a server cannot ask the client",
        "server-stateless",
        "input-required-result-basic-elicitation",
        "input-required-result-basic-sampling",
        "input-required-result-basic-list-roots",
        "input-required-result-request-state",
        "input-required-result-multiple-input-requests",
        "input-required-result-multi-round",
        "input-required-result-non-tool-request",
        "input-required-result-result-type",
        "input-required-result-tampered-state",
        "input-required-result-capability-check",
    ),
    **because(
        "the tasks extension is not relayed",
        "tasks-lifecycle",
        "tasks-capability-negotiation",
        "tasks-wire-fields",
        "tasks-request-state-removal",
        "tasks-mrtr-input",
        "tasks-request-headers",
        "tasks-dispatch-and-envelope",
        "tasks-mrtr-composition",
    ),
    **because("space behind a header's value is not passed over", "http-header-validation"),
}

NO_TASKS = because("a legacy server has no tasks", "tasks-required-task-error")

EXPECTED_FAILURES: dict[tuple[str, str], dict[str, str]] = {
    ("2025-11-25", "legacy"): LEGACY_CLIENTS,
    ("2025-11-25", "modern"): LEGACY_CLIENTS,
    ("2025-11-25", "dual"): LEGACY_CLIENTS,
    ("2026-07-28", "legacy"): {**MODERN_CLIENTS, **NO_TASKS},
    ("2026-07-28", "modern"): MODERN_CLIENTS,
    ("2026-07-28", "dual"): MODERN_CLIENTS,
    (suite.OLD, "legacy"): LEGACY_CLIENTS,
    (suite.OLD, "modern"): LEGACY_CLIENTS,
    (suite.OLD, "dual"): LEGACY_CLIENTS,
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
