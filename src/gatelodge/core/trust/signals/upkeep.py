"""Upkeep: whether somebody works on it, and whether it is still meant to be used."""

from collections.abc import Iterable
from math import log1p
from typing import Final

from gatelodge.core.ids import Instant
from gatelodge.core.trust.evidence import EvidenceSection, Lifecycle, TrustEvidence
from gatelodge.core.trust.signals.reading import DAY, SignalReading, not_known, read_from

COOLDOWN_DAYS: Final = 7
_RECENT: Final = ((90, 1.0), (180, 0.8), (365, 0.6), (540, 0.2))
_FULL_COMMITS: Final = 30
_REVISIONS: Final = (("2025-11-25", 1.0), ("2025-06-18", 2 / 3), ("2025-03-26", 1 / 3))


def read_upkeep(found: TrustEvidence, now: Instant) -> Iterable[SignalReading]:
    """UP1 to UP5."""
    yield _recency(found, now)
    yield from _people(found)
    yield _lifecycle(found)
    yield _revision(found)


def released_at(found: TrustEvidence) -> Instant | None:
    """When this version was released: by the index while its times can be right."""
    index, repository, registry = found.index, found.repository, found.registry
    if index is not None and index.released_at is not None and not index.time_doubt:
        return index.released_at
    if repository is not None and repository.tag_at is not None:
        return repository.tag_at
    return registry.published_at if registry is not None else None


def end_of_life(found: TrustEvidence) -> tuple[Lifecycle, str] | None:
    """Which end it has come to, and who says so; None when none is known."""
    index, registry, repository = found.index, found.registry, found.repository
    if index is not None and index.lifecycle and index.lifecycle != "active":
        return index.lifecycle, index.lifecycle_reason or index.source
    if registry is not None and registry.status and registry.status != "active":
        return registry.status, registry.source
    if repository is not None and repository.archived:
        return "archived", repository.source
    return None


def _recency(found: TrustEvidence, now: Instant) -> SignalReading:
    at = released_at(found)
    if at is None:
        doubt = found.index.time_doubt if found.index else found.gaps.get("index", "")
        return not_known("UP1", doubt or "Nobody says when this version was released.")
    every = (found.index, found.repository, found.registry)
    section = next(each for each in every if each is not None and at in _times(each))
    days = max(0, (now - at) // DAY)
    share = next((share for most, share in _RECENT if days <= most), 0.0)
    return read_from(
        section,
        "UP1",
        share,
        f"{days} days ago",
        "How long this version has been the one to take.",
        "" if share >= 1 else "Look for a newer version, or for another server.",
    )


def _times(section: EvidenceSection) -> tuple[Instant | None, ...]:
    """The times of a release that it tells."""
    names = ("released_at", "tag_at", "published_at")
    return tuple(getattr(section, name, None) for name in names)


def _people(found: TrustEvidence) -> Iterable[SignalReading]:
    section = found.repository
    if section is None:
        why = found.gaps.get("repository", "The repository was not read.")
        yield not_known("UP2", why, "Mirror it below trust.git_mirrors.")
        yield not_known("UP3", why)
        return
    velocity = min(1.0, log1p(section.commits_90) / log1p(_FULL_COMMITS))
    yield read_from(
        section,
        "UP2",
        velocity,
        f"{section.commits_90} commits in 90 days",
        "People's commits on the server's own folder, without bots.",
        "" if velocity >= 1 else "Ask whether somebody still answers for it.",
    )
    yield read_from(
        section,
        "UP3",
        min(section.half_of_year, 3) / 3,
        f"{section.half_of_year} people",
        "So many people made half of a year's commits.",
        "" if section.half_of_year >= 3 else "Know what you would do when they stop.",
    )


def _lifecycle(found: TrustEvidence) -> SignalReading:
    index, registry, repository = found.index, found.registry, found.repository
    ended = end_of_life(found)
    section = (
        (index if index and index.lifecycle else None)
        or (registry if registry and registry.status else None)
        or (repository if repository and repository.archived is not None else None)
    )
    if section is None:
        return not_known("UP4", "No source says whether it is deprecated, yanked or archived.")
    if ended is None:
        return read_from(section, "UP4", 1.0, "active", "Nobody gave it up.")
    return read_from(
        section,
        "UP4",
        0.0,
        ended[0],
        f"It came to its end: {ended[1]}",
        "Take what replaces it.",
    )


def _revision(found: TrustEvidence) -> SignalReading:
    start = found.start
    if start is None or not start.started or not start.revision:
        why = "What it agreed to is not known." if start else "It was not started yet."
        return not_known("UP5", found.gaps.get("start", start.why if start and start.why else why))
    share = next((share for least, share in _REVISIONS if start.revision >= least), 0.0)
    return read_from(
        start,
        "UP5",
        share,
        start.revision or "none",
        "The newest revision of the protocol that it agreed to.",
        "" if share >= 1 else "Take a newer version of it.",
    )
