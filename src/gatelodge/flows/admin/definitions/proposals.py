"""What an admin proposes of a server, who may say how it is reached, what an approval covers."""

from hashlib import sha256
from urllib.parse import urlsplit

import rfc8785
from msgspec import Struct

from gatelodge.core.catalog.server import (
    EraWish,
    HidableCapability,
    Server,
    ServerTiming,
    StdioTransport,
    Transport,
)
from gatelodge.core.errors import Forbidden, Invalid
from gatelodge.core.ids import WorkspaceId
from gatelodge.core.people import Workspace
from gatelodge.flows.act import GovernanceAct, a_line

MOST_TAGS = 64


class ServerProposal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a server is reached. The words of an admin: whatever runs is built from these alone."""

    transport: Transport
    era: EraWish = "auto"
    tags: tuple[str, ...] = ()
    hidden_capabilities: tuple[HidableCapability, ...] = ()
    timing: ServerTiming = ServerTiming()


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
    else:
        words = {
            "allow_private": transport.allow_private,
            # Header names have no case (RFC 9110 section 5.1): another spelling is the same way.
            "headers": sorted(name.lower() for name in transport.headers),
            "url": urlsplit(transport.url)._replace(query="").geturl(),
        }
    return sha256(rfc8785.dumps(words)).hexdigest()  # type: ignore[arg-type]


def description_digest(row: Server) -> str:
    """The digest by which a server is approved: of all that its description shows.

    Values that may be secret are not in it; its revision is, which no change leaves as it was.
    """
    words = {
        "alias": row.alias,
        "era": row.era,
        # An edit and its reversal give the old words: an approval read before them must not fit.
        "revision": row.revision,
        "tags": list(row.tags),
        "transport": fingerprint(row.transport),
        "hidden_capabilities": list(row.hidden_capabilities),
    }
    return sha256(rfc8785.dumps(words)).hexdigest()  # type: ignore[arg-type]


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
            remedy="Run it there, without --url; or see hosting.api_commands, upstream.secrets_dir "
            "and upstream.secrets_prefix.",
        )
    return transport


def tags_of(tags: tuple[str, ...]) -> tuple[str, ...]:
    """The tags in their order, each once. Raises Invalid."""
    if len(tags) > MOST_TAGS:
        raise Invalid(f"a server has at most {MOST_TAGS} tags")
    return tuple(sorted({a_line("a tag", tag, 40) for tag in tags}))
