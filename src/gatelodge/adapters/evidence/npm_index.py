"""What a registry of Node packages says of a version: its packument, of which mirrors strip much.

What is missing means something only where the registry shows that it leaves nothing out: one that
names maintainers would say that a version is deprecated, one that signs would name attestations.
"""

from collections.abc import Callable
from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from gatelodge.adapters.evidence.answers import GONE, AnswerForm, EvidenceAnswers, read_address
from gatelodge.adapters.evidence.fields import (
    FAULTS,
    UNSTATED,
    instant,
    lines,
    one_line,
    stated,
)
from gatelodge.core.ids import Instant
from gatelodge.core.trust.evidence import IndexEvidence, Lifecycle
from gatelodge.core.trust.sources.times import doubt_of_time
from gatelodge.ports.trust.evidence import EvidenceGap, EvidenceSubject

_MOST_BYTES: Final = 32 << 20
_MOST_VERSIONS: Final = 20_000
_HELD: Final = "-security"
"""The end of the version that the registry puts in place of a package that it took away."""


class NpmRelease(Struct, frozen=True):
    """One version; `deprecated` is None where nothing is said, else the words or ""."""

    at: Instant | None = None
    deprecated: str | None = None
    attested: bool | None = None
    publisher: str = ""


class NpmProject(Struct, frozen=True, kw_only=True):
    """What a packument says; `unpublished` when all of it was taken back."""

    releases: dict[str, NpmRelease]
    latest: str = ""
    maintainers: tuple[str, ...] | None = None
    unpublished: bool = False


class _NpmPage(Struct):
    name: str
    versions: Raw = UNSTATED
    time: Raw = UNSTATED
    maintainers: Raw = UNSTATED
    tags: Raw = msgspec.field(default=UNSTATED, name="dist-tags")


class _NpmVersion(Struct):
    deprecated: Raw = UNSTATED
    dist: Raw = UNSTATED
    publisher: Raw = msgspec.field(default=UNSTATED, name="_npmUser")


class _NpmDist(Struct):
    attestations: Raw = UNSTATED
    signatures: Raw = UNSTATED


class _NpmPerson(Struct):
    name: str


def read_packument(body: bytes) -> NpmProject | None:
    """A packument; None for another document."""
    try:
        page = msgspec.json.decode(body, type=_NpmPage)
    except FAULTS:
        return None
    times = stated(page.time, dict[str, Raw]) or {}
    versions = stated(page.versions, dict[str, Raw]) or {}
    tags = stated(page.tags, dict[str, Raw]) or {}
    releases = {
        version: _release(stated(raw, _NpmVersion), instant(stated(times.get(version), str)))
        for version, raw in list(versions.items())[:_MOST_VERSIONS]
    }
    return NpmProject(
        releases=releases,
        latest=stated(tags.get("latest"), str) or "",
        maintainers=_names(page.maintainers),
        unpublished="unpublished" in times and not versions,
    )


class NpmIndex:
    """The registry that a Node package came from (`EvidenceSource`).

    `settings` gives the address of this machine's registry for a package's name, or "".
    """

    def __init__(self, answers: EvidenceAnswers, settings: Callable[[str], str]) -> None:
        self._answers = answers
        self._settings = settings

    @property
    def section(self) -> Literal["index"]:
        """The name of what it fills."""
        return "index"

    async def gather(self, subject: EvidenceSubject) -> IndexEvidence | EvidenceGap:
        """What the registry says of this version."""
        source = subject.source
        if source.kind != "npm":
            return EvidenceGap("It is no package of a Node registry.")
        own = self._settings(source.name)
        address = read_address(subject.index or own, own)
        if address is None:
            return EvidenceGap("No registry of Node packages is named by this machine's settings.")
        path = "/" + source.name.replace("/", "%2f")
        found = await self._answers.document(address, path, _FORM)
        if isinstance(found, EvidenceGap):
            return found
        if found is None:
            return EvidenceGap(f"{address.words} does not have this package.")
        project, at = found
        release = project.releases.get(source.version)
        lifecycle, reason = _lifecycle(project, release)
        if release is None and not lifecycle and subject.index and project.releases:
            lifecycle, reason = "deleted", GONE
        if release is None and not lifecycle:
            return EvidenceGap(f"{address.words} does not list this version.")
        release = release or NpmRelease()
        times = {text: each.at for text, each in project.releases.items() if each.at is not None}
        released = release.at
        doubt = doubt_of_time("npm", source.version, released, times, at) if released else ""
        people = [*(project.maintainers or ()), release.publisher]
        missing = {
            "release times": released is None,
            "maintainers": project.maintainers is None,
            "deprecation": not lifecycle,
            "attestations": release.attested is None,
        }
        return IndexEvidence(
            source=f"the registry at {address.words}",
            at=at,
            released_at=released,
            time_doubt=doubt,
            latest=one_line(project.latest),
            versions=len(project.releases),
            lifecycle=lifecycle,
            lifecycle_reason=reason,
            publishers=lines(people),
            attested=release.attested,
            missing=tuple(name for name, gone in missing.items() if gone),
        )


_FORM: Final = AnswerForm(
    read_packument, most_bytes=_MOST_BYTES, weight=lambda it: 1 + len(it.releases)
)


def _release(told: _NpmVersion | None, at: Instant | None) -> NpmRelease:
    if told is None:
        return NpmRelease(at)
    dist = stated(told.dist, _NpmDist) or _NpmDist()
    attested: bool | None = True if stated(dist.attestations, dict[str, Raw]) else None
    signed = stated(dist.signatures, list[Raw])
    if attested is None and signed:
        attested = False
    words = stated(told.deprecated, str)
    if words is None and stated(told.deprecated, bool):
        words = "deprecated"
    person = stated(told.publisher, _NpmPerson)
    name = one_line(person.name) if person else ""
    return NpmRelease(at, one_line(words) if words is not None else None, attested, name)


def _names(raw: Raw | None) -> tuple[str, ...] | None:
    told = stated(raw, list[Raw])
    if told is None:
        return None
    people = [stated(each, _NpmPerson) for each in told[:200]]
    return lines(each.name for each in people if each)


def _lifecycle(
    project: NpmProject, release: NpmRelease | None
) -> tuple[Lifecycle | Literal[""], str]:
    if project.unpublished:
        return "deleted", "Its publisher took all of it back."
    if project.latest.endswith(_HELD):
        return "quarantined", "The registry took it away, and keeps its name from others."
    if release is None:
        return "", ""
    if release.deprecated:
        return "deprecated", release.deprecated
    if release.deprecated == "" or project.maintainers is not None:
        return "active", ""
    return "", ""
