"""Where evidence about servers comes from, in this house."""

from gatelodge.adapters.store.shared.evidence import SqlEvidence
from gatelodge.app.build import OpenResources
from gatelodge.flows.trust.gathering import EvidenceGathering
from gatelodge.ports.images import ImageKeeper


def evidence_gathering(ground: OpenResources, images: ImageKeeper) -> EvidenceGathering:
    """What gathers evidence; without any source outside it says what packages say themselves."""
    from gatelodge.adapters.evidence.package_reader import ImagePackageReader

    return EvidenceGathering(
        kept=SqlEvidence(ground.database),
        reader=ImagePackageReader(images, ground.clock),
        sources=(),
        clock=ground.clock,
    )
