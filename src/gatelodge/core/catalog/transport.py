"""How a server may be reached: one rule, for whoever writes a definition and whoever uses it.

A definition is judged whole before a row of it exists, and once more when its server is reached.
What shows only then is judged by parts of the same rule: the value behind a reference
(`header_line`, `check_variable`), and the address that a name leads to (`check_address`).
"""

import re
from collections.abc import Collection, Iterable, Mapping
from ipaddress import ip_address
from typing import Final
from unicodedata import normalize
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from gatelodge.core.catalog.references import (
    HOW,
    half_reference,
    literal,
    reference,
    unread_reference,
)
from gatelodge.core.catalog.server import HttpTransport, StdioTransport, Transport
from gatelodge.core.errors import Invalid
from gatelodge.core.http.authority import bracketed
from gatelodge.core.http.egress import judge

MOST_WORDS: Final = 512
LONGEST_TRANSPORT: Final = 64 * 1024
"""Bytes of all words together: half of what the kernel takes as one word of a command."""

_OF_URL = ("url", "headers", "allow_private")
_OF_COMMAND = ("command", "env", "cwd", "run_as")
PARTS: Final = (*_OF_URL, *_OF_COMMAND)
"""What a definition says of the way to its server, by the names that every face has for it."""

_WORD = re.compile(r"[^\0\ud800-\udfff]*")
"""What the kernel takes as a word or a value: no NUL, and nothing that UTF-8 cannot write."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_UNSEEN = re.compile(r"[\x00-\x20\x7f]")
_NETLOC = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::[0-9]*)?")
_DOTS = re.compile("[.\u3002\uff0e\uff61]")
_LONGEST_HOST = 253
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_HEADER_TEXT = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_GATES_HEADERS = frozenset((
    "accept", "accept-encoding", "connection", "expect", "host", "keep-alive", "last-event-id",
    "te", "trailer", "transfer-encoding", "upgrade", "user-agent",
))  # fmt: skip
"""Headers that the gate writes for each request, or that would change how its bytes are read."""
_GATES_PREFIXES = ("content-", "mcp-", "proxy-")
_PRIVATE = (
    "For a server on this machine or an own network set allow_private "
    "(`gatelodge server add --allow-private`)."
)


class HttpEndpoint(Struct, frozen=True, kw_only=True):
    """Where to connect and what to ask for there; `private` addresses only with an admin's word."""

    host: str
    port: int
    tls: bool
    path: str
    authority: str
    private: bool


def check_parts(named: Collection[str]) -> None:
    """Refuse parts of two ways to reach a server: those of one would be left out unseen.

    `named` are those of `PARTS` that somebody gave. Raises Invalid.
    """
    of_url = [part for part in _OF_URL if part in named]
    of_command = [part for part in _OF_COMMAND if part in named]
    if "url" in named and "command" in named:
        raise Invalid("give a command or a url, not both", remedy="Take one of them away.")
    if "url" not in named and "command" not in named:
        raise Invalid(
            "a server is reached by a command or a url",
            remedy="Say --url URL, or -- CMD ARGS... (in a file: url or command).",
        )
    if of_url and of_command:
        odd, way = (of_command, "a command") if "url" in named else (of_url, "a url")
        raise Invalid(
            f"{odd[0]}: only for a server that is reached by {way}",
            remedy=f"Take it away, or reach the server by {way}.",
        )


def check_transport(transport: Transport) -> None:
    """Refuse a definition whose server could not be reached as it stands.

    Raises Invalid with the place and what to write instead; no value is named.
    """
    if isinstance(transport, StdioTransport):
        _check_extent((*transport.command, transport.cwd), transport.env)
        _check_process(transport)
    else:
        _check_extent((transport.url,), transport.headers)
        # Of an endpoint only headers are read for references: here one would be sent as it stands.
        _no_reference("url", re.split(r"[/?&=]", transport.url), "--header NAME=env:NAME")
        endpoint = http_endpoint(transport)
        # What a name leads to is judged at each connection: by then it may be another address.
        if _is_address(endpoint.host):
            check_address(endpoint, endpoint.host)
        _check_headers(transport.headers)


def http_endpoint(transport: HttpTransport) -> HttpEndpoint:
    """Where a transport's URL leads. Raises Invalid for one that cannot be used."""
    parts, port = _split_url(transport.url)
    tls, host = parts.scheme == "https", parts.hostname or ""
    if parts.scheme not in ("http", "https"):
        raise Invalid(
            "url: the gate connects to https:// addresses", remedy="Name one that begins so."
        )
    if not tls and not transport.allow_private:
        raise Invalid(
            "url: the gate connects to http:// addresses only where that is allowed",
            remedy=_PRIVATE,
        )
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise Invalid(
            "url: holds a credential or a fragment",
            remedy="Send credentials as a header, by reference: file:/path or env:NAME.",
        )
    _check_host(host, parts.netloc)
    if port == 0:
        raise Invalid("url: there is no port 0", remedy="Leave the port out, or name another.")
    # After the host, whose own fault tells how DNS writes it.
    if not transport.url.isascii():
        raise Invalid(
            "url: holds letters that no URL may",
            remedy="Write them percent-encoded, such as %C3%A9 for \u00e9.",
        )
    name = bracketed(host)
    usual = 443 if tls else 80
    return HttpEndpoint(
        host=host,
        port=port or usual,
        tls=tls,
        path=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        authority=name if port in (None, usual) else f"{name}:{port}",
        private=transport.allow_private,
    )


def check_address(endpoint: HttpEndpoint, address: str) -> None:
    """Refuse an address that the endpoint may not be reached at. Raises Invalid."""
    standing = judge(address)
    if standing.reach == "never":
        raise Invalid(
            f"url: the address is one that is never reached ({standing.what})",
            remedy="Name another; nothing opens this one.",
        )
    if standing.reach == "global" and not endpoint.tls:
        raise Invalid(
            "url: the address is a public one, which is only spoken to over https",
            remedy="Name a URL that begins with https://.",
        )
    if standing.reach == "private" and not endpoint.private:
        raise Invalid(
            f"url: the address is not a public one ({standing.what})",
            remedy=_PRIVATE,
        )


def header_line(name: str, value: str) -> bytes:
    """A header of the server's own as it is sent, without the space around its value.

    Raises Invalid for one that belongs to the gate, and for characters that no header may hold.
    """
    if _HEADER_NAME.fullmatch(name) is None:
        raise Invalid(
            f"headers: not a name that can be used: {name[:40]!r}",
            remedy="Write the header's name alone: letters, digits and hyphens.",
        )
    lower = name.lower()
    if lower in _GATES_HEADERS or lower.startswith(_GATES_PREFIXES):
        raise Invalid(
            f"headers: {name!r} belongs to the connection, which is the gate's own",
            remedy="Leave it out.",
        )
    # A secret file may end in a line break; one within the value would begin a header of its own,
    # so it is refused below.
    text = value.strip(" \t\r\n")
    if _HEADER_TEXT.fullmatch(text) is None:
        raise Invalid(
            f"headers: the value of {name} holds characters that no header may",
            remedy="Write it in ASCII, on one line.",
        )
    return f"{name}: {text}\r\n".encode("latin-1")


def check_variable(name: str, value: str) -> None:
    """Refuse a variable that no process can be given. Raises Invalid; the value is not named."""
    if _VARIABLE.fullmatch(name) is None:
        raise Invalid(
            f"env: not a name that can be used: {name[:40]!r}",
            remedy="A variable's name has letters, digits and underscores, and begins with no "
            "digit.",
        )
    if _WORD.fullmatch(value) is None:
        raise Invalid(
            f"env: the value of {name} holds a NUL character, or is no text",
            remedy="Give it without.",
        )


def _check_extent(words: Collection[str], pairs: Mapping[str, str]) -> None:
    """Raise Invalid for more words than a program or a request takes."""
    texts = (*words, *pairs, *pairs.values())
    # Half of a surrogate pair is refused later, by its place: measuring must not raise for it.
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    if size > LONGEST_TRANSPORT or len(words) + len(pairs) > MOST_WORDS:
        raise Invalid(
            "how a server is reached is said in at most "
            f"{MOST_WORDS} words of {LONGEST_TRANSPORT} bytes together",
            remedy="Put what is longer into a file that the server reads.",
        )


def _check_process(transport: StdioTransport) -> None:
    cwd, program = transport.cwd, next(iter(transport.command), "")
    if not program:
        raise Invalid(
            "command: a program has to be named",
            remedy="Write it after two hyphens: -- CMD ARGS...",
        )
    for place, word in (*(("command", word) for word in transport.command), ("cwd", cwd)):
        if _WORD.fullmatch(word) is None:
            raise Invalid(
                f"{place}: a word holds a NUL character, or is no text", remedy="Give it without."
            )
    if cwd and not cwd.startswith("/"):
        raise Invalid("cwd: not an absolute path", remedy="Write the whole path, from / on.")
    if "/" in program and not program.startswith("/") and not cwd:
        raise Invalid(
            f"command: {program[:40]!r} is a path that begins nowhere",
            remedy="Name the program by its whole path, or give the directory (--cwd DIR).",
        )
    _no_reference("command", transport.command, "--env NAME=env:NAME")
    for name, value in transport.env.items():
        check_variable(name, _checked_literal("env", name, value))


def _check_headers(headers: Mapping[str, str]) -> None:
    names: dict[str, str] = {}
    for name, value in headers.items():
        header_line(name, _checked_literal("headers", name, value))
        # Both would be sent, and which of them counts would be for the server to choose.
        twin = names.setdefault(name.lower(), name)
        if twin != name:
            raise Invalid(
                f"headers: {twin!r} and {name!r} are the same header",
                remedy=f"Take one of them away (--drop-header {twin}).",
            )


def _checked_literal(what: str, name: str, value: str) -> str:
    """The text that is written there; "" for a reference, whose text is judged when it is read.

    Raises Invalid for what looks like a reference and is none, and for a line break.
    """
    if any(letter in value for letter in "\0\r\n"):
        raise Invalid(
            f"{what}: the value of {name[:40]!r} holds a line break or a NUL character",
            remedy="Put a longer secret into a file, and write file:/PATH.",
        )
    wrong = half_reference(value)
    if wrong:
        raise Invalid(f"{what}: the value of {name[:40]!r} {wrong}", remedy=HOW)
    return "" if reference(value) else literal(value)


def _no_reference(what: str, words: Iterable[str], instead: str) -> None:
    """Raise Invalid for a word that looks like a reference, where none is read."""
    for word in words:
        if unread_reference(word):
            raise Invalid(
                f"{what}: {word[:40]!r} looks like a reference, and none is read there",
                remedy=f"Whoever looks at this machine can see it there; use {instead}.",
            )


def _split_url(url: str) -> tuple[SplitResult, int | None]:
    how = "Write https://HOST/PATH."
    if _UNSEEN.search(url):  # a parser would drop some of these without a word
        raise Invalid("url: holds a space or a control character", remedy="Write a space as %20.")
    try:
        parts = urlsplit(url)
        return parts, parts.port
    except ValueError:
        raise Invalid("url: not a URL", remedy=how) from None


def _check_host(host: str, netloc: str) -> None:
    """Raise Invalid for what is neither a name that DNS knows nor an address.

    A name in other letters is not turned into one: what somebody approves is what is looked up,
    and letters that look alike are told apart there.
    """
    how = "Write https://HOST/PATH."
    if not host:
        raise Invalid("url: not a URL with a host", remedy=how)
    if not host.isascii() and len(host) <= _LONGEST_HOST:
        raise Invalid(
            f"url: the host {host!r} is not written in ASCII",
            remedy=f"Write it as DNS has it: {_in_ascii(host)}",
        )
    address = ":" in host
    labels = host.removesuffix(".").split(".")
    named = len(host) <= _LONGEST_HOST and all(0 < len(label) <= 63 for label in labels)
    address = address or _NUMBER.fullmatch(labels[-1]) is not None  # 127.1 is no name either
    # `urlsplit` is lenient about brackets and ports, so the text itself is judged as well.
    if _NETLOC.fullmatch(netloc) is None or not (_is_address(host) if address else named):
        raise Invalid("url: its host is neither a name nor an address", remedy=how)


def _in_ascii(host: str) -> str:
    """The form in which DNS has a name (RFC 5891), when it is spelled as it is registered."""
    return ".".join(
        label
        if label.isascii()
        else f"xn--{normalize('NFC', label).encode('punycode').decode('ascii')}"
        for label in _DOTS.split(host)
    )


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
