"""What is known of servers before they are installed: asked outside, and kept under its digest."""

from typing import Protocol

from msgspec import Struct

from gatelodge.core.hosting.source import ArtifactSource
from gatelodge.core.ids import Instant
from gatelodge.core.trust.evidence import EvidenceSection, PackageEvidence


class EvidenceSubject(Struct, frozen=True, kw_only=True):
    """What evidence is wanted of: its source, its image where it is built, what it says itself.

    `index` is the address that its package came from, as its lock says; empty = not known.
    """

    source: ArtifactSource
    image: str = ""
    package: PackageEvidence | None = None
    index: str = ""


class EvidenceGap(Struct, frozen=True):
    """Why a source says nothing, in words that stand on the card; never a login or a query."""

    why: str


class EvidenceSource(Protocol):
    """One place that knows something: an index, a registry, a repository, imported advisories.

    `section` is the name of the section of evidence that it fills. It asks at most once for each
    package within its time of keeping, bounded in time and bytes.
    """

    @property
    def section(self) -> str:
        """The name of what it fills."""
        ...

    async def gather(self, subject: EvidenceSubject) -> EvidenceSection | EvidenceGap:
        """What it says. Never raises for a source that is away, or answers what nobody can read."""
        ...


class PackageReading(Struct, frozen=True, kw_only=True):
    """What a package says, the address of the index that it came from, when it was released.

    The last two are as its lock has them: empty and None where that does not say.
    """

    package: PackageEvidence
    index: str = ""
    released_at: Instant | None = None


class PackageReader(Protocol):
    """Reads what an image says of itself, without running anything of it."""

    async def read_package(self, source: ArtifactSource, image: str) -> PackageReading:
        """What it says, and its lock of it. Raises UpstreamUnreachable."""
        ...


class EvidenceStore(Protocol):
    """Keeps encoded evidence under its SHA-256, for ever: cards of before must stay readable."""

    async def keep(self, digest: str, body: bytes) -> None:
        """Keep it; what is there already stays. Raises StoreDown."""
        ...

    async def get(self, digest: str) -> bytes | None:
        """The evidence of that digest, as it was kept; None when there is none."""
        ...
