"""Known problems: advisories that name this version, and whether it is too young to be known."""

from collections.abc import Iterable
from typing import Final

from gatelodge.core.ids import Instant
from gatelodge.core.instant import rfc3339
from gatelodge.core.trust.evidence import (
    EvidenceSection,
    KnownVulnerability,
    TrustEvidence,
)
from gatelodge.core.trust.signals.reading import DAY, SignalReading, not_known, read_from
from gatelodge.core.trust.signals.upkeep import COOLDOWN_DAYS, released_at

_OLD_DAYS: Final = 30
_COST: Final = {"critical": 1.0, "high": 1.0, "medium": 0.5, "low": 0.2, "unknown": 0.5}


def read_problems(found: TrustEvidence, now: Instant) -> Iterable[SignalReading]:
    """KP1 to KP3."""
    yield _vulnerabilities(found, now)
    yield _policy(found)
    yield _cooldown(found, now)


def vulnerabilities(found: TrustEvidence) -> tuple[KnownVulnerability, ...] | None:
    """Those that any source names for this version, each once; None when no source says."""
    told = [
        *([found.advisories.vulnerabilities] if found.advisories else []),
        *([found.index.vulnerabilities] if found.index and found.index.vulnerabilities else []),
    ]
    known = bool(told) or (found.index is not None and found.index.vulnerabilities is not None)
    return tuple({each.id: each for one in told for each in one}.values()) if known else None


def cooldown_ends(found: TrustEvidence, now: Instant) -> Instant | None:
    """When a version that is too young has been out for the cooldown; None when it has been."""
    at = released_at(found)
    ends = None if at is None else Instant(at + COOLDOWN_DAYS * DAY)
    return ends if ends is not None and ends > now else None


def _vulnerabilities(found: TrustEvidence, now: Instant) -> SignalReading:
    every = vulnerabilities(found)
    if every is None:
        why = found.gaps.get("advisories", "No source of advisories speaks of this version.")
        return not_known("KP1", why, "Import advisories: trust.advisories_dir.")
    imported, index = found.advisories, found.index
    of_index = index is not None and index.vulnerabilities is not None
    section = imported if imported and not (of_index and not imported.vulnerabilities) else index
    assert section is not None
    if not every and not of_index and imported and imported.as_of < now - _OLD_DAYS * DAY:
        # What came to light since they were taken is not in them: silence of theirs is no news.
        why = f"The advisories that were imported are of {rfc3339(imported.as_of)[:10]}."
        return not_known("KP1", why, "Import newer ones into trust.advisories_dir.")
    if not every:
        return read_from(section, "KP1", 1.0, "none", "No advisory names this version.")
    share = max(0.0, 1 - sum(_COST[each.severity] for each in every))
    fixed = sorted({version for each in every for version in each.fixed_in})
    return read_from(
        section,
        "KP1",
        share,
        ", ".join(f"{each.id} ({each.severity})" for each in every[:10]),
        f"{len(every)} advisories name this version.",
        f"Take a version in which they are fixed: {', '.join(fixed[:5])}."
        if fixed
        else "No version without them is known: take another server.",
    )


def _policy(found: TrustEvidence) -> SignalReading:
    said: list[tuple[EvidenceSection, bool | None]] = []
    said += [(found.repository, found.repository.security_policy)] if found.repository else []
    said += [(found.package, found.package.security_policy)] if found.package else []
    known = [(section, good) for section, good in said if good is not None]
    if not known:
        return not_known("KP2", "Neither package nor repository was read for it.")
    section, good = next((each for each in known if each[1]), known[0])
    return read_from(
        section,
        "KP2",
        1.0 if good else 0.0,
        "there" if good else "none",
        "Whoever finds a fault knows whom to tell." if good else "Nobody says whom to tell.",
        "" if good else "Its author adds a SECURITY.md.",
    )


def _cooldown(found: TrustEvidence, now: Instant) -> SignalReading:
    at = released_at(found)
    if at is None:
        return not_known("KP3", "Nobody says when this version was released.")
    section = found.index or found.repository or found.registry
    assert section is not None
    days = (now - at) // DAY
    young = cooldown_ends(found, now) is not None
    return read_from(
        section,
        "KP3",
        0.0 if young else 1.0,
        f"{max(0, days)} days old",
        "Most attacks through packages are found within days.",
        f"Wait until it is {COOLDOWN_DAYS} days old." if young else "",
    )
