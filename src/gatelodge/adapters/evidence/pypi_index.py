"""What an index of Python packages says of a version.

Two documents, each optional: the simple API as JSON (PEP 691, 700, 740, 792), which every index may
have, and the JSON API beside it, which tells of owners and vulnerabilities. The list of
vulnerabilities speaks of one version, which is the newest unless it was asked of another.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Literal
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct
from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename

from gatelodge.adapters.evidence.answers import (
    GONE,
    AnswerForm,
    EvidenceAnswers,
    SourceAddress,
    read_address,
)
from gatelodge.adapters.evidence.fields import (
    FAULTS,
    UNSTATED,
    instant,
    lines,
    one_line,
    stated,
)
from gatelodge.core.ids import Instant
from gatelodge.core.trust.evidence import IndexEvidence, KnownVulnerability, Lifecycle
from gatelodge.core.trust.sources.times import doubt_of_time
from gatelodge.core.trust.sources.versions import is_preview, same_version, version_order
from gatelodge.ports.trust.evidence import EvidenceGap, EvidenceSubject

_SIMPLE: Final = "/simple"
_JSON: Final = "application/vnd.pypi.simple.v1+json"
_MOST_BYTES: Final = 32 << 20
_MOST_FILES: Final = 50_000
_MOST_VULNERABILITIES: Final = 200
_STATUSES: Final[dict[str, Lifecycle]] = {
    "active": "active",
    "archived": "archived",
    "deprecated": "deprecated",
    "quarantined": "quarantined",
}


class PypiRelease(Struct):
    """One version, of what its files say; None = not stated."""

    at: Instant | None = None
    yanked: bool | None = None
    reason: str = ""
    attested: bool | None = None

    def add_file(self, file: "_PypiFile") -> None:
        """One more file of it: the first says when, all have to be yanked."""
        at = instant(stated(file.upload_time, str) or stated(file.uploaded, str))
        if at is not None and (self.at is None or at < self.at):
            self.at = at
        yanked = stated(file.yanked, bool | str)  # type: ignore[arg-type]
        if yanked is not None:
            gone = yanked is not False
            self.yanked = gone if self.yanked is None else self.yanked and gone
            self.reason = self.reason or one_line(
                yanked if isinstance(yanked, str) else stated(file.yanked_reason, str)
            )
        if bytes(file.provenance):
            proven = stated(file.provenance, str) is not None
            self.attested = bool(self.attested) or proven


class PypiProject(Struct, frozen=True, kw_only=True):
    """What one document says of a project; `about` is the version that its vulnerabilities are of.

    `status` is that of the project (PEP 792).
    """

    releases: dict[str, PypiRelease] = {}
    latest: str = ""
    status: str = ""
    status_reason: str = ""
    publishers: tuple[str, ...] | None = None
    about: str = ""
    vulnerabilities: tuple[KnownVulnerability, ...] | None = None


class _PypiFile(Struct, rename="kebab"):
    filename: Raw = UNSTATED
    upload_time: Raw = UNSTATED
    uploaded: Raw = msgspec.field(default=UNSTATED, name="upload_time_iso_8601")
    yanked: Raw = UNSTATED
    yanked_reason: Raw = msgspec.field(default=UNSTATED, name="yanked_reason")
    provenance: Raw = UNSTATED


class _ProjectStatus(Struct):
    status: Raw = UNSTATED
    reason: Raw = UNSTATED


class _SimplePage(Struct, rename="kebab"):
    files: list[Raw]
    project_status: Raw = UNSTATED


class _ProjectInfo(Struct):
    version: Raw = UNSTATED


class _ProjectPage(Struct):
    info: _ProjectInfo
    releases: Raw = UNSTATED
    ownership: Raw = UNSTATED
    vulnerabilities: Raw = UNSTATED
    project_status: Raw = msgspec.field(default=UNSTATED, name="project-status")


class _OwnerRole(Struct):
    user: str = ""


class _PypiOwnership(Struct):
    organization: Raw = UNSTATED
    roles: Raw = UNSTATED


class _PypiVulnerability(Struct):
    id: str
    summary: Raw = UNSTATED
    details: Raw = UNSTATED
    fixed_in: Raw = UNSTATED
    withdrawn: Raw = UNSTATED


def read_simple(body: bytes) -> PypiProject | None:
    """A project of the simple API in JSON; None for another document."""
    try:
        page = msgspec.json.decode(body, type=_SimplePage)
    except FAULTS:
        return None
    releases: dict[str, PypiRelease] = {}
    for raw in page.files[:_MOST_FILES]:
        file = stated(raw, _PypiFile)
        version = _version_of_file(stated(file.filename, str) or "") if file else ""
        if file and version:
            releases.setdefault(version, PypiRelease()).add_file(file)
    status, reason = _status(page.project_status)
    return PypiProject(releases=releases, status=status, status_reason=reason)


def read_project(body: bytes) -> PypiProject | None:
    """A project of the JSON API, or one version of it; None for another document."""
    try:
        page = msgspec.json.decode(body, type=_ProjectPage)
    except FAULTS:
        return None
    releases: dict[str, PypiRelease] = {}
    listed = stated(page.releases, dict[str, Raw]) or {}
    for version, raw in list(listed.items())[:_MOST_FILES]:
        release = PypiRelease()
        for each in (stated(raw, list[Raw]) or [])[:100]:
            file = stated(each, _PypiFile)
            if file:
                release.add_file(file)
        releases[version] = release
    status, reason = _status(page.project_status)
    about = stated(page.info.version, str) or ""
    return PypiProject(
        releases=releases,
        latest=about,
        status=status,
        status_reason=reason,
        publishers=_publishers(stated(page.ownership, _PypiOwnership)),
        about=about,
        vulnerabilities=_vulnerabilities(page.vulnerabilities),
    )


class PypiIndex:
    """The index that a Python package came from (`EvidenceSource`).

    `settings` gives the address of this machine's index for a package's name, such as
    `https://HOST/simple`, or "".
    """

    def __init__(self, answers: EvidenceAnswers, settings: Callable[[str], str]) -> None:
        self._answers = answers
        self._settings = settings

    @property
    def section(self) -> Literal["index"]:
        """The name of what it fills."""
        return "index"

    async def gather(self, subject: EvidenceSubject) -> IndexEvidence | EvidenceGap:
        """What the index says of this version."""
        if subject.source.kind != "pypi":
            return EvidenceGap("It is no package of a Python index.")
        own = self._settings(subject.source.name)
        address = read_address(subject.index or own, own)
        if address is None:
            return EvidenceGap("No index of Python packages is named by this machine's settings.")
        documents = await self._documents(address, subject)
        if isinstance(documents, EvidenceGap):
            return documents
        simple, project, exact, at = documents
        # Not each index has both documents.
        releases = simple.releases or project.releases
        version = subject.source.version
        release, second = _find(releases, version), _find(project.releases, version)
        if release is None and not (subject.index and releases):
            return EvidenceGap(f"{address.words} does not list this version.")
        lifecycle, reason = _lifecycle(simple, project, release, second)
        release = release or PypiRelease()
        released = release.at or (second.at if second else None)
        attested, vulnerabilities = release.attested, exact
        times = {text: each.at for text, each in releases.items() if each.at is not None}
        missing = {
            "release times": released is None,
            "owners": project.publishers is None,
            "project status": not (simple.status or project.status),
            "attestations": attested is None,
            "vulnerabilities of this version": vulnerabilities is None,
        }
        return IndexEvidence(
            source=f"the index at {address.words}",
            at=at,
            released_at=released,
            time_doubt=doubt_of_time("pypi", version, released, times, at) if released else "",
            latest=one_line(project.latest or _latest(releases)),
            versions=len(releases),
            lifecycle=lifecycle,
            lifecycle_reason=reason,
            publishers=project.publishers or (),
            attested=attested,
            vulnerabilities=vulnerabilities,
            missing=tuple(name for name, gone in missing.items() if gone),
        )

    async def _documents(
        self, address: SourceAddress, subject: EvidenceSubject
    ) -> (
        tuple[PypiProject, PypiProject, tuple[KnownVulnerability, ...] | None, Instant]
        | EvidenceGap
    ):
        """The simple API's, the JSON API's, the vulnerabilities of this version, and the time."""
        name = canonicalize_name(subject.source.name)
        base = SourceAddress(address.url.removesuffix(_SIMPLE), address.login)
        asking = [self._answers.document(address, f"/{name}/", _SIMPLE_FORM)]
        if base.url != address.url:
            path = f"/pypi/{name}/json"
            asking.append(self._answers.document(base, path, _PROJECT_FORM))
        # Both at once: one that is slow must not use up the time of the other.
        simple, project = [*await asyncio.gather(*asking), None][:2]
        found = [each for each in (simple, project) if isinstance(each, tuple)]
        if not found:
            gaps = [each for each in (simple, project) if isinstance(each, EvidenceGap)]
            return gaps[0] if gaps else EvidenceGap(f"{address.words} does not have this package.")
        plain = simple[0] if isinstance(simple, tuple) else PypiProject()
        rich = project[0] if isinstance(project, tuple) else PypiProject()
        exact = _about(rich, subject.source.version)
        if exact is None and rich.about:
            path = f"/pypi/{name}/{quote(subject.source.version)}/json"
            one = await self._answers.document(base, path, _PROJECT_FORM)
            exact = _about(one[0], subject.source.version) if isinstance(one, tuple) else None
        return plain, rich, exact, min(at for _, at in found)


_SIMPLE_FORM: Final = AnswerForm(read_simple, _JSON, _MOST_BYTES, lambda it: 1 + len(it.releases))
_PROJECT_FORM: Final = AnswerForm(
    read_project, most_bytes=_MOST_BYTES, weight=lambda it: 1 + len(it.releases)
)


def _version_of_file(name: str) -> str:
    if len(name) > 300:
        return ""
    try:
        if name.endswith(".whl"):
            return str(parse_wheel_filename(name)[1])
        return str(parse_sdist_filename(name)[1])
    except ValueError:
        return ""


def _status(raw: Raw | None) -> tuple[str, str]:
    told = stated(raw, _ProjectStatus)
    if told is None:
        return "", ""
    return one_line(stated(told.status, str)), one_line(stated(told.reason, str))


def _publishers(told: _PypiOwnership | None) -> tuple[str, ...] | None:
    if told is None:
        return None
    roles = [stated(each, _OwnerRole) for each in (stated(told.roles, list[Raw]) or [])[:200]]
    names = [each.user for each in roles if each]
    return lines([stated(told.organization, str) or "", *names])


def _vulnerabilities(raw: Raw | None) -> tuple[KnownVulnerability, ...] | None:
    told = stated(raw, list[Raw])
    if told is None:
        return None
    found: list[KnownVulnerability] = []
    for each in told[:_MOST_VULNERABILITIES]:
        one = stated(each, _PypiVulnerability)
        # One that cannot be read is none of the index' words, and the list is then not whole.
        if one is None:
            return None
        if stated(one.withdrawn, str):
            continue
        text = stated(one.summary, str) or stated(one.details, str)
        fixed = lines(stated(one.fixed_in, list[str]) or ())
        found.append(
            KnownVulnerability(id=one_line(one.id), summary=one_line(text), fixed_in=fixed)
        )
    return tuple(found)


def _find(releases: dict[str, PypiRelease], version: str) -> PypiRelease | None:
    """The release that is called so, in whatever spelling."""
    name = version if version in releases else ""
    name = name or next((each for each in releases if same_version("pypi", each, version)), "")
    return releases.get(name)


def _about(project: PypiProject, version: str) -> tuple[KnownVulnerability, ...] | None:
    """The vulnerabilities of this version; None where the index speaks of another one."""
    known = project.about and same_version("pypi", project.about, version)
    return project.vulnerabilities if known else None


def _lifecycle(
    simple: PypiProject,
    project: PypiProject,
    release: PypiRelease | None,
    second: PypiRelease | None,
) -> tuple[Lifecycle | Literal[""], str]:
    """The worst that is said of project and version; "active" where that is said."""
    status: Lifecycle | Literal[""] = _STATUSES.get(simple.status or project.status, "")
    reason = simple.status_reason or project.status_reason
    if status == "quarantined":
        return status, reason
    if release is None:
        return "deleted", GONE
    for each in (release, second):
        if each is not None and each.yanked:
            return "yanked", each.reason
    if status:
        return status, reason
    told = [each for each in (release, second) if each is not None and each.yanked is False]
    return ("active", "") if told else ("", "")


def _latest(releases: dict[str, PypiRelease]) -> str:
    """The newest version that is neither yanked nor a preview."""
    orders = [(version_order("pypi", each), each) for each in releases if not releases[each].yanked]
    good = [(order, each) for order, each in orders if order is not None and not is_preview(order)]
    return max(good)[1] if good else ""
