"""Advisories that an operator imported: folders and archives of OSV files, read as they lie there.

An archive of everything holds some hundred thousand files. Each is looked through for the name of
the package, and only what names it is read; nothing is unpacked to the disk. What cannot be read is
counted: files that were left out give no clean bill.
"""

import asyncio
import os
import re
import threading
import time
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from gatelodge.adapters.evidence.fields import instant
from gatelodge.core.ids import Instant
from gatelodge.core.trust.evidence import AdvisoryEvidence, KnownVulnerability
from gatelodge.core.trust.sources.advisories import MOST_ADVISORY, match_advisory, read_advisory
from gatelodge.core.trust.sources.versions import Ecosystem
from gatelodge.ports.trust.evidence import EvidenceGap, EvidenceSubject
from gatelodge.ports.world import Clock

_ECOSYSTEMS: Final[tuple[Ecosystem, ...]] = ("pypi", "npm")
_MODIFIED: Final = re.compile(rb'"modified"\s*:\s*"([0-9TZ:.+-]{10,40})"')
_MOST_TOLD: Final = 100
_MOST_KEPT: Final = 256


class AdvisoryBounds(Struct, frozen=True, kw_only=True):
    """What may be read for one package."""

    files: int = 500_000
    bytes: int = 4 << 30
    seconds: float = 25.0


class _AdvisoryScan(Struct):
    """What came of looking through all of it."""

    files: int = 0
    size: int = 0
    left_out: int = 0
    about: int = 0
    newest: str = ""
    found: dict[str, KnownVulnerability] = {}
    ended: bool = True


class ImportedAdvisories:
    """Advisories below a directory, for packages of Python and Node (`EvidenceSource`).

    `directory` is asked each time; None = none was imported.
    """

    def __init__(
        self,
        directory: Callable[[], Path | None],
        clock: Clock,
        bounds: AdvisoryBounds | None = None,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._bounds = bounds or AdvisoryBounds()
        self._known: OrderedDict[str, tuple[object, AdvisoryEvidence | EvidenceGap]] = OrderedDict()
        self._one = asyncio.Lock()

    @property
    def section(self) -> Literal["advisories"]:
        """The name of what it fills."""
        return "advisories"

    async def gather(self, subject: EvidenceSubject) -> AdvisoryEvidence | EvidenceGap:
        """What the advisories say of this version."""
        ecosystem = next((each for each in _ECOSYSTEMS if each == subject.source.kind), None)
        directory = self._directory()
        if ecosystem is None:
            return EvidenceGap("Advisories are matched for packages of Python and Node.")
        if directory is None:
            return EvidenceGap("No advisories were imported (trust.advisories_dir).")
        stop = threading.Event()
        async with self._one:
            reading = asyncio.ensure_future(
                asyncio.to_thread(self._read, directory, ecosystem, subject, stop)
            )
            try:
                return await asyncio.shield(reading)
            finally:
                # No thread can be cancelled: it sees this, and nobody else looks meanwhile.
                stop.set()
                await asyncio.wait((reading,))

    def _read(
        self, directory: Path, ecosystem: Ecosystem, subject: EvidenceSubject, stop: threading.Event
    ) -> AdvisoryEvidence | EvidenceGap:
        source = subject.source
        try:
            paths = _paths(directory, ecosystem)
            state = [(path, it.st_size, it.st_mtime_ns) for path in paths for it in (path.stat(),)]
        except OSError:
            return EvidenceGap("The directory of advisories cannot be read.")
        known = self._known.get(source.text)
        if known is not None and known[0] == state:
            return known[1]
        scan = _AdvisoryScan()
        self._scan(paths, ecosystem, subject, scan, stop)
        newest = max((mtime // 1_000 for _, _, mtime in state), default=0)
        said = self._said(scan, Instant(newest), source.kind)
        if scan.ended:
            self._known[source.text] = (state, said)
            while len(self._known) > _MOST_KEPT:
                self._known.popitem(last=False)
        return said

    def _said(
        self, scan: _AdvisoryScan, newest: Instant, kind: str
    ) -> AdvisoryEvidence | EvidenceGap:
        if not scan.ended:
            return EvidenceGap(
                f"The imported advisories are too many to be read in time ({scan.files} were)."
            )
        if not scan.files:
            return EvidenceGap(f"No advisories of {kind} were imported.")
        left = f"{scan.left_out} of {scan.files} files could not be read or decided"
        if scan.left_out and not scan.found:
            return EvidenceGap(f"No imported advisory names it, but {left}.")
        now = self._clock.now()
        as_of = instant(scan.newest) or newest
        more = f"; {left}" if scan.left_out else ""
        return AdvisoryEvidence(
            source=f"imported advisories, {scan.files} files{more}",
            at=now,
            as_of=min(as_of, now),
            vulnerabilities=tuple(scan.found[each] for each in sorted(scan.found))[:_MOST_TOLD],
        )

    def _scan(
        self,
        paths: list[Path],
        ecosystem: Ecosystem,
        subject: EvidenceSubject,
        scan: _AdvisoryScan,
        stop: threading.Event,
    ) -> None:
        source, ends = subject.source, time.monotonic() + self._bounds.seconds
        named = _named(source.name)
        for body in _bodies(paths):
            scan.files += 1
            scan.size += len(body or b"")
            late = stop.is_set() or time.monotonic() > ends
            if late or scan.files > self._bounds.files or scan.size > self._bounds.bytes:
                scan.ended = False
                return
            # What was cut off, or is no JSON at all, could have been about any package.
            if body is None or not body.rstrip().endswith(b"}"):
                scan.left_out += 1
                continue
            told = _MODIFIED.search(body)
            scan.newest = max(scan.newest, told[1].decode() if told else "")
            if named.search(body) is None:
                continue
            advisory = read_advisory(body)
            if advisory is None:
                scan.left_out += 1
                continue
            said, vulnerability = match_advisory(advisory, ecosystem, source.name, source.version)
            scan.left_out += said == "undecided"
            if vulnerability is not None:
                scan.found[vulnerability.id] = vulnerability


def _named(name: str) -> re.Pattern[bytes]:
    """The name as it may be spelled in an advisory; a slash may be escaped there."""
    parts = re.split(r"[-_.]+", name.rpartition("/")[2])
    return re.compile(b"[-_.]+".join(re.escape(part.encode()) for part in parts), re.IGNORECASE)


def _paths(directory: Path, ecosystem: Ecosystem) -> list[Path]:
    """Files and archives below it; folders and archives of other ecosystems are passed by.

    Raises OSError.
    """
    others = {each for each in _ECOSYSTEMS if each != ecosystem}
    found: list[Path] = []

    def refuse(fault: OSError) -> None:
        raise fault

    for folder, folders, files in os.walk(directory, onerror=refuse):
        folders[:] = sorted(each for each in folders if each.lower() not in others)
        found += [
            Path(folder, each)
            for each in sorted(files)
            if each.endswith((".json", ".zip")) and each.lower().removesuffix(".zip") not in others
        ]
    return found


def _bodies(paths: list[Path]) -> Iterator[bytes | None]:
    """Each advisory's bytes; None for what cannot be read, or is too large."""
    for path in paths:
        if path.suffix == ".zip":
            yield from _archived(path)
            continue
        try:
            with path.open("rb") as file:
                body = file.read(MOST_ADVISORY + 1)
        except OSError:
            yield None
        else:
            yield body if len(body) <= MOST_ADVISORY else None


def _archived(path: Path) -> Iterator[bytes | None]:
    try:
        archive = zipfile.ZipFile(path)
    except _BROKEN:
        yield None
        return
    with archive:
        for info in archive.infolist():
            if info.is_dir() or not info.filename.endswith(".json"):
                continue
            try:
                with archive.open(info) as file:
                    body = file.read(MOST_ADVISORY + 1)
            except _BROKEN:
                yield None
            else:
                yield body if len(body) <= MOST_ADVISORY else None


_BROKEN: Final = (
    OSError,
    EOFError,
    RuntimeError,  # also an encryption or a compression that is not known here
    ValueError,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
)
