"""Values that may be secret: shown and exported as stars, which stand for what is there."""

from msgspec.structs import replace

from gatelodge.core.catalog.references import reference
from gatelodge.core.catalog.server import (
    ArtifactTransport,
    HttpTransport,
    Server,
    StdioTransport,
    Transport,
)
from gatelodge.core.errors import Invalid
from gatelodge.flows.admin.definitions.proposals import ServerProposal

STARS = "***"


def starred(transport: Transport) -> Transport:
    """The transport without what may be secret: references stay, other values become stars."""
    if isinstance(transport, HttpTransport):
        url, query, _ = transport.url.partition("?")
        return HttpTransport(
            url=f"{url}?{STARS}" if query else url,
            headers=_starred_values(transport.headers),
            allow_private=transport.allow_private,
        )
    env = _starred_values(transport.env)
    if isinstance(transport, StdioTransport):
        return replace(transport, env=env)
    return replace(transport, env=env, files=_starred_values(transport.files))


def unstarred(proposal: ServerProposal, alias: str, row: Server | None) -> ServerProposal:
    """What is wanted of a server, with what the server has where the file has stars.

    Only where all else of the way to it is as it was: whoever writes the file could send a secret
    that they do not know to a place of theirs, or to code of theirs. Raises Invalid elsewhere.
    """
    if not _has_stars(proposal.transport):
        return proposal
    # Compared as shown: whoever writes stars must have seen exactly this way to the server.
    if row is None or starred(row.transport) != proposal.transport:
        raise Invalid(
            f"server {alias}: {STARS} stands for a value that is there, and only while "
            "nothing else is changed in how the server is reached",
            remedy="Write a reference in its place, such as env:NAME or file:PATH.",
        )
    return replace(proposal, transport=row.transport)


def _has_stars(transport: Transport) -> bool:
    if isinstance(transport, HttpTransport):
        # Also within a longer value, which no export writes: it would be sent with the stars in it.
        return any(STARS in value for value in (transport.url, *transport.headers.values()))
    files = transport.files if isinstance(transport, ArtifactTransport) else {}
    return any(STARS in value for value in (*transport.env.values(), *files.values()))


def _starred_values(pairs: dict[str, str]) -> dict[str, str]:
    return {name: value if reference(value) else STARS for name, value in pairs.items()}
