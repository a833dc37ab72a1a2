"""What an admin proposes of a server, who may say how it is reached, what an approval covers."""

from hashlib import sha256
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import rfc8785
from msgspec import Struct, field
from msgspec.structs import asdict

from gatelodge.core.catalog.server import (
    ArtifactTransport,
    EraWish,
    HidableCapability,
    HttpTransport,
    InstanceScope,
    RunAs,
    Server,
    ServerTiming,
    StdioTransport,
    Transport,
    Wait,
)
from gatelodge.core.errors import Conflict, Forbidden, Invalid
from gatelodge.core.hosting.facts import IsolationTier
from gatelodge.core.hosting.limits import InstanceLimits
from gatelodge.core.ids import WorkspaceId
from gatelodge.core.people import Workspace
from gatelodge.flows.act import GovernanceAct, a_line
from gatelodge.flows.nouns.file_table import FileEntry

MOST_TAGS = 64
P = TypeVar("P", bound=Struct)


class ServerProposal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a server is reached. The words of an admin: whatever runs is built from these alone."""

    transport: Transport
    era: EraWish = "auto"
    tags: tuple[str, ...] = ()
    hidden_capabilities: tuple[HidableCapability, ...] = ()
    timing: ServerTiming = ServerTiming()


class ServerWords(FileEntry, frozen=True, kw_only=True):
    """A server as files and edits say it, by `source`, `command` or `url`; parts by their names."""

    alias: str
    command: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    cwd: str = ""
    run_as: RunAs = "own"
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    allow_private: bool = False
    source: str = ""
    image: str = ""
    args: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    egress: tuple[str, ...] = ()
    memory_mib: int = InstanceLimits().memory_mib
    cpus: float = InstanceLimits().cpus
    processes: int = InstanceLimits().processes
    tmp_mib: int = InstanceLimits().tmp_mib
    tier: IsolationTier = "weak"
    scope: InstanceScope = "shared"
    port: int = 0
    path: str = "/mcp"
    run_scripts: tuple[str, ...] = ()
    era: EraWish = "auto"
    tags: tuple[str, ...] = ()
    hidden_capabilities: tuple[HidableCapability, ...] = ()
    start_seconds: Wait = 0.0
    call_seconds: Wait = 0.0
    longest_seconds: Wait = 0.0

    @classmethod
    def of(cls, row: Server, transport: Transport) -> Self:
        """What says of a row how it is, reached by that transport."""
        return cls(
            alias=row.alias,
            era=row.era,
            tags=row.tags,
            hidden_capabilities=row.hidden_capabilities,
            **_parts_of_transport(transport),
            **asdict(row.timing),
        )

    @property
    def proposal(self) -> ServerProposal:
        """The same in the words of the catalog."""
        return ServerProposal(
            transport=self._transport(),
            era=self.era,
            tags=tuple(sorted(set(self.tags))),
            hidden_capabilities=tuple(sorted(set(self.hidden_capabilities))),
            timing=self._part(ServerTiming),
        )

    def _transport(self) -> Transport:
        if self.command:
            return self._part(StdioTransport)
        if not self.source:
            return self._part(HttpTransport)
        return ArtifactTransport(
            **{name: getattr(self, name) for name in _ARTIFACT_PARTS},
            limits=self._part(InstanceLimits),
        )

    def _part(self, kind: type[P]) -> P:
        return kind(**{name: getattr(self, name) for name in kind.__struct_fields__})


_ARTIFACT_PARTS = tuple(n for n in ArtifactTransport.__struct_fields__ if n != "limits")


def _parts_of_transport(transport: Transport) -> dict[str, Any]:
    """The parts by their names; limits are parts of their own."""
    parts = asdict(transport)
    limits = parts.pop("limits", None)
    return parts | (asdict(limits) if limits is not None else {})


def fingerprint(transport: Transport) -> str:
    """Hex SHA-256 of what an approval covers, so that the log can prove which form was approved.

    Left out is whatever may hold a secret: values of variables and headers, a URL's query.
    """
    words: dict[str, object]
    if isinstance(transport, StdioTransport):
        words = {
            "command": list(transport.command),
            "cwd": transport.cwd,
            "env": sorted(transport.env),
            "run_as": transport.run_as,
        }
    elif isinstance(transport, ArtifactTransport):
        limits = transport.limits
        words = {
            "args": list(transport.args),
            "egress": sorted(transport.egress),
            "env": sorted(transport.env),
            "files": sorted(transport.files),
            "image": transport.image,
            # Canonical JSON writes numbers with a fraction in the form of another language.
            "limits": {name: str(value) for name, value in asdict(limits).items()},
            "port": f"{transport.port}{transport.path}" if transport.port else "",
            "scope": transport.scope,
            "source": transport.source,
            "tier": transport.tier,
        }
        if transport.run_scripts:  # else digests of before there were any would be others
            words["run_scripts"] = sorted(transport.run_scripts)
    else:
        words = {
            "allow_private": transport.allow_private,
            # Header names have no case (RFC 9110 section 5.1): another spelling is the same way.
            "headers": sorted(name.lower() for name in transport.headers),
            "url": urlsplit(transport.url)._replace(query="").geturl(),
        }
    return sha256(rfc8785.dumps(words)).hexdigest()  # type: ignore[arg-type]


def description_digest(row: Server) -> str:
    """The digest by which a server is approved and edited: of all that its description shows.

    Values that may be secret are not in it; its revision is, which no change leaves as it was.
    """
    words = {
        "alias": row.alias,
        "era": row.era,
        # An edit and its reversal give the old words: an approval read before them must not fit.
        "revision": row.revision,
        "tags": list(row.tags),
        # Canonical JSON writes numbers with a fraction in the form of another language.
        "timing": {name: str(float(value)) for name, value in asdict(row.timing).items()},
        "transport": fingerprint(row.transport),
        "hidden_capabilities": list(row.hidden_capabilities),
    }
    return sha256(rfc8785.dumps(words)).hexdigest()  # type: ignore[arg-type]


def check_description(row: Server, shown: str) -> None:
    """Raise Conflict when a server is another one than that whose digest was shown."""
    if shown != description_digest(row):
        raise Conflict(
            f"not what was shown any more: the description of {row.alias}",
            remedy=f"Load the page again, or look at it again: gatelodge server show {row.alias}",
        )


def allowed(act: GovernanceAct, workspace: WorkspaceId, transport: Transport) -> Transport:
    """The transport, when whoever acts may reach that far. Raises Forbidden."""
    if act.local:
        return transport
    # Secrets of a workspace lie under its slug: its admins reach those and no others.
    slug = act.the(Workspace, id=workspace).slug
    beyond = act.bounds.beyond(transport, slug)
    if beyond:
        raise Forbidden(
            f"only the operator on the gate's own machine may give a server {beyond}",
            remedy="Run it there, without --url; or see hosting.api_commands, hosting.api_sources, "
            "upstream.secrets_dir and upstream.secrets_prefix.",
        )
    return transport


def tags_of(tags: tuple[str, ...]) -> tuple[str, ...]:
    """The tags in their order, each once. Raises Invalid."""
    if len(tags) > MOST_TAGS:
        raise Invalid(f"a server has at most {MOST_TAGS} tags")
    return tuple(sorted({a_line("a tag", tag, 40) for tag in tags}))
