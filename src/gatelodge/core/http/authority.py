"""How a host is written where a port may follow: in a URL and in a Host field."""


def bracketed(host: str) -> str:
    """The host as it stands there: an IPv6 address in brackets (RFC 3986 clause 3.2.2)."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
