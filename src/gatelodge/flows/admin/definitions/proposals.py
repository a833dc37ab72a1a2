"""What may be said of how a server is reached, and by whom; and what an approval of it covers."""

import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from urllib.parse import SplitResult, urlsplit

import rfc8785
from msgspec import Struct

from gatelodge.core.catalog.references import HOW, half_reference, unread_reference
from gatelodge.core.catalog.server import (
    EraWish,
    Server,
    StdioTransport,
    Timing,
    Transport,
    Withholdable,
)
from gatelodge.core.errors import Forbidden, Invalid
from gatelodge.core.ids import WorkspaceId
from gatelodge.core.people import Workspace
from gatelodge.flows.act import Act, a_line

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_OURS = re.compile(
    r"host|content-(length|type|encoding)|transfer-encoding|connection|upgrade|te|trailer"
    r"|accept|expect|mcp-.*|proxy-.*",
    re.IGNORECASE,
)
"""Headers that the gate writes itself for each request."""

MOST_TAGS = 64
MOST_WORDS = 512
LONGEST_TRANSPORT = 64 * 1024


class Proposal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a server is reached. The words of an admin: whatever runs is built from these alone."""

    transport: Transport
    era: EraWish = "auto"
    tags: tuple[str, ...] = ()
    withheld: tuple[Withholdable, ...] = ()
    timing: Timing = Timing()


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
        "revision": row.revision,
        "tags": list(row.tags),
        "transport": fingerprint(row.transport),
        "withheld": list(row.withheld),
    }
    return sha256(rfc8785.dumps(words)).hexdigest()  # type: ignore[arg-type]


def allowed(act: Act, workspace: WorkspaceId, transport: Transport) -> Transport:
    """The transport, when whoever acts may reach that far. Raises Forbidden."""
    if act.local:
        return transport
    slug = act.the(Workspace, id=workspace).slug
    beyond = act.bounds.beyond(transport, slug)
    if beyond:
        raise Forbidden(
            f"only the operator on the gate's own machine may give a server {beyond}",
            remedy="Run it there, without --url; or see hosting.api_commands, hosting.secrets_dir "
            "and hosting.secrets_prefix.",
        )
    return transport


def checked(transport: Transport) -> Transport:
    """The transport, when every word of it can be meant. Raises Invalid with its place."""
    _check_extent(transport)
    if isinstance(transport, StdioTransport):
        if not transport.command or not transport.command[0]:
            raise Invalid("command: a program has to be named")
        _pairs("env", transport.env, _ENV_NAME)
        if any("\0" in word for word in (*transport.command, transport.cwd)):
            raise Invalid("command: a word holds a NUL character")
        if transport.cwd and not transport.cwd.startswith("/"):
            raise Invalid("cwd: not an absolute path")
        _no_reference("command", transport.command, "--env NAME=env:NAME")
        return transport
    _no_reference("url", re.split(r"[/?&=]", transport.url), "--header NAME=env:NAME")
    _check_url(_split(transport.url), private=transport.allow_private)
    _pairs("headers", transport.headers, _HEADER_NAME)
    ours = [name for name in transport.headers if _OURS.fullmatch(name)]
    if ours:
        raise Invalid(f"headers: the gate writes {ours[0]!r} itself")
    return transport


def _check_extent(transport: Transport) -> None:
    """Raise Invalid for more words than a program or a request takes."""
    if isinstance(transport, StdioTransport):
        words, pairs = (*transport.command, transport.cwd), transport.env
    else:
        words, pairs = (transport.url,), transport.headers
    size = sum(map(len, words)) + sum(len(name) + len(value) for name, value in pairs.items())
    if size > LONGEST_TRANSPORT or len(words) + len(pairs) > MOST_WORDS:
        what = f"at most {MOST_WORDS} words of {LONGEST_TRANSPORT} characters together"
        raise Invalid(f"how a server is reached is said in {what}")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises on what is no port
    except ValueError:
        raise Invalid("url: not a URL") from None
    if not url.isprintable() or any(letter.isspace() for letter in url) or not parts.hostname:
        raise Invalid("url: not a URL with a host")
    return parts


def _check_url(parts: SplitResult, *, private: bool) -> None:
    if parts.scheme not in ("http", "https"):
        raise Invalid(
            "url: the gate connects to https:// addresses", remedy="Name one that begins so."
        )
    if parts.scheme == "http" and not private:
        raise Invalid(
            "url: the gate connects to http:// addresses only where that is allowed",
            remedy="For a server on this machine or an own network set allow_private "
            "(`gatelodge server add --allow-private`).",
        )
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise Invalid(
            "url: holds a credential or a fragment",
            remedy="Send credentials as a header, by reference: file:/path or env:NAME.",
        )


def _pairs(what: str, pairs: Mapping[str, str], names: re.Pattern[str]) -> None:
    for name, value in pairs.items():
        if names.fullmatch(name) is None:
            raise Invalid(f"{what}: not a name that can be used: {name[:40]!r}")
        if any(letter in value for letter in "\0\r\n"):
            raise Invalid(f"{what}: the value of {name} holds a line break or a NUL character")
        wrong = half_reference(value)
        if wrong:
            raise Invalid(f"{what}: the value of {name} {wrong}", remedy=HOW)


def _no_reference(what: str, words: Iterable[str], instead: str) -> None:
    """Raise Invalid for a word that looks like a reference, where none is read."""
    for word in words:
        if unread_reference(word):
            raise Invalid(
                f"{what}: {word[:40]!r} looks like a reference, and none is read there",
                remedy=f"Whoever looks at this machine can see it there; use {instead}.",
            )


def tags_of(tags: tuple[str, ...]) -> tuple[str, ...]:
    """The tags in their order, each once. Raises Invalid."""
    if len(tags) > MOST_TAGS:
        raise Invalid(f"a server has at most {MOST_TAGS} tags")
    return tuple(sorted({a_line("a tag", tag, 40) for tag in tags}))
