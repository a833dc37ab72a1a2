"""What an MCP registry says of a server: asked by the name that its package claims, or imported.

One document fills two sections: how the registry lists it (`McpRegistry`), and what its
`server.json` declares (`McpManifest`). The name is proven by the registry that authenticated its
publisher, whose own words stand under a key of `_meta`; a record without them proves nothing.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct

from gatelodge.adapters.evidence.answers import AnswerForm, EvidenceAnswers, read_address
from gatelodge.adapters.evidence.fields import FAULTS, UNSTATED, instant, one_line, stated
from gatelodge.core.hosting.source import ArtifactSource
from gatelodge.core.ids import Instant
from gatelodge.core.trust.evidence import Lifecycle, ManifestEvidence, RegistryEvidence
from gatelodge.core.trust.sources.manifest import MOST_MANIFEST, names_package, read_manifest
from gatelodge.ports.trust.evidence import EvidenceGap, EvidenceSubject
from gatelodge.ports.world import Clock

_OFFICIAL: Final = "io.modelcontextprotocol.registry/official"
_MOST_BYTES: Final = 8 << 20
_MOST_VERSIONS: Final = 1_000
_MOST_RECORDS: Final = 10_000
_STATUSES: Final[dict[str, Lifecycle]] = {
    "active": "active",
    "deprecated": "deprecated",
    "deleted": "deleted",
}


class RegistryRecord(Struct, frozen=True, kw_only=True):
    """One version of a server: its `server.json`, and what the registry adds of itself."""

    name: str
    server: bytes
    official: bool = False
    status: str = ""
    published_at: Instant | None = None
    latest: bool = False

    def about(self, source: ArtifactSource) -> Literal["version", "package", "no", ""]:
        """Whether it is about this package (`names_package`)."""
        return names_package(msgspec.json.decode(self.server), source)


class _AnsweredRecord(Struct):
    server: Raw
    meta: Raw = msgspec.field(default=UNSTATED, name="_meta")


class _AnsweredRecords(Struct):
    servers: list[Raw]


class _ServerName(Struct):
    name: str


class _OfficialWords(Struct, rename="camel"):
    status: Raw = UNSTATED
    published_at: Raw = UNSTATED
    is_latest: Raw = UNSTATED


def read_records(body: bytes) -> tuple[RegistryRecord, ...] | None:
    """All versions, as a registry answers; None for another document."""
    try:
        page = msgspec.json.decode(body, type=_AnsweredRecords)
    except FAULTS:
        return None
    found = (read_record(bytes(each)) for each in page.servers[:_MOST_VERSIONS])
    return tuple(each for each in found if each is not None)


def read_record(body: bytes) -> RegistryRecord | None:
    """A record as a registry answers with it, or a `server.json` alone; None for neither."""
    answered = stated(Raw(body), _AnsweredRecord)
    server = answered.server if answered else Raw(body)
    name = stated(server, _ServerName)
    # What is nested too deep for one reader must not reach the next one.
    if name is None or stated(server, dict[str, Any]) is None:
        return None
    meta = stated(answered.meta, dict[str, Raw]) if answered else None
    words = stated((meta or {}).get(_OFFICIAL), _OfficialWords)
    told = words or _OfficialWords()
    return RegistryRecord(
        name=name.name,
        server=bytes(server),
        official=words is not None,
        status=stated(told.status, str) or "",
        published_at=instant(stated(told.published_at, str)),
        latest=stated(told.is_latest, bool) or False,
    )


class RegistryRecords:
    """Records of a server: those that were imported, else what the registry answers.

    `base` gives the address of a registry, or ""; `directory` where records were imported, or None.
    """

    def __init__(
        self,
        answers: EvidenceAnswers,
        clock: Clock,
        base: Callable[[], str],
        directory: Callable[[], Path | None],
    ) -> None:
        self._answers = answers
        self._clock = clock
        self._base = base
        self._directory = directory

    async def of(
        self, subject: EvidenceSubject
    ) -> tuple[tuple[RegistryRecord, ...], str, Instant] | EvidenceGap:
        """Its records, who gave them in words, and when; none where it is not listed."""
        name = subject.package.server_name if subject.package else ""
        directory = self._directory()
        if directory is not None:
            found, at = await asyncio.to_thread(_imported, directory, name, subject.source)
            if found:
                return found, "imported records of a registry", min(at, self._clock.now())
        base = self._base()
        address = read_address(base) if base else None
        if address is None:
            why = "No imported record is about it" if directory else "No MCP registry is named"
            return EvidenceGap(f"{why} (trust.mcp_registry, trust.mcp_records_dir).")
        if not name:
            return EvidenceGap("The package does not say which server of a registry it is.")
        path = f"/v0.1/servers/{quote(name, safe='')}/versions"
        said = await self._answers.document(address, path, _FORM)
        if isinstance(said, EvidenceGap):
            return said
        words = f"the MCP registry at {address.words}"
        if said is None:
            return (), words, self._clock.now()
        # Whatever else it answers with is not what was asked for.
        own = tuple(each for each in said[0] if each.name == name)
        return own, words, said[1]


class McpRegistry:
    """How a registry lists the server (`EvidenceSource`)."""

    def __init__(self, records: RegistryRecords) -> None:
        self._records = records

    @property
    def section(self) -> Literal["registry"]:
        """The name of what it fills."""
        return "registry"

    async def gather(self, subject: EvidenceSubject) -> RegistryEvidence | EvidenceGap:
        """What the registry says of the server that the package claims to be."""
        found = await self._records.of(subject)
        if isinstance(found, EvidenceGap):
            return found
        records, words, at = found
        official = tuple(each for each in records if each.official)
        if records and not official:
            return EvidenceGap("The record does not say that a registry took it in.")
        chosen, about = _best(official, subject.source)
        if chosen is None:
            return RegistryEvidence(source=words, at=at, listed=False)
        return RegistryEvidence(
            source=words,
            at=at,
            listed=True,
            name=one_line(chosen.name),
            namespace=_namespace(chosen.name),
            status=_STATUSES.get(chosen.status, ""),
            # Of another version it would say nothing about this one.
            published_at=chosen.published_at if about == "version" else None,
            names_package=about in ("version", "package") if about else None,
        )


class McpManifest:
    """What the server's `server.json` declares, as a registry has it (`EvidenceSource`)."""

    def __init__(self, records: RegistryRecords) -> None:
        self._records = records

    @property
    def section(self) -> Literal["manifest"]:
        """The name of what it fills."""
        return "manifest"

    async def gather(self, subject: EvidenceSubject) -> ManifestEvidence | EvidenceGap:
        """What is declared of this package."""
        found = await self._records.of(subject)
        if isinstance(found, EvidenceGap):
            return found
        records, words, at = found
        chosen, about = _best(records, subject.source)
        if chosen is None or about not in ("version", "package"):
            return EvidenceGap("No server.json is known that is about this package.")
        read = read_manifest(chosen.server)
        if read is None:
            return EvidenceGap("Its server.json is of a schema that is not known here.")
        other = "" if about == "version" else ", of another version"
        return ManifestEvidence(
            source=f"server.json, {words}{other}",
            at=at,
            name=one_line(read.name),
            valid=read.valid,
            fault=one_line(read.fault),
            inputs=read.inputs,
            described=read.described,
            exposed_secrets=tuple(one_line(each) for each in read.exposed_secrets),
        )


_FORM: Final = AnswerForm(
    read_records,
    most_bytes=_MOST_BYTES,
    weight=lambda it: 1 + sum(len(each.server) for each in it) // 200,
)


def _best(
    records: tuple[RegistryRecord, ...], source: ArtifactSource
) -> tuple[RegistryRecord | None, str]:
    """The record that is most about it, the newest of those; and how much it is."""
    rank = ("no", "", "package", "version").index
    told = [(each.about(source), each) for each in records]
    about, chosen = max(
        told,
        key=lambda it: (rank(it[0]), it[1].latest, it[1].published_at or 0),
        default=("", None),
    )
    return chosen, about


def _namespace(name: str) -> Literal["domain", "account", ""]:
    space = name.partition("/")[0].lower()
    if space.startswith("io.github."):
        return "account"
    return "domain" if "." in space else ""


def _imported(
    directory: Path, name: str, source: ArtifactSource
) -> tuple[tuple[RegistryRecord, ...], Instant]:
    """Records below a directory that are about it, and when the last of them was written.

    By the name that it claims; where it claims none, by the package.
    """
    found: list[RegistryRecord] = []
    newest, looked = 0, 0
    for folder, folders, files in os.walk(directory):
        folders.sort()
        for each in sorted(each for each in files if each.endswith(".json")):
            looked += 1
            if looked > _MOST_RECORDS:
                return tuple(found), Instant(newest)
            record, written = _read_file(Path(folder, each))
            if record and (record.name == name if name else _is_about(record, source)):
                found.append(record)
                newest = max(newest, written)
    return tuple(found), Instant(newest)


def _is_about(record: RegistryRecord, source: ArtifactSource) -> bool:
    return record.about(source) in ("version", "package")


def _read_file(path: Path) -> tuple[RegistryRecord | None, int]:
    """The record in a file, and the microsecond in which that was written."""
    try:
        with path.open("rb") as file:
            body = file.read(MOST_MANIFEST + 1)
            written = os.fstat(file.fileno()).st_mtime_ns // 1_000
    except OSError:
        return None, 0
    return (read_record(body) if len(body) <= MOST_MANIFEST else None), written
