"""The trust score: grades of real packages, gates before means, unknown neither good nor bad."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.unit.trust.packages import NOW, TEN

from gatelodge.config.trust import trust_method
from gatelodge.core.errors import Invalid
from gatelodge.core.ids import Instant
from gatelodge.core.trust.evidence import (
    SECTIONS,
    AdvisoryEvidence,
    IndexEvidence,
    KnownVulnerability,
    RegistryEvidence,
    decode_evidence,
    encode_evidence,
)
from gatelodge.core.trust.method import TrustMethod, check_method
from gatelodge.core.trust.score import TrustScore, score_evidence
from gatelodge.core.trust.signals.reading import DAY

METHOD = trust_method()


def scored(name: str, **changed: object) -> TrustScore:
    return score_evidence(replace(TEN[name][0], **changed), METHOD, NOW)


@pytest.mark.parametrize("name", TEN)
def test_a_real_package_gets_the_grade_that_its_evidence_argues(name: str) -> None:
    evidence, grade, coverage = TEN[name]
    found = score_evidence(evidence, METHOD, NOW)
    assert (found.grade, found.coverage) == (grade, coverage)
    assert found.low <= found.score <= found.high or found.coverage == 0


@pytest.mark.parametrize("name", TEN)
def test_every_point_is_explained(name: str) -> None:
    for each in scored(name).signals:
        assert all((each.why, each.seen, each.title, each.owasp))
        assert each.points <= each.max
        if each.status in ("fail", "partial"):
            assert each.fix, f"{each.id} lost points and says nothing of how to mend it"
        if each.status != "unknown":
            assert all((each.source, each.at))


def test_five_poisoned_tools_are_an_f_though_the_mean_is_good() -> None:
    found = scored("time with five poisoned tools")
    assert found.score > METHOD.grades["B"]
    assert found.grade == "F"
    assert "mislead" in found.headline


@given(st.sets(st.sampled_from(SECTIONS)), st.sampled_from(sorted(TEN)))
def test_what_is_taken_away_lowers_coverage_and_never_moves_a_signal(
    gone: set[str], name: str
) -> None:
    evidence = TEN[name][0]
    whole, less = (
        score_evidence(each, METHOD, NOW)
        for each in (evidence, replace(evidence, **dict.fromkeys(gone)))
    )
    assert less.coverage <= whole.coverage
    assert less.low <= whole.low
    before = {each.id: each for each in whole.signals}
    for each in less.signals:
        # Of two sources of one signal the other may be left; of one, it is unknown.
        if each.status != "unknown" and each.source == before[each.id].source:
            assert each.points <= before[each.id].points + each.max


@pytest.mark.parametrize(
    ("section", "grade", "blocked"),
    [
        ({"lifecycle": "quarantined"}, "F", True),
        ({"lifecycle": "deleted"}, "F", True),
        ({"lifecycle": "yanked"}, "D", False),
        ({"lifecycle": "deprecated"}, "D", False),
        ({"vulnerabilities": (KnownVulnerability(id="X-1", severity="critical"),)}, "D", False),
        ({"vulnerabilities": (KnownVulnerability(id="X-1", severity="high"),)}, "D", False),
        ({"released_at": Instant(NOW - 2 * DAY)}, "C", False),
        ({"vulnerabilities": (KnownVulnerability(id="X-1", severity="low"),)}, "A", False),
    ],
)
def test_a_gate_caps_the_grade(section: dict[str, object], grade: str, blocked: bool) -> None:
    index = replace(TEN["mcp-server-time"][0].index, **section)
    found = scored("mcp-server-time", index=index)
    assert (found.grade, found.blocked) == (grade, blocked)


@pytest.mark.parametrize(("days", "status"), [(1, "pass"), (29, "pass"), (31, "unknown")])
def test_old_advisories_that_say_nothing_are_no_clean_bill(days: int, status: str) -> None:
    as_of = Instant(NOW - days * DAY)
    imported = AdvisoryEvidence(source="imported", at=NOW, as_of=as_of)
    index = replace(TEN["mcp-server-time"][0].index, vulnerabilities=None)
    found = scored("mcp-server-time", advisories=imported, index=index)
    assert next(each.status for each in found.signals if each.id == "KP1") == status


def test_two_names_that_disagree_are_a_d() -> None:
    registry = RegistryEvidence(source="registry", at=NOW, listed=True, name="io.github.other/time")
    found = scored("mcp-server-time", registry=registry)
    assert found.grade == "D"
    assert "other" in found.headline


def test_a_release_time_that_cannot_be_right_does_not_count() -> None:
    doubted = IndexEvidence(source="i", at=NOW, released_at=NOW, time_doubt="older ones are newer")
    found = {each.id: each for each in scored("mcp-server-time", index=doubted).signals}
    assert found["UP1"].status == "unknown"
    assert found["KP3"].status == "unknown"


def test_evidence_that_grew_old_is_stale_and_then_unknown() -> None:
    evidence = TEN["mcp-server-time"][0]
    for days, status, stale in ((0, "pass", False), (3, "pass", True), (7, "unknown", False)):
        later = score_evidence(evidence, METHOD, Instant(NOW + days * DAY))
        found = next(each for each in later.signals if each.id == "UP4")
        assert (found.status, found.stale) == (status, stale)


@pytest.mark.parametrize("name", TEN)
def test_kept_evidence_gives_the_same_card(name: str) -> None:
    evidence = TEN[name][0]
    again = decode_evidence(encode_evidence(evidence))
    assert score_evidence(again, METHOD, NOW) == score_evidence(evidence, METHOD, NOW)


def test_a_method_whose_points_are_not_a_hundred_is_refused() -> None:
    signals = dict(list(METHOD.signals.items())[1:])
    broken = TrustMethod(
        name="x",
        grades=METHOD.grades,
        coverage=METHOD.coverage,
        gates=METHOD.gates,
        families=METHOD.families,
        signals=signals,
    )
    with pytest.raises(Invalid):
        check_method(broken)
