"""How a host is written where a port may follow: in a URL and in a Host field."""

from typing import Final

WILDCARD: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - compared with
"""Addresses that stand for every interface, and how a client on this machine reaches them."""


def bracketed(host: str) -> str:
    """The host as it stands there: an IPv6 address in brackets (RFC 3986 clause 3.2.2)."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def reached_here(host: str) -> str:
    """How a client on this machine names a listener of that address, ready for a port."""
    return WILDCARD.get(host) or bracketed(host)
