"""Which advisories name a version: the OSV schema, matched as its specification says.

Source: https://ossf.github.io/osv-schema/ (1.7): `affected`, its ranges and their evaluation. An
advisory that cannot be decided is said to be so; it is never taken for one that does not concern.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct
from packaging.utils import canonicalize_name

from gatelodge.core.trust.evidence import KnownVulnerability, Severity
from gatelodge.core.trust.sources.versions import Ecosystem, same_version, version_order

MOST_ADVISORY: Final = 1 << 20
"""Bytes of one advisory."""
_NAMES: Final[dict[Ecosystem, str]] = {"pypi": "PyPI", "npm": "npm"}
_SAID: Final[dict[str, Severity]] = {
    "critical": "critical",
    "important": "high",
    "high": "high",
    "moderate": "medium",
    "medium": "medium",
    "low": "low",
    "none": "low",
}
_ORDER: Final[tuple[Severity, ...]] = ("unknown", "low", "medium", "high", "critical")
_MALICIOUS: Final = "MAL-"
_MOST_FIXES: Final = 20

_FIXED, _INTRODUCED, _LAST, _LIMIT, _NOTHING = range(5)
"""What an event is, in the order in which events of one version count."""

Match = Literal["affected", "not affected", "undecided"]


class OsvPackage(Struct, frozen=True):
    """Whom an entry is about; an ecosystem may have a release behind a colon."""

    ecosystem: str = ""
    name: str = ""


class OsvEvent(Struct, frozen=True):
    """One point of a range; exactly one of them is set."""

    introduced: str = ""
    fixed: str = ""
    last_affected: str = ""
    limit: str = ""


class OsvRange(Struct, frozen=True):
    """A range of versions, by its events in no order."""

    type: str = ""
    events: Annotated[tuple[OsvEvent, ...], Meta(max_length=10_000)] = ()


class OsvSeverity(Struct, frozen=True):
    """A vector of CVSS, by the name of its edition."""

    type: str = ""
    score: str = ""


class OsvAffected(Struct, frozen=True):
    """What is affected of one package."""

    package: OsvPackage | None = None
    ranges: tuple[OsvRange, ...] = ()
    versions: Annotated[tuple[str, ...], Meta(max_length=100_000)] = ()
    severity: tuple[OsvSeverity, ...] = ()
    ecosystem_specific: msgspec.Raw = msgspec.Raw()
    database_specific: msgspec.Raw = msgspec.Raw()


class OsvAdvisory(Struct, frozen=True):
    """One advisory, of which only what decides is read."""

    id: str
    modified: str = ""
    withdrawn: str | None = None
    summary: str = ""
    severity: tuple[OsvSeverity, ...] = ()
    affected: Annotated[tuple[OsvAffected, ...], Meta(max_length=1_000)] = ()
    database_specific: msgspec.Raw = msgspec.Raw()


class _SeverityWord(Struct):
    severity: str = ""


def read_advisory(body: bytes) -> OsvAdvisory | None:
    """An advisory of the OSV schema; None for what is none."""
    if len(body) > MOST_ADVISORY:
        return None
    try:
        return msgspec.json.decode(body, type=OsvAdvisory)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None


def match_advisory(
    advisory: OsvAdvisory, ecosystem: Ecosystem, name: str, version: str
) -> tuple[Match, KnownVulnerability | None]:
    """Whether it names this version, and then what is known; a withdrawn one names none."""
    if advisory.withdrawn:
        return "not affected", None
    own = [each for each in advisory.affected if _is_about(each, ecosystem, name)]
    told = [_match_entry(each, ecosystem, version) for each in own]
    hit = [each for each, said in zip(own, told, strict=True) if said == "affected"]
    if not hit:
        return ("undecided" if "undecided" in told else "not affected"), None
    return "affected", KnownVulnerability(
        id=advisory.id[:200],
        severity=severity_of(advisory, hit),
        summary=" ".join(advisory.summary.split())[:300],
        fixed_in=_fixes(hit, ecosystem, version),
    )


def severity_of(advisory: OsvAdvisory, hit: Iterable[OsvAffected]) -> Severity:
    """The highest that it names: by its vectors, else in words; malicious packages are critical."""
    if advisory.id.startswith(_MALICIOUS):
        return "critical"
    entries = tuple(hit)
    vectors = [each for entry in entries for each in entry.severity] or list(advisory.severity)
    by_vector = [_severity_of_vector(each.score) for each in vectors[:20]]
    words = [advisory.database_specific]
    words += [raw for each in entries for raw in (each.database_specific, each.ecosystem_specific)]
    known = [each for each in by_vector if each in _ORDER[1:]] or [_said(raw) for raw in words]
    return max(known, key=_ORDER.index, default="unknown")


def _is_about(entry: OsvAffected, ecosystem: Ecosystem, name: str) -> bool:
    package = entry.package
    if package is None or package.ecosystem.partition(":")[0] != _NAMES[ecosystem]:
        return False
    if ecosystem == "pypi":
        return canonicalize_name(package.name) == canonicalize_name(name)
    return package.name == name


def _match_entry(entry: OsvAffected, ecosystem: Ecosystem, version: str) -> Match:
    own = version_order(ecosystem, version)
    if version in entry.versions or any(
        same_version(ecosystem, each, version) for each in entry.versions
    ):
        return "affected"
    ranges = [each for each in entry.ranges if each.type != "GIT"]
    told = [_match_range(each, ecosystem, own) for each in ranges]
    if "affected" in told:
        return "affected"
    # A range of commits alone says nothing about versions.
    silent = not ranges and not entry.versions
    return "undecided" if silent or "undecided" in told else "not affected"


def _match_range(one: OsvRange, ecosystem: Ecosystem, own: Any) -> Match:
    """As the specification evaluates a range: its events in order, before its limits."""
    begun = any(each.introduced == "0" for each in one.events)
    points = [_point(each, ecosystem) for each in one.events if each.introduced != "0"]
    if own is None or None in points or not (begun or points):
        return "undecided"
    known = [each for each in points if each is not None]
    limits = [order for order, what in known if what == _LIMIT]
    endless = not limits or any(each.limit == "*" for each in one.events)
    if not endless and not any(own < each for each in limits):
        return "not affected"
    affected = begun
    for order, what in sorted(each for each in known if each[1] < _LIMIT):
        if what == _INTRODUCED and own >= order:
            affected = True
        elif (what == _FIXED and own >= order) or (what == _LAST and own > order):
            affected = False
    return "affected" if affected else "not affected"


def _point(event: OsvEvent, ecosystem: Ecosystem) -> tuple[Any, int] | None:
    """Where an event stands, and what it is; None for one that cannot be placed."""
    if event.limit == "*":
        return (0, _NOTHING)
    text = event.introduced or event.fixed or event.last_affected or event.limit
    order = version_order(ecosystem, text)
    kinds = (event.fixed, event.introduced, event.last_affected, event.limit)
    return None if order is None else (order, next(n for n, each in enumerate(kinds) if each))


def _fixes(hit: Iterable[OsvAffected], ecosystem: Ecosystem, version: str) -> tuple[str, ...]:
    """The versions above this one in which it is fixed, the nearest first."""
    own = version_order(ecosystem, version)
    found: dict[str, Any] = {}
    for event in (event for entry in hit for each in entry.ranges for event in each.events):
        order = version_order(ecosystem, event.fixed) if event.fixed else None
        if order is not None and own is not None and order > own:
            found[event.fixed] = order
    return tuple(sorted(found, key=lambda text: found[text]))[:_MOST_FIXES]


def _severity_of_vector(vector: str) -> Severity:
    # The tables of all editions: loaded by whoever meets the first vector.
    from cvss import CVSS2, CVSS3, CVSS4, CVSSError

    if len(vector) > 400:
        return "unknown"
    try:
        if vector.startswith("CVSS:4"):
            word = CVSS4(vector).severity
        else:
            word = (CVSS3 if vector.startswith("CVSS:3") else CVSS2)(vector).severities()[0]
    except (CVSSError, ValueError, KeyError, ArithmeticError):
        return "unknown"
    return _SAID.get(word.lower(), "unknown")


def _said(raw: msgspec.Raw) -> Severity:
    if not raw:
        return "unknown"
    try:
        word = msgspec.json.decode(raw, type=_SeverityWord).severity
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return "unknown"
    return _SAID.get(word.lower(), "unknown")
