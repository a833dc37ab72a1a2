"""A server changed in place: what is not named stays, with its id, its grants and its pins."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import asdict, replace

from gatelodge.core.catalog.references import reference
from gatelodge.core.catalog.server import (
    ArtifactTransport,
    EraWish,
    HidableCapability,
    HttpTransport,
    InstanceScope,
    RunAs,
    Server,
    StdioTransport,
    Transport,
    Wait,
)
from gatelodge.core.catalog.transport import PARTS, check_parts, check_transport
from gatelodge.core.errors import Invalid
from gatelodge.core.hosting.facts import IsolationTier
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.admin.definitions.proposals import (
    ServerProposal,
    ServerWords,
    check_description,
)

Changes = dict[str, str | None]
"""Values by name; None takes a name away."""


class ServerEdit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What shall be otherwise; whatever is None stays as it is.

    `env`, `files` and `headers` change the names that they hold. `description` is the digest of
    what was shown: with it only a server that is still the same is changed.
    """

    description: str = ""

    command: tuple[str, ...] | None = None
    env: Changes = {}
    cwd: str | None = None
    run_as: RunAs | None = None
    url: str | None = None
    headers: Changes = {}
    allow_private: bool | None = None
    source: str | None = None
    image: str | None = None
    args: tuple[str, ...] | None = None
    files: Changes = {}
    egress: tuple[str, ...] | None = None
    memory_mib: int | None = None
    cpus: float | None = None
    processes: int | None = None
    tmp_mib: int | None = None
    tier: IsolationTier | None = None
    scope: InstanceScope | None = None
    port: int | None = None
    path: str | None = None
    run_scripts: tuple[str, ...] | None = None
    era: EraWish | None = None
    tags: tuple[str, ...] | None = None
    hidden_capabilities: tuple[HidableCapability, ...] | None = None
    start_seconds: Wait | None = None
    call_seconds: Wait | None = None
    longest_seconds: Wait | None = None


_NOTHING = ServerEdit()
_WAYS: dict[type, str] = {
    StdioTransport: "command",
    HttpTransport: "url",
    ArtifactTransport: "source",
}


def edited(act: GovernanceAct, row: Server, wish: ServerEdit) -> ServerProposal:
    """How the server would be reached with that wish. Raises Invalid, Conflict (not as shown)."""
    if wish.description:
        check_description(row, wish.description)
    proposal = _edited_words(row, wish).proposal
    check_transport(proposal.transport)  # before its parts are looked at
    # The operator can read every value on this machine; others would learn one by moving it.
    if not act.local:
        _must_not_carry(row.transport, proposal.transport, wish)
    return proposal


def edited_transport(row: Server, wish: ServerEdit) -> Transport:
    """How the server would be reached, whoever wishes it. Raises Invalid."""
    return _edited_words(row, wish).proposal.transport


def _edited_words(row: Server, wish: ServerEdit) -> ServerWords:
    """What says how it is then; a command makes it a process, a URL an endpoint."""
    words = ServerWords.of(row, row.transport)
    way = _WAYS[type(row.transport)]
    named = {part for part in PARTS if getattr(wish, part) != getattr(_NOTHING, part)}
    if not named & {*_WAYS.values()}:
        named.add(way)
    check_parts(named)
    if way not in named:
        # Nothing of the one way stays in the other.
        blank = ServerWords(alias=row.alias)
        words = replace(words, **{part: getattr(blank, part) for part in PARTS})
    wished = {name: value for name, value in asdict(wish).items() if value is not None}
    del wished["description"]
    for name in ("env", "files", "headers"):
        whole = getattr(words, name) | wished[name]
        wished[name] = {key: value for key, value in whole.items() if value is not None}
    return replace(words, **wished)


def _must_not_carry(before: Transport, after: Transport, wish: ServerEdit) -> None:
    """Raise Invalid when values that the caller never saw would go where the caller says."""
    if isinstance(before, StdioTransport) and isinstance(after, StdioTransport):
        # A variable may say where the others are sent, so a new value of one moves them all.
        anew = bool(after.env.items() - before.env.items())
        moved = anew or (before.command, before.cwd) != (after.command, after.cwd)
        kept = _unnameable(before.env, wish.env)
    elif isinstance(before, ArtifactTransport) and isinstance(after, ArtifactTransport):
        # Code, arguments, places, what listens, variables and files decide where a value ends up.
        given = after.env.items() - before.env.items() | after.files.items() - before.files.items()
        way = ("source", "image", "args", "egress", "port", "path")
        moved = bool(given) or any(getattr(before, each) != getattr(after, each) for each in way)
        kept = _unnameable(before.env, wish.env) | _unnameable(before.files, wish.files)
    elif isinstance(before, HttpTransport) and isinstance(after, HttpTransport):
        # Another path of one origin is taken for the same party, who is sent the values already. To
        # another one a reference goes only when it is said anew: a URL is changed by one slip.
        moved = _origin_of_url(before.url) != _origin_of_url(after.url)
        kept = before.headers.keys() - wish.headers.keys()
    else:
        return  # nothing of the one stays in the other
    if moved and kept:
        raise Invalid(
            f"the value of {min(kept)} was given for another place",
            remedy="Give each header, variable or file anew, or take it away, in the same change. "
            "Or the operator moves what was typed into the vault: gatelodge secret adopt",
        )


def _unnameable(held: Mapping[str, str], given: Changes) -> set[str]:
    """The names whose values stay and could not be given by whoever edits.

    A secret of the vault may be named by everybody who edits a server, wherever it sends it.
    """
    left = {name: reference(value) for name, value in held.items() if name not in given}
    return {name for name, found in left.items() if found is None or found.scheme != "vault"}


def _origin_of_url(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()
