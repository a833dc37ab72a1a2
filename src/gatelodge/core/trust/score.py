"""The trust score: a pure function of evidence, method and time; each point with its reason."""

from collections.abc import Iterable
from itertools import chain

from msgspec import Struct

from gatelodge.core.ids import Instant
from gatelodge.core.trust.evidence import TrustEvidence
from gatelodge.core.trust.gates import ClosedGate, closed_gates
from gatelodge.core.trust.method import STALE_TIMES, Grade, SignalRule, TrustMethod, worse
from gatelodge.core.trust.signals.completeness import read_completeness
from gatelodge.core.trust.signals.identity import read_identity
from gatelodge.core.trust.signals.integrity import read_integrity
from gatelodge.core.trust.signals.interface import read_interface
from gatelodge.core.trust.signals.problems import read_problems
from gatelodge.core.trust.signals.reading import SignalReading, SignalStatus, not_known
from gatelodge.core.trust.signals.upkeep import read_upkeep

_HOUR = 3_600 * 1_000_000


class TrustSignal(Struct, frozen=True, kw_only=True):
    """One signal on a card. `stale` = its evidence is older than it should be, and still counts."""

    id: str
    family: str
    title: str
    status: SignalStatus
    points: float
    max: int
    seen: str
    why: str
    fix: str
    source: str
    at: Instant
    stale: bool
    owasp: str


class FamilyScore(Struct, frozen=True, kw_only=True):
    """The points of one family: earned, of those that are known, of all."""

    name: str
    title: str
    points: float
    known: int
    max: int


class TrustScore(Struct, frozen=True, kw_only=True):
    """How far a server can be trusted, and how much of that is known.

    `score` is 0 to 100 of what is known, `coverage` the per cent that is known, `low` and `high`
    the score if all that is unknown were bad, or good. `headline` is the one sentence that matters
    most. `blocked` = it may not be approved, whatever the grade.
    """

    method: str
    grade: Grade
    score: float
    coverage: int
    low: int
    high: int
    headline: str
    blocked: bool
    gates: tuple[ClosedGate, ...]
    families: tuple[FamilyScore, ...]
    signals: tuple[TrustSignal, ...]
    exposure: dict[str, str]


def score_evidence(found: TrustEvidence, method: TrustMethod, now: Instant) -> TrustScore:
    """The score at that time. The same evidence, method and time give the same score."""
    read = {each.id: each for each in _readings(found, now)}
    signals = tuple(_signal(rule, name, read[name], now) for name, rule in method.signals.items())
    applying = [each for each in signals if each.status != "not_applicable"]
    known = [each for each in applying if each.status != "unknown"]
    earned, of, every = (
        sum(each.points for each in known),
        sum(each.max for each in known),
        sum(each.max for each in applying),
    )
    score = round(100 * earned / of, 1) if of else 0.0
    coverage = round(100 * of / every) if every else 0
    gates = tuple(closed_gates(found, now))
    grade = _capped(_grade_of(score, method), coverage, gates, method)
    return TrustScore(
        method=method.name,
        grade=grade,
        score=score,
        coverage=coverage,
        low=round(100 * earned / every) if every else 0,
        high=round(100 * (earned + every - of) / every) if every else 100,
        headline=_headline(grade, coverage, gates, signals),
        blocked=any(each.blocks for each in gates),
        gates=gates,
        families=tuple(_families(signals, method)),
        signals=signals,
        exposure=dict(found.interface.exposure) if found.interface else {},
    )


def _readings(found: TrustEvidence, now: Instant) -> Iterable[SignalReading]:
    return chain(
        read_identity(found),
        read_integrity(found),
        read_upkeep(found, now),
        read_problems(found, now),
        read_completeness(found),
        read_interface(found),
    )


def _signal(rule: SignalRule, name: str, read: SignalReading, now: Instant) -> TrustSignal:
    age = now - read.at if read.share is not None else 0
    fresh = rule.hours * _HOUR
    if fresh and age > fresh * STALE_TIMES:
        read = not_known(name, "What was known of it is too old to count.", "Make the card anew.")
    share = read.share or 0.0
    return TrustSignal(
        id=name,
        family=rule.family,
        title=rule.title,
        status=read.status,
        points=round(share * rule.points, 1),
        max=rule.points,
        seen=read.seen,
        why=read.why,
        fix=read.fix,
        source=read.source,
        at=read.at,
        stale=bool(fresh) and fresh < age <= fresh * STALE_TIMES,
        owasp=rule.owasp,
    )


def _grade_of(score: float, method: TrustMethod) -> Grade:
    order: tuple[Grade, ...] = ("A", "B", "C", "D")
    return next((grade for grade in order if score >= method.grades[grade]), "F")


def _capped(
    grade: Grade, coverage: int, gates: tuple[ClosedGate, ...], method: TrustMethod
) -> Grade:
    """The grade, no better than what is known and no gate allow."""
    if coverage < method.coverage["B"]:
        grade = "?"
    elif coverage < method.coverage["A"]:
        grade = worse(grade, "B")
    for each in gates:
        grade = worse(grade, method.gates[each.name])
    return grade


def _headline(
    grade: Grade, coverage: int, gates: tuple[ClosedGate, ...], signals: tuple[TrustSignal, ...]
) -> str:
    if gates:
        return gates[0].reason
    if grade == "?":
        return f"Too little is known of it: {coverage} % of what counts."
    lost = max(
        (each for each in signals if each.status in ("partial", "fail")),
        key=lambda each: each.max - each.points,
        default=None,
    )
    if lost is None:
        return "All that is known of it is good."
    return f"Most points are lost here: {lost.title[0].lower()}{lost.title[1:]} ({lost.seen})."


def _families(signals: tuple[TrustSignal, ...], method: TrustMethod) -> Iterable[FamilyScore]:
    for name, title in method.families.items():
        own = [each for each in signals if each.family == name]
        known = [each for each in own if each.status not in ("unknown", "not_applicable")]
        yield FamilyScore(
            name=name,
            title=title,
            points=round(sum(each.points for each in known), 1),
            known=sum(each.max for each in known),
            max=sum(each.max for each in own if each.status != "not_applicable"),
        )
