"""The pairwise set loses no pair, is the same each time, and is small."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate import ROOT, environment
from tests.integration.bridges.pairs.covering import covering, pairs

pytestmark = pytest.mark.slow  # as everything that it chooses from

CLIENTS, SERVERS, METHODS = range(7), range(5), range(8)
WHOLE = [
    pairs(f"test {m}", {"kind": k, "alias": a}, methods=(str(m),), eras=(str(k % 2), str(a % 2)))
    for k in CLIENTS
    for a in SERVERS
    for m in METHODS
]


def union(cases):
    return frozenset().union(*cases)


@given(st.lists(st.frozensets(st.integers(0, 30)), max_size=40))
def test_what_all_cases_cover_is_covered_by_those_that_are_chosen(cases):
    chosen = covering(cases)
    assert union(cases[place] for place in chosen) == union(cases)
    assert chosen == covering(list(cases))


def test_each_two_of_client_server_and_method_meet_in_few_cases():
    kept = [WHOLE[place] for place in covering(WHOLE)]
    met = union(kept)
    for k in CLIENTS:
        assert all((("client", k), ("server", a)) in met for a in SERVERS)
        assert all((("client", k), ("method", str(m))) in met for m in METHODS)
    assert all((("server", a), ("method", str(m))) in met for a in SERVERS for m in METHODS)
    least = len(CLIENTS) * len(METHODS)  # no case has two clients or two methods
    assert len(WHOLE) == 280
    assert least <= len(kept) <= least * 1.2


def test_each_test_meets_both_eras_on_both_sides_and_each_other_parameter():
    cases = [
        pairs("t", {"kind": k, "alias": a, "bare": bare}, methods=("m",), eras=(k, a))
        for k in ("modern", "legacy")
        for a in ("modern", "legacy")
        for bare in (False, True)
    ]
    met = union(cases[place] for place in covering(cases))
    for side in ("client", "server"):
        assert all(("t", (f"era of the {side}", era)) in met for era in ("modern", "legacy"))
    assert {("t", ("bare", False)), ("t", ("bare", True))} <= met


LISTING = """
import json, pytest

class Listing:
    def pytest_collection_finish(self, session):
        for item in session.items:
            given = getattr(item, "callspec", None)
            params = given.params if given else {}
            about = item.get_closest_marker("about")
            weekly = item.get_closest_marker("weekly") is not None
            told = [params.get("kind"), params.get("alias"), list(about.args) if about else []]
            print("case", json.dumps([item.name.partition("[")[0], *told, weekly]))

options = ["--collect-only", "-qq", "-n", "0", "-p", "no:cacheprovider"]
raise SystemExit(pytest.main([*options, "tests/integration/bridges"], plugins=[Listing()]))
"""


def test_the_slow_suite_meets_each_pair_that_the_weekly_one_does():
    ran = subprocess.run(
        [sys.executable, "-c", LISTING],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    lines = (line.removeprefix("case ") for line in ran.stdout.splitlines() if "case [" in line)
    cases = [json.loads(line) for line in lines]
    crossed = [case for case in cases if case[1] and case[2]]
    kept = [case for case in crossed if not case[4]]
    assert _met(kept) == _met(crossed)
    assert len(kept) < 130 < len(crossed) - 700, (len(kept), len(crossed))
    assert {name for name, *_ in kept} == {name for name, *_ in crossed}
    assert not [case for case in cases if case[4] and case not in crossed]


def _met(cases):
    found = {(client, server) for _, client, server, *_ in cases}
    for name, client, server, methods, _ in cases:
        for method in methods or [name]:
            found |= {(client, method), (server, method)}
    return found
