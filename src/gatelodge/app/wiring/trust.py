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
    from gatelodge.adapters.evidence.git_mirrors import GitMirrors
    from gatelodge.adapters.evidence.mcp_registry import McpManifest, McpRegistry, RegistryRecords
    from gatelodge.adapters.evidence.npm_index import NpmIndex
    from gatelodge.adapters.evidence.package_indexes import PackageIndexes
    from gatelodge.adapters.evidence.package_reader import ImagePackageReader
    from gatelodge.adapters.evidence.pypi_index import PypiIndex
    from gatelodge.adapters.runtime.packages.tools import run_tool

    client = GuardedClient(ssl.create_default_context, gatelodge.__version__)
    private = frozenset(map(read_origin, ground.settings.hosting.private_origins))
    answers = EvidenceAnswers(client, ground.clock, private)
    indexes = PackageIndexes(
        {
            "pypi": PypiIndex(answers, _python_index),
            "npm": NpmIndex(answers, _node_registry),
        }
    )
    said, clock = ground.settings.trust, ground.clock
    records = RegistryRecords(
        answers, clock, lambda: said.mcp_registry, lambda: _folder(said.mcp_records_dir)
    )
    others = (
        ImportedAdvisories(lambda: _folder(said.advisories_dir), clock),
        McpRegistry(records),
        McpManifest(records),
        GitMirrors(lambda: _folder(said.git_mirrors), run_tool, clock),
    )
    return EvidenceGathering(
        kept=SqlEvidence(ground.database),
        reader=ImagePackageReader(images, ground.clock),
        sources=(indexes, *others),
        clock=ground.clock,
    )


def _folder(said: str) -> Path | None:
    return Path(said) if said else None


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
