"""The fixture by itself passes every scenario of the official suites, so that a fault is a gate's.

It stands behind a shim without a token, which shows that the shim loses nothing.
"""

import pytest
from tests.conformance import suite

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

NOT_RUN = {
    "tasks-status-notifications": "the suite has no check for it: it looked on the stream of the "
    "call, and the extension tells of tasks on a listen stream (test_fixture_wire.py does look)",
}
"""Scenarios that the suite itself skips, with its reason."""


@pytest.mark.parametrize(
    ("version", "era"),
    [(version, era) for era, versions in suite.SPOKEN.items() for version in versions],
)
def test_the_fixture_passes_every_scenario(version, era, tmp_path):
    with suite.direct(era) as url:
        outcomes = suite.run(version, url, tmp_path)
    faults = {name: told for name, outcome in outcomes.items() if (told := outcome.told())}
    skipped = {name for name, outcome in outcomes.items() if outcome.skipped}
    assert not faults, suite.table(outcomes)
    assert skipped == NOT_RUN.keys() & outcomes.keys()
    assert len(outcomes) == suite.SCENARIOS[version]
