"""Where evidence about servers comes from, in this house."""

import shutil
import ssl
from pathlib import Path

import gatelodge
from gatelodge.adapters.net.fetch import GuardedClient
from gatelodge.adapters.store.shared.evidence import SqlEvidence
from gatelodge.app.build import OpenResources
from gatelodge.core.catalog.registries import read_origin
from gatelodge.flows.trust.gathering import EvidenceGathering
from gatelodge.ports.images import ImageKeeper


def evidence_gathering(ground: OpenResources, images: ImageKeeper) -> EvidenceGathering:
    """What gathers evidence: from packages themselves, and from the indexes that they came from."""
    from gatelodge.adapters.evidence.advisories import ImportedAdvisories
    from gatelodge.adapters.evidence.answers import EvidenceAnswers
    from gatelodge.adapters.evidence.npm_index import NpmIndex
    from gatelodge.adapters.evidence.package_indexes import PackageIndexes
    from gatelodge.adapters.evidence.package_reader import ImagePackageReader
    from gatelodge.adapters.evidence.pypi_index import PypiIndex

    client = GuardedClient(ssl.create_default_context, gatelodge.__version__)
    private = frozenset(map(read_origin, ground.settings.hosting.private_origins))
    answers = EvidenceAnswers(client, ground.clock, private)
    indexes = PackageIndexes(
        {
            "pypi": PypiIndex(answers, _python_index),
            "npm": NpmIndex(answers, _node_registry),
        }
    )
    advisories = ground.settings.trust.advisories_dir
    imported = ImportedAdvisories(lambda: Path(advisories) if advisories else None, ground.clock)
    return EvidenceGathering(
        kept=SqlEvidence(ground.database),
        reader=ImagePackageReader(images, ground.clock),
        sources=(indexes, imported),
        clock=ground.clock,
    )


def _python_index(_package: str) -> str:
    """The index that this machine's settings name, with its login; empty for that of the tool."""
    from gatelodge.adapters.runtime.packages.settings import sources_of_python

    env = sources_of_python().env
    said = env.get("UV_DEFAULT_INDEX") or env.get("UV_INDEX_URL") or ""
    # It may have a name of its own before it.
    return said.partition("=")[2] if "=" in said.partition("://")[0] else said


def _node_registry(package: str) -> str:
    """The registry that this machine's settings name for a package; empty for that of the tool."""
    from gatelodge.adapters.runtime.packages.settings import sources_of_node

    npm = shutil.which("npm")
    if npm is None:
        return ""
    sources = sources_of_node(npm)
    lines = [line.partition("=") for line in sources.lines]
    said = {key.strip(): value.strip().strip("\"'") for key, _, value in lines}
    for name, value in sources.env.items():
        if name.lower() == "npm_config_registry":
            said["registry"] = value
    scope = package.partition("/")[0] if package.startswith("@") else ""
    return (said.get(f"{scope}:registry") if scope else None) or said.get("registry", "")
