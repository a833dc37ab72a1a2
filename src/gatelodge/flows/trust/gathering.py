"""Evidence about an image, gathered from every source there is; one that fails is a gap.

Nobody waits for a slow source longer than `SECONDS`, and no fault of one takes the others along.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from gatelodge.core.errors import HouseError
from gatelodge.core.hosting.source import ArtifactSource, read_source
from gatelodge.core.trust.evidence import (
    EvidenceSection,
    IndexEvidence,
    LaunchEvidence,
    TrustEvidence,
)
from gatelodge.ports.trust.evidence import (
    EvidenceGap,
    EvidenceSource,
    EvidenceStore,
    EvidenceSubject,
    PackageReader,
)
from gatelodge.ports.world import Clock

SECONDS: Final = 30.0
UNSEEN: Final = "It was not started yet: its card comes first."
_SEEN_LATER: Final = ("start", "interface")


class EvidenceGathering(Struct, frozen=True, kw_only=True):
    """Asks every source about an image; `sources` each fill one section, `kept` keeps the whole."""

    kept: EvidenceStore
    reader: PackageReader
    sources: Sequence[EvidenceSource]
    clock: Clock

    async def gather(self, source_text: str, image: str) -> TrustEvidence:
        """All that is known of it now. Raises Invalid, UpstreamUnreachable (no such image)."""
        source = read_source(source_text)
        at = self.clock.now()
        read = await self.reader.read_package(source, image)
        subject = EvidenceSubject(
            source=source, image=image, package=read.package, index=read.index
        )
        told = await asyncio.gather(*(self._ask(each, subject) for each in self.sources))
        found: dict[str, Any] = {"package": read.package, "launch": _launch(source, image, at)}
        gaps = dict.fromkeys(_SEEN_LATER, UNSEEN)
        for each, said in zip(self.sources, told, strict=True):
            if isinstance(said, EvidenceGap):
                gaps.setdefault(each.section, said.why)
            else:
                found[each.section] = said
        if "index" not in found and read.released_at is not None:
            # The index told it when the package was fetched; of all else that it knows, nothing.
            found["index"] = IndexEvidence(
                source="the lock of the image", at=at, released_at=read.released_at
            )
        gaps = {name: why for name, why in gaps.items() if name not in found}
        return TrustEvidence(subject=source_text, at=at, gaps=gaps, **found)

    async def _ask(
        self, source: EvidenceSource, subject: EvidenceSubject
    ) -> EvidenceSection | EvidenceGap:
        try:
            async with asyncio.timeout(SECONDS):
                return await source.gather(subject)
        except (TimeoutError, HouseError) as fault:
            why = fault.detail if isinstance(fault, HouseError) else "it gave no answer in time"
            return EvidenceGap(f"The source could not be asked: {why}.")


def _launch(source: ArtifactSource, image: str, at: Any) -> LaunchEvidence:
    words = (source.text, image)
    return LaunchEvidence(source="the definition", at=at, exact=True, words=words)
