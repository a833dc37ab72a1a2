"""A server changed in place: what is not named stays, with its id, its grants and its pins."""

from typing import TypeVar
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.catalog.server import (
    EraWish,
    HidableCapability,
    HttpTransport,
    RunAs,
    Server,
    ServerTiming,
    StdioTransport,
    Transport,
    Wait,
)
from gatelodge.core.catalog.transport import PARTS, check_parts, check_transport
from gatelodge.core.errors import Invalid
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.admin.definitions.proposals import ServerProposal

T = TypeVar("T")

Changes = dict[str, str | None]
"""Values by name; None takes a name away."""


class ServerEdit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What shall be otherwise; whatever is None stays as it is.

    `env` and `headers` change the names that they hold.
    """

    command: tuple[str, ...] | None = None
    env: Changes = {}
    cwd: str | None = None
    run_as: RunAs | None = None
    url: str | None = None
    headers: Changes = {}
    allow_private: bool | None = None
    era: EraWish | None = None
    tags: tuple[str, ...] | None = None
    hidden_capabilities: tuple[HidableCapability, ...] | None = None
    start_seconds: Wait | None = None
    call_seconds: Wait | None = None
    longest_seconds: Wait | None = None


_NOTHING = ServerEdit()


def edited(act: GovernanceAct, row: Server, wish: ServerEdit) -> ServerProposal:
    """How the server would be reached with that wish. Raises Invalid."""
    transport = _edited_transport(row, wish)
    check_transport(transport)  # before its parts are looked at
    # The operator can read every value on this machine; others would learn one by moving it.
    if not act.local:
        _must_not_carry(row.transport, transport, wish)
    old = row.timing
    return ServerProposal(
        transport=transport,
        era=_wished_or_current(wish.era, row.era),
        tags=_wished_or_current(wish.tags, row.tags),
        hidden_capabilities=_wished_or_current(wish.hidden_capabilities, row.hidden_capabilities),
        timing=ServerTiming(
            start_seconds=_wished_or_current(wish.start_seconds, old.start_seconds),
            call_seconds=_wished_or_current(wish.call_seconds, old.call_seconds),
            longest_seconds=_wished_or_current(wish.longest_seconds, old.longest_seconds),
        ),
    )


def _edited_transport(row: Server, wish: ServerEdit) -> Transport:
    """How it is reached then; a command makes it a process, a URL an endpoint."""
    own = row.transport
    named = {part for part in PARTS if getattr(wish, part) != getattr(_NOTHING, part)}
    if not named & {"command", "url"}:
        named.add("command" if isinstance(own, StdioTransport) else "url")
    check_parts(named)
    if "command" in named:
        process = own if isinstance(own, StdioTransport) else StdioTransport(command=())
        return replace(
            process,
            command=_wished_or_current(wish.command, process.command),
            env=_merged_values(process.env, wish.env),
            cwd=_wished_or_current(wish.cwd, process.cwd),
            run_as=_wished_or_current(wish.run_as, process.run_as),
        )
    endpoint = own if isinstance(own, HttpTransport) else HttpTransport(url="")
    return replace(
        endpoint,
        url=_wished_or_current(wish.url, endpoint.url),
        headers=_merged_values(endpoint.headers, wish.headers),
        allow_private=_wished_or_current(wish.allow_private, endpoint.allow_private),
    )


def _must_not_carry(before: Transport, after: Transport, wish: ServerEdit) -> None:
    """Raise Invalid when values that the caller never saw would go where the caller says."""
    if isinstance(before, StdioTransport) and isinstance(after, StdioTransport):
        # A variable may say where the others are sent, so a new value of one moves them all.
        anew = any(before.env.get(name) != value for name, value in wish.env.items() if value)
        moved = before.command != after.command or anew
        kept = before.env.keys() - wish.env.keys()
    elif isinstance(before, HttpTransport) and isinstance(after, HttpTransport):
        # Another path of one origin is taken for the same party, who is sent the values already.
        moved = _origin_of_url(before.url) != _origin_of_url(after.url)
        kept = before.headers.keys() - wish.headers.keys()
    else:
        return  # nothing of the one stays in the other
    if moved and kept:
        raise Invalid(
            f"the value of {min(kept)} was given for another place",
            remedy="Give each header or variable anew, or take it away, in the same change.",
        )


def _origin_of_url(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _merged_values(before: dict[str, str], wish: Changes) -> dict[str, str]:
    whole = {**before, **wish}
    return {name: value for name, value in whole.items() if value is not None}


def _wished_or_current(wish: T | None, own: T) -> T:
    return own if wish is None else wish
