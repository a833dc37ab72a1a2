"""The log alone says who could use what: its fold decides as the store's own rows did."""

from typing import get_args

import msgspec
import pytest
from tests.access.year import Year, decisions, decisions_of_view

from gatelodge.core.access.fold import FOLDED, GovFold
from gatelodge.core.access.folded_rows import GovLeaf, read_gov_leaf
from gatelodge.core.errors import Invalid
from gatelodge.core.records.governance import GovKind
from gatelodge.core.view import compile_view


def raw_leaves(house):
    house._read = 0
    return [msgspec.json.encode(leaf) for leaf in house.whole_leaves()]


def folded(leaves, until=None):
    fold = GovFold()
    fold.extend(leaves, until)
    return fold


@pytest.mark.slow
@pytest.mark.guarantee("access:point-in-time")
@pytest.mark.parametrize("seed", [1, 2])
def test_the_fold_decides_as_the_store_did_at_any_moment(house, seed):
    year = Year(house, seed).live(150)
    leaves = raw_leaves(house)
    for at in year.moments(25):
        assert decisions(folded(leaves, at).state(), at) == decisions(year.at(at), at)


@pytest.mark.guarantee("access:point-in-time")
@pytest.mark.slow
def test_of_a_year_a_thousand_moments_are_told_from_the_log_alone(house):
    year = Year(house, 7).live(900)
    # A generated year in which something never happens would say nothing of it.
    assert len(year.done) > 22, year.done
    leaves = raw_leaves(house)
    seen = set()
    fold, view, stored = GovFold(), None, None
    for at in sorted(year.moments(1000)):
        fold.extend(leaves[fold.gov :], at)
        view = compile_view(fold.state(), view)
        stored = compile_view(year.at(at), stored)
        told = decisions_of_view(view, at)
        assert told == decisions_of_view(stored, at)
        seen |= {word for word, _ in told.values()}
    assert {kind for kind, _, _ in seen} == {"Allow", "Deny"}
    assert {reason for _, reason, _ in seen} >= {"", "no_grant", "guardrail", "tool_changed"}, seen


def test_every_type_of_leaf_is_known_to_the_fold():
    assert set(get_args(GovKind)) == FOLDED


def test_a_leaf_that_a_later_version_wrote_is_not_passed_over():
    leaf = GovLeaf(t="member.banned", at="2026-11-30T00:00:00Z", by="local", subject={})
    with pytest.raises(Invalid, match=r"member\.banned"):
        GovFold().apply(leaf)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"t":1}',
        b"\xff",
        b'{"t":"log.opened","at":"soon","by":"local","subject":{}}',
    ],
)
def test_what_is_no_leaf_is_refused(body):
    with pytest.raises(Invalid):
        read_gov_leaf(body)


def test_a_leaf_about_what_never_came_is_refused():
    leaf = GovLeaf(
        t="member.revoked",
        at="2026-11-30T00:00:00Z",
        by="local",
        subject={"member": "mem_x", "generation": 1},
    )
    with pytest.raises(Invalid, match="leaf 0"):
        GovFold().apply(leaf)
