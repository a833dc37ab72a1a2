"""Advisories are matched to a version as the OSV specification evaluates them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.core.trust.sources.advisories import match_advisory, read_advisory

CRITICAL = {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}
MEDIUM = {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:L/I:L/A:N"}


def entry(*events, name="Some.Server", ecosystem="PyPI", kind="ECOSYSTEM", **more):
    ranges = [{"type": kind, "events": events}] if events else []
    return {"package": {"ecosystem": ecosystem, "name": name}, "ranges": ranges, **more}


def match(entries, version, *, ecosystem="pypi", name="some-server", **more):
    told = {"id": "OSV-1", "modified": "2026-01-01T00:00:00Z", "affected": entries, **more}
    return match_advisory(read_advisory(json.dumps(told).encode()), ecosystem, name, version)


def said(*events, version, **more):
    return match([entry(*events, **more)], version)[0]


FROM = {"introduced": "1.2"}


@pytest.mark.parametrize(
    ("events", "version", "wanted"),
    [
        ([{"introduced": "0"}], "0.0.1", "affected"),
        ([{"fixed": "1.4"}, FROM], "1.3", "affected"),
        ([FROM, {"fixed": "1.4"}], "1.4", "not affected"),
        ([FROM, {"fixed": "1.4"}], "1.4rc1", "affected"),
        ([FROM, {"fixed": "1.4"}], "1.1.post9", "not affected"),
        ([FROM, {"last_affected": "1.4"}], "1.4.0", "affected"),
        ([FROM, {"last_affected": "1.4"}], "1.4.1", "not affected"),
        ([{"introduced": "1"}, {"fixed": "2"}, {"introduced": "3"}], "3.1", "affected"),
        ([{"introduced": "1"}, {"last_affected": "1"}], "1", "affected"),
        ([{"introduced": "0"}, {"limit": "2"}], "2.1", "not affected"),
        ([{"introduced": "0"}, {"limit": "*"}], "2.1", "affected"),
        ([{"introduced": "0"}, {"fixed": "garbage"}], "2.1", "undecided"),
        ([{"introduced": "0"}], "no version", "undecided"),
        ([{}], "1.0", "undecided"),
    ],
)
def test_a_range_is_evaluated_as_it_is_specified(events, version, wanted):
    assert said(*events, version=version) == wanted


@given(st.lists(st.integers(1, 40), min_size=2, max_size=8, unique=True), st.data())
def test_a_version_is_affected_where_it_stands_between_the_ends(bounds, data):
    pairs = list(zip(*[iter(sorted(bounds))] * 2, strict=False))
    events = [{"introduced": f"1.{low}.0"} for low, _ in pairs]
    events += [{"fixed": f"1.{high}.0"} for _, high in pairs]
    events = data.draw(st.permutations(events))
    at = data.draw(st.integers(0, 41))
    inside = any(low <= at < high for low, high in pairs)
    one = entry(*events, name="@a/b", ecosystem="npm", kind="SEMVER")
    told, _ = match([one], f"1.{at}.0", ecosystem="npm", name="@a/b")
    assert told == ("affected" if inside else "not affected")


def test_a_listed_version_is_affected_and_a_range_of_commits_says_nothing():
    assert said(version="1.0.0", versions=["1.0"]) == "affected"
    assert said(version="1.1", versions=["1.0"]) == "not affected"
    assert said({"introduced": "0"}, kind="GIT", version="1.0") == "undecided"
    assert said({"introduced": "0"}, kind="GIT", version="1.0", versions=["1.1"]) == "not affected"


def test_only_the_package_of_that_name_and_ecosystem_is_meant():
    every = {"introduced": "0"}
    assert said(every, version="1.0", ecosystem="PyPI:extra") == "affected"
    assert said(every, version="1.0", ecosystem="npm") == "not affected"
    assert said(every, version="1.0", name="some-server-2") == "not affected"
    assert match([{"package": None}], "1.0")[0] == "not affected"


def test_one_that_was_withdrawn_names_nothing():
    told = match([entry({"introduced": "0"})], "1.0", withdrawn="2026-01-01T00:00:00Z")
    assert told == ("not affected", None)


@pytest.mark.parametrize(
    ("more", "own", "severity"),
    [
        ({"severity": [CRITICAL]}, {}, "critical"),
        ({"severity": [CRITICAL]}, {"severity": [MEDIUM]}, "medium"),
        ({"severity": [MEDIUM, CRITICAL]}, {}, "critical"),
        ({"severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/junk"}]}, {}, "unknown"),
        ({"database_specific": {"severity": "MODERATE"}}, {}, "medium"),
        ({}, {"ecosystem_specific": {"severity": "HIGH"}}, "high"),
        ({"database_specific": {"severity": 7}}, {}, "unknown"),
        ({"id": "MAL-2026-1"}, {}, "critical"),
    ],
)
def test_the_severity_is_the_highest_that_is_named(more, own, severity):
    _, found = match([entry({"introduced": "0"}, **own)], "1.0", **more)
    assert found.severity == severity


def test_the_fixes_above_a_version_are_named_in_their_order():
    events = ({"introduced": "0"}, {"fixed": "0.5"}, {"introduced": "1"}, {"fixed": "1.10"})
    both = [entry(*events), entry({"introduced": "1.0"}, {"fixed": "1.9"})]
    _, found = match(both, "1.2", summary="a\nbad one")
    assert (found.id, found.summary, found.fixed_in) == ("OSV-1", "a bad one", ("1.9", "1.10"))


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"id":7}', b"{" * 9, b'{"id":"x","affected":{}}']
)
def test_what_is_no_advisory_is_none(body):
    assert read_advisory(body) is None
