"""Identity: who published it, proven how, and whether its names agree with one another."""

from collections.abc import Iterable

from gatelodge.core.trust.evidence import TrustEvidence
from gatelodge.core.trust.signals.reading import SignalReading, not_known, read_from


def read_identity(found: TrustEvidence) -> Iterable[SignalReading]:
    """ID1 to ID4."""
    yield _namespace(found)
    yield _back_reference(found)
    yield _repository_loop(found)
    yield _provenance(found)


def disagreeing_names(found: TrustEvidence) -> str:
    """Which two names of it do not fit together, in words; empty when none contradicts another."""
    package, registry, manifest = found.package, found.registry, found.manifest
    claimed = package.server_name if package else ""
    listed = registry.name if registry and registry.listed else ""
    if claimed and listed and claimed != listed:
        return f"the package names {claimed}, the registry lists it as {listed}"
    if claimed and manifest and manifest.name and claimed != manifest.name:
        return f"the package names {claimed}, its server.json {manifest.name}"
    if registry and registry.names_package is False:
        return f"{registry.name} of the registry is another package"
    attested = found.provenance.repository if found.provenance else ""
    declared = package.repository if package else ""
    if attested and declared and plain_repository(attested) != plain_repository(declared):
        return f"it was built from {attested}, and says {declared}"
    return ""


def plain_repository(url: str) -> str:
    """The address of a repository in one spelling: host and path, without scheme and ending."""
    text = url.strip().lower().removeprefix("git+")
    for prefix in ("https://", "http://", "ssh://git@", "git://", "git@"):
        text = text.removeprefix(prefix)
    text = text.partition("#")[0].partition("?")[0].replace(":", "/")
    parts = text.strip("/").removesuffix(".git").split("/")
    # A folder of a large repository is that repository.
    return "/".join(parts[:3])


def _namespace(found: TrustEvidence) -> SignalReading:
    section = found.registry
    if section is None:
        return not_known(
            "ID1",
            found.gaps.get("registry", "No MCP registry was asked."),
            "Name a registry in trust.mcp_registry.",
        )
    if not section.listed:
        return read_from(
            section,
            "ID1",
            0.0,
            "not listed",
            "The registry does not have it.",
            "Ask its publisher to publish it there under a namespace of theirs.",
        )
    share = {"domain": 1.0, "account": 0.8}.get(section.namespace, 0.0)
    return read_from(
        section,
        "ID1",
        share if section.status in ("active", "") else 0.0,
        f"{section.name} ({section.namespace or 'unproven'}, {section.status or 'listed'})",
        "The registry had its publisher prove the namespace.",
        "" if share else "Take one whose namespace is proven.",
    )


def _back_reference(found: TrustEvidence) -> SignalReading:
    section = found.package
    if section is None:
        return not_known("ID2", found.gaps.get("package", "Its package was not read."))
    if not section.server_name:
        return read_from(
            section,
            "ID2",
            0.0,
            "no name",
            "Nothing in the package says which server of a registry it is.",
            "Its author adds mcpName (npm), `mcp-name:` (README) or the image's label.",
        )
    odd = disagreeing_names(found)
    return read_from(
        section,
        "ID2",
        0.0 if odd else 1.0,
        section.server_name,
        f"Its names disagree: {odd}." if odd else "The package itself names its server.",
        "Do not start it before its publisher explains that." if odd else "",
    )


def _repository_loop(found: TrustEvidence) -> SignalReading:
    package, repository = found.package, found.repository
    if package is not None and not package.repository:
        return read_from(
            package,
            "ID3",
            0.0,
            "no repository",
            "The package names no repository that it was built from.",
            "Its author adds the address of the source to the package.",
        )
    if repository is None or repository.names_package is None:
        why = found.gaps.get("repository", "The repository was not read.")
        return not_known("ID3", why, "Mirror it below trust.git_mirrors.")
    good = repository.names_package
    return read_from(
        repository,
        "ID3",
        1.0 if good else 0.0,
        repository.url,
        "Its manifest names this package."
        if good
        else "No manifest of that repository names this package.",
        "" if good else "Find out whether a stranger published a copy of it.",
    )


def _provenance(found: TrustEvidence) -> SignalReading:
    section = found.provenance
    if section is None and found.index is not None and found.index.attested is False:
        return read_from(
            found.index,
            "ID4",
            0.0,
            "no attestation",
            "The index has attestations, and none for this file.",
            "Its author publishes from a build that attests what it did.",
        )
    if section is None:
        return not_known("ID4", found.gaps.get("provenance", "No attestation could be read."))
    share = 0.5 if section.signature_only else 1.0
    return read_from(
        section,
        "ID4",
        share if section.verified and not disagreeing_names(found) else 0.0,
        section.repository or "a signature",
        "Its attestation verifies." if section.verified else "Its attestation does not verify.",
        "" if section.verified else "Do not start it before that is explained.",
    )
