"""The index of whatever kind a package is of, as one source."""

from collections.abc import Mapping
from typing import Final, Literal

from gatelodge.core.hosting.source import SourceKind
from gatelodge.core.trust.evidence import EvidenceSection
from gatelodge.ports.trust.evidence import EvidenceGap, EvidenceSource, EvidenceSubject

_NONE: Final = "It is no package of an index."


class PackageIndexes:
    """Asks the index that is for this kind of package (`EvidenceSource`)."""

    def __init__(self, indexes: Mapping[SourceKind, EvidenceSource]) -> None:
        self._indexes = indexes

    @property
    def section(self) -> Literal["index"]:
        """The name of what they fill."""
        return "index"

    async def gather(self, subject: EvidenceSubject) -> EvidenceSection | EvidenceGap:
        """What the index says of this version."""
        index = self._indexes.get(subject.source.kind)
        return EvidenceGap(_NONE) if index is None else await index.gather(subject)
