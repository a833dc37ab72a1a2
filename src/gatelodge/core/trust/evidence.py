"""Evidence about a server before it is installed: what each source said, and when.

A section that is None is not known, and `gaps` says why: a company's mirror leaves fields out, a
network is away. What is not known is neither good nor bad (decision 0044). Evidence is kept as
canonical JSON under its SHA-256, which the log names: the same evidence gives the same card.
"""

from hashlib import sha256
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from gatelodge.core.errors import Invalid
from gatelodge.core.ids import Instant

MOST_EVIDENCE = 1 << 20
"""Bytes of the evidence of one card."""

Severity = Literal["critical", "high", "medium", "low", "unknown"]
Lifecycle = Literal["active", "deprecated", "yanked", "archived", "quarantined", "deleted"]

Line = Annotated[str, Meta(max_length=2_000)]
Lines = Annotated[tuple[Line, ...], Meta(max_length=200)]


class EvidenceSection(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one source said: `source` names it in words, `at` is when it said so."""

    source: Line
    at: Instant


class LaunchEvidence(EvidenceSection, frozen=True, kw_only=True, omit_defaults=True):
    """How the server would be started: `exact` when a version or a digest says what that is."""

    exact: bool
    words: Lines = ()


class PackageEvidence(EvidenceSection, frozen=True, kw_only=True, omit_defaults=True):
    """What the package itself says; read from its bytes, so no network is needed.

    `digests` are those of its own archive, `packages` counts all that it needs. `server_name` is
    the name in the MCP registry that it claims (`mcpName`, `mcp-name:`, an image label), empty for
    none. `install_scripts` are the packages that would run scripts when they are installed, and
    `scripts_ran` those that did. `sdk` is how it asks for an MCP SDK, `sdk_bounded` whether that
    ends before the next incompatible release.
    """

    image: Line = ""
    digests: Lines = ()
    packages: int = 0
    server_name: Line = ""
    repository: Line = ""
    license: Line = ""
    install_scripts: Lines = ()
    scripts_ran: Lines = ()
    prebuilt: bool = True
    locked: bool = False
    sdk: Line = ""
    sdk_bounded: bool | None = None
    security_policy: bool | None = None
    description: Line = ""


class KnownVulnerability(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An advisory that says this version is affected; `fixed_in` is empty where nothing is."""

    id: Line
    severity: Severity = "unknown"
    summary: Line = ""
    fixed_in: Lines = ()


class IndexEvidence(EvidenceSection, frozen=True, kw_only=True, omit_defaults=True):
    """What the package index says of this version; every field may be missing from a mirror.

    `released_at` counts only while `time_doubt` is empty; it says why the time cannot be right.
    `vulnerabilities` and `attested` are None where the index does not say, `lifecycle` empty.
    """

    released_at: Instant | None = None
    time_doubt: Line = ""
    latest: Line = ""
    versions: int = 0
    lifecycle: Lifecycle | Literal[""] = ""
    lifecycle_reason: Line = ""
    publishers: Lines = ()
    attested: bool | None = None
    vulnerabilities: tuple[KnownVulnerability, ...] | None = None
    missing: Lines = ()


class RegistryEvidence(EvidenceSection, frozen=True, kw_only=True, omit_defaults=True):
    """What the MCP registry says; `listed` is false where it answers and does not have it.

    `namespace` is how its publisher proved the name: a domain, or an account of a code host.
    """

    listed: bool
    name: Line = ""
    namespace: Literal["domain", "account", ""] = ""
    status: Lifecycle | Literal[""] = ""
    published_at: Instant | None = None
    names_package: bool | None = None


class RepositoryEvidence(EvidenceSection, frozen=True, kw_only=True, omit_defaults=True):
    """What the history of the source says, as of when the mirror was fetched (`at`).

    Commits are people's, without bots, on the server's own folder. `half_of_year` is how many
    people made half of a year's. `names_package` is whether the manifest at the release names this
    package back; `tag_at` is when this version was tagged.
    """

    url: Line
    head_at: Instant
    folder: Line = ""
    commits_30: int = 0
    commits_90: int = 0
    commits_365: int = 0
    half_of_year: int = 0
    names_package: bool | None = None
    tag: Line = ""
    tag_at: Instant | None = None
    security_policy: bool | None = None
    license: Line = ""
    archived: bool | None = None


class AdvisoryEvidence(EvidenceSection, frozen=True, kw_only=True, omit_defaults=True):
    """What imported advisories say of this version; `as_of` is when they were taken."""

    as_of: Instant
    vulnerabilities: tuple[KnownVulnerability, ...] = ()


class ProvenanceEvidence(EvidenceSection, frozen=True, kw_only=True, omit_defaults=True):
    """An attestation of who built the package from what; `verified` when its signature holds."""

    verified: bool
    repository: Line = ""
    signature_only: bool = False


class ManifestEvidence(EvidenceSection, frozen=True, kw_only=True, omit_defaults=True):
    """What a `server.json` declares: its inputs, and whether it is valid by its own schema."""

    name: Line = ""
    valid: bool = False
    fault: Line = ""
    inputs: int = 0
    described: int = 0
    exposed_secrets: Lines = ()
    """Inputs that look secret and are not declared so, have a default, or stand in arguments."""


class StartEvidence(EvidenceSection, frozen=True, kw_only=True, omit_defaults=True):
    """Whether it started and shook hands in its sandbox, with what its definition allows it."""

    started: bool
    revision: Line = ""
    milliseconds: int = 0
    why: Line = ""


class FoundFinding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A finding of the definition lint; `cleared` says why a person let it pass."""

    rule: Line
    severity: Literal["high", "medium", "low"]
    tool: Line = ""
    field: Line = ""
    quote: Line = ""
    why: Line = ""
    owasp: Line = ""
    cleared: Line = ""


class InterfaceEvidence(EvidenceSection, frozen=True, kw_only=True, omit_defaults=True):
    """What the server offers, counted; the definitions are those of this digest.

    `annotated` counts tools with annotations, `bytes` all definitions together. `exposure` are
    letters with the reason for each: R reads, W writes, N network, X runs code, S holds secrets.
    """

    definitions: Line
    tools: int = 0
    annotated: int = 0
    parameters: int = 0
    described: int = 0
    bytes: int = 0
    findings: Annotated[tuple[FoundFinding, ...], Meta(max_length=500)] = ()
    lint: Line = ""
    exposure: dict[str, Line] = {}
    unapproved_changes: int = 0


class ManualReview(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a person states of it, of their own accord: a signal of its own, no edit of others."""

    says: Line
    at: Instant
    until: Instant


class TrustEvidence(
    Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """All that is known of one server at one moment (`at`); `subject` is its source as written."""

    subject: Line
    at: Instant
    launch: LaunchEvidence | None = None
    package: PackageEvidence | None = None
    index: IndexEvidence | None = None
    registry: RegistryEvidence | None = None
    repository: RepositoryEvidence | None = None
    advisories: AdvisoryEvidence | None = None
    provenance: ProvenanceEvidence | None = None
    manifest: ManifestEvidence | None = None
    start: StartEvidence | None = None
    interface: InterfaceEvidence | None = None
    reviews: Annotated[tuple[ManualReview, ...], Meta(max_length=20)] = ()
    gaps: dict[str, Line] = {}
    """Why a section is not known, by its name."""


SECTIONS = (
    "launch",
    "package",
    "index",
    "registry",
    "repository",
    "advisories",
    "provenance",
    "manifest",
    "start",
    "interface",
)
"""The sections of evidence, by name."""


def encode_evidence(evidence: TrustEvidence) -> bytes:
    """The canonical JSON of it: equal evidence gives equal bytes. Raises Invalid when too large."""
    body = msgspec.json.encode(evidence, order="sorted")
    if len(body) > MOST_EVIDENCE:
        raise Invalid(
            "the evidence about this server is too large to be kept",
            remedy="It has far more findings or advisories than a person can read: refuse it.",
        )
    return body


def evidence_digest(body: bytes) -> str:
    """Hex SHA-256 of encoded evidence: the name by which the log and cards call it."""
    return sha256(body).hexdigest()


def decode_evidence(body: bytes) -> TrustEvidence:
    """The inverse of `encode_evidence`. Raises Invalid."""
    if len(body) > MOST_EVIDENCE:
        raise Invalid("the evidence is larger than evidence may be")
    try:
        return msgspec.json.decode(body, type=TrustEvidence)
    except (msgspec.DecodeError, RecursionError) as fault:
        raise Invalid(
            f"this is no evidence that this version reads: {fault}",
            remedy="Gather it anew, or use the version of gatelodge that wrote it.",
        ) from None
