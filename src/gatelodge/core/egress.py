"""Which network addresses the gate may connect to.

A pure table over one literal address. Whoever connects resolves first, judges each address, and
connects to the judged address, never to the name again (DNS rebinding). Sources: the IANA special
purpose registries (RFC 6890), RFC 6052 (NAT64), RFC 3056 (6to4), RFC 4380 (Teredo), RFC 5214
(ISATAP), RFC 3879 (site-local), and the metadata addresses of the large clouds.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

from msgspec import Struct

Reach = Literal["global", "private", "never"]


class Standing(Struct, frozen=True):
    """`global`: anyone's; `private`: needs an admin's word; `never`: no word opens it.

    `what` names the row of the table that decided.
    """

    reach: Reach
    what: str


_TABLE: tuple[tuple[str, Reach, str], ...] = (
    ("169.254.169.254/32", "never", "cloud metadata"),
    ("169.254.170.0/24", "never", "cloud metadata"),
    ("168.63.129.16/32", "never", "cloud metadata"),
    ("100.100.100.200/32", "never", "cloud metadata"),
    ("192.0.0.192/32", "never", "cloud metadata"),
    ("fd00:ec2::/32", "never", "cloud metadata"),
    ("fd20:ce::254/128", "never", "cloud metadata"),
    ("0.0.0.0/8", "never", "this network"),
    ("169.254.0.0/16", "never", "link-local"),
    ("224.0.0.0/4", "never", "multicast"),
    ("240.0.0.0/4", "never", "reserved"),
    ("127.0.0.0/8", "private", "loopback"),
    ("10.0.0.0/8", "private", "private"),
    ("172.16.0.0/12", "private", "private"),
    ("192.168.0.0/16", "private", "private"),
    ("100.64.0.0/10", "private", "carrier-grade NAT"),
    ("192.0.0.0/24", "private", "protocol assignments"),
    ("192.0.2.0/24", "private", "documentation"),
    ("198.51.100.0/24", "private", "documentation"),
    ("203.0.113.0/24", "private", "documentation"),
    ("192.88.99.0/24", "private", "6to4 relay"),
    ("198.18.0.0/15", "private", "benchmarking"),
    ("::/128", "never", "unspecified"),
    ("::1/128", "private", "loopback"),
    ("fe80::/10", "never", "link-local"),
    ("ff00::/8", "never", "multicast"),
    ("fc00::/7", "private", "unique local"),
    ("fec0::/10", "private", "site-local"),
    ("100::/64", "never", "discard"),
    ("2001:db8::/32", "private", "documentation"),
    ("3fff::/20", "private", "documentation"),
    ("5f00::/16", "private", "segment routing"),
    ("2001::/23", "private", "protocol assignments"),
)
_ROWS = tuple((ip_network(net), Standing(reach, what)) for net, reach, what in _TABLE)
_ORDINARY = Standing("global", "global")
_UNICAST = IPv6Network("2000::/3")


def judge(address: str) -> Standing:
    """Say how far an address may be reached. Raises ValueError when it is not a literal address.

    An IPv6 address with an IPv4 address inside is never more than `private`, and it is `never`
    when the inner address is: such forms exist to slip past a list like this one. The exception is
    the IPv4-mapped form, which is the inner address itself.
    """
    literal = ip_address(address.partition("%")[0])
    if isinstance(literal, IPv4Address):
        return _row(literal)
    if literal.ipv4_mapped is not None:
        return _row(literal.ipv4_mapped)
    tunnel = _inside(literal)
    if tunnel is not None:
        what, inner = tunnel
        return Standing("never" if _row(inner).reach == "never" else "private", what)
    return _row(literal)


def _row(address: IPv4Address | IPv6Address) -> Standing:
    for net, standing in _ROWS:
        if address.version == net.version and address in net:
            return standing
    if isinstance(address, IPv6Address) and address not in _UNICAST:
        return Standing("never", "reserved")
    return _ORDINARY if address.is_global else Standing("private", "not global")


_LAST_32 = (
    (IPv6Network("64:ff9b::/96"), "NAT64"),
    (IPv6Network("64:ff9b:1::/48"), "NAT64"),
    (IPv6Network("::ffff:0:0:0/96"), "IPv4-translated"),
    (IPv6Network("::/96"), "IPv4-compatible"),
)
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)
_LOOPBACK6 = IPv6Address("::1")


def _inside(address: IPv6Address) -> tuple[str, IPv4Address] | None:
    """The IPv4 address that this one carries, and the name of the form."""
    if address.sixtofour is not None:
        return "6to4", address.sixtofour
    if address.teredo is not None:
        return "Teredo", address.teredo[1]
    number = int(address)
    if (number >> 32) & 0xFFFF_FFFF in _ISATAP:
        return "ISATAP", IPv4Address(number & 0xFFFF_FFFF)
    if address == _LOOPBACK6 or number == 0:
        return None
    for net, what in _LAST_32:
        if address in net:
            return what, IPv4Address(number & 0xFFFF_FFFF)
    return None
