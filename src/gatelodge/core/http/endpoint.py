"""Where a URL leads, and whether the gate may go there: one rule for all that is called.

The way is judged in three steps: the URL when it is read (`read_url`), the address that its name
leads to at each connection (`check_address`), and each header before it is sent (`header_line`).
"""

import re
from ipaddress import ip_address
from unicodedata import normalize
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from gatelodge.core.errors import Invalid
from gatelodge.core.http.authority import bracketed
from gatelodge.core.http.egress import judge

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


class HttpEndpoint(Struct, frozen=True, kw_only=True):
    """Where to connect and what to ask for there; `private` addresses only with an admin's word.

    `opens` tells how an admin gives it.
    """

    host: str
    port: int
    tls: bool
    path: str
    authority: str
    private: bool
    opens: str

    @property
    def origin(self) -> str:
        """Scheme, host and port: whoever shares them may be told the same secrets."""
        return f"{'https' if self.tls else 'http'}://{self.authority}"


def read_url(url: str, *, private: bool, opens: str) -> HttpEndpoint:
    """Where a URL leads. Raises Invalid for one that cannot be used.

    An address that stands in it is judged here, what a name leads to at each connection: by then it
    may be another address. `private` and `opens` are those of the endpoint.
    """
    parts, port = _split_url(url)
    tls, host = parts.scheme == "https", parts.hostname or ""
    if parts.scheme not in ("http", "https"):
        raise Invalid(
            "url: the gate connects to https:// addresses", remedy="Name one that begins so."
        )
    if not tls and not private:
        raise Invalid(
            "url: the gate connects to http:// addresses only where that is allowed",
            remedy=opens,
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
    if not url.isascii():
        raise Invalid(
            "url: holds letters that no URL may",
            remedy="Write them percent-encoded, such as %C3%A9 for \u00e9.",
        )
    name = bracketed(host)
    usual = 443 if tls else 80
    endpoint = HttpEndpoint(
        host=host,
        port=port or usual,
        tls=tls,
        path=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        authority=name if port in (None, usual) else f"{name}:{port}",
        private=private,
        opens=opens,
    )
    if _is_address(host):
        check_address(endpoint, host)
    return endpoint


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
            remedy=endpoint.opens,
        )


def header_line(name: str, value: str) -> bytes:
    """A header of somebody's own as it is sent, without the space around its value.

    Raises Invalid for one that belongs to the gate, and for characters that no header may hold.
    """
    lower = name.lower()
    if lower in _GATES_HEADERS or lower.startswith(_GATES_PREFIXES):
        raise Invalid(
            f"headers: {name!r} belongs to the connection, which is the gate's own",
            remedy="Leave it out.",
        )
    return field_line(name, value)


def field_line(name: str, value: str) -> bytes:
    """A header as it is sent, whosesoever it is. Raises Invalid for what no header may hold."""
    if _HEADER_NAME.fullmatch(name) is None:
        raise Invalid(
            f"headers: not a name that can be used: {name[:40]!r}",
            remedy="Write the header's name alone: letters, digits and hyphens.",
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


def _split_url(url: str) -> tuple[SplitResult, int | None]:
    how = "Write https://HOST/PATH."
    if "://" not in url:
        raise Invalid("url: not a URL", remedy=f"A URL begins with https://. {how}")
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
