"""A server changed in place: what is not named stays, with its id, its grants and its pins."""

from typing import TypeVar
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.catalog.server import (
    EraWish,
    HttpTransport,
    RunAs,
    Server,
    StdioTransport,
    Timing,
    Transport,
    Wait,
    Withholdable,
)
from gatelodge.core.errors import Invalid
from gatelodge.flows.act import Act
from gatelodge.flows.admin.definitions.proposals import Proposal

T = TypeVar("T")

Changes = dict[str, str | None]
"""Values by name; None takes a name away."""


class Edit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
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
    withheld: tuple[Withholdable, ...] | None = None
    start_seconds: Wait | None = None
    call_seconds: Wait | None = None
    longest_seconds: Wait | None = None


def edited(act: Act, row: Server, wish: Edit) -> Proposal:
    """How the server would be reached with that wish. Raises Invalid."""
    transport = _transport(row, wish)
    if not act.local:
        _must_not_carry(row.transport, transport, wish)
    old = row.timing
    return Proposal(
        transport=transport,
        era=_or(wish.era, row.era),
        tags=_or(wish.tags, row.tags),
        withheld=_or(wish.withheld, row.withheld),
        timing=Timing(
            start_seconds=_or(wish.start_seconds, old.start_seconds),
            call_seconds=_or(wish.call_seconds, old.call_seconds),
            longest_seconds=_or(wish.longest_seconds, old.longest_seconds),
        ),
    )


def _transport(row: Server, wish: Edit) -> Transport:
    """How it is reached then; a command makes it a process, a URL an endpoint."""
    own = row.transport
    if wish.command is not None and wish.url is not None:
        raise Invalid("give either a url or a command, not both")
    of_command = bool(wish.env) or wish.cwd is not None or wish.run_as is not None
    of_url = bool(wish.headers) or wish.allow_private is not None
    if wish.command is not None or (isinstance(own, StdioTransport) and wish.url is None):
        if of_url:
            raise Invalid("headers and allow_private go with a url")
        if not isinstance(own, StdioTransport):
            own = StdioTransport(command=())
        return replace(
            own,
            command=_or(wish.command, own.command),
            env=_merged(own.env, wish.env),
            cwd=_or(wish.cwd, own.cwd),
            run_as=_or(wish.run_as, own.run_as),
        )
    if of_command:
        raise Invalid("env, cwd and run_as go with a command")
    if not isinstance(own, HttpTransport):
        own = HttpTransport(url="")
    return replace(
        own,
        url=_or(wish.url, own.url),
        headers=_merged(own.headers, wish.headers),
        allow_private=_or(wish.allow_private, own.allow_private),
    )


def _must_not_carry(before: Transport, after: Transport, wish: Edit) -> None:
    """Raise Invalid when values that the caller never saw would go where the caller says."""
    if isinstance(before, StdioTransport) and isinstance(after, StdioTransport):
        moved, kept = before.command != after.command, before.env.keys() - wish.env.keys()
    elif isinstance(before, HttpTransport) and isinstance(after, HttpTransport):
        moved = _origin(before.url) != _origin(after.url)
        kept = before.headers.keys() - wish.headers.keys()
    else:
        return  # nothing of the one stays in the other
    if moved and kept:
        raise Invalid(
            f"the value of {min(kept)} was given for another place",
            remedy="Give each header or variable anew, or take it away, in the same change.",
        )


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _merged(before: dict[str, str], wish: Changes) -> dict[str, str]:
    whole = {**before, **wish}
    return {name: value for name, value in whole.items() if value is not None}


def _or(wish: T | None, own: T) -> T:
    return own if wish is None else wish
