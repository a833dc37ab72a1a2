"""Which network addresses the gate may connect to.

A pure table over one literal address. Whoever connects resolves first, judges each address, and
connects to the judged address, never to the name again (DNS rebinding). Sources: the IANA special
purpose registries (RFC 6890), RFC 6052 and RFC 8215 (NAT64), RFC 3056 (6to4), RFC 4380 (Teredo),
RFC 5214 (ISATAP), RFC 3879 (site-local), and the metadata addresses of the large clouds.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

from msgspec import Struct

Reach = Literal["global", "private", "never"]


class AddressClass(Struct, frozen=True):
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
_ROWS = tuple((ip_network(net), AddressClass(reach, what)) for net, reach, what in _TABLE)
_ORDINARY = AddressClass("global", "global")
_UNICAST = IPv6Network("2000::/3")


def judge(address: str) -> AddressClass:
    """Say how far an address may be reached. Raises ValueError when it is not a literal address.

    An IPv6 address with an IPv4 address inside is never more than `private`, and it is `never`
    when it or the inner address is: such forms exist to slip past a list like this one. Where
    several forms fit, each is read. The exception is
    the IPv4-mapped form, which is the inner address itself.
    """
    literal = ip_address(address.partition("%")[0])
    if isinstance(literal, IPv4Address):
        return _class_of_address(literal)
    if literal.ipv4_mapped is not None:
        return _class_of_address(literal.ipv4_mapped)
    listed = _listed(literal)
    if listed is not None and listed.reach == "never":
        return listed
    carried = _embedded_ipv4_address(literal)
    if carried:
        banned = any(_class_of_address(inner).reach == "never" for _, inner in carried)
        return AddressClass("never" if banned else "private", carried[0][0])
    return _class_of_address(literal)


def _listed(address: IPv4Address | IPv6Address) -> AddressClass | None:
    for net, standing in _ROWS:
        if address.version == net.version and address in net:
            return standing
    return None


def _class_of_address(address: IPv4Address | IPv6Address) -> AddressClass:
    listed = _listed(address)
    if listed is not None:
        return listed
    if isinstance(address, IPv6Address) and address not in _UNICAST:
        return AddressClass("never", "reserved")
    return _ORDINARY if address.is_global else AddressClass("private", "not global")


_TRANSLATED = (
    (IPv6Network("64:ff9b::/96"), "NAT64", (96,)),
    (IPv6Network("64:ff9b:1::/48"), "NAT64", (96, 64, 56, 48)),
    (IPv6Network("::ffff:0:0:0/96"), "IPv4-translated", (96,)),
    (IPv6Network("::/96"), "IPv4-compatible", (96,)),
)
"""Networks whose addresses carry one of IPv4, and behind how many bits it may stand.

A site cuts prefixes of its own length out of 64:ff9b:1::/48 (RFC 8215 section 4), so every length
that fits is read.
"""
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)
_LOOPBACK6 = IPv6Address("::1")
_UNUSED = IPv4Network("0.0.0.0/8")


def _embedded_ipv4_address(address: IPv6Address) -> list[tuple[str, IPv4Address]]:
    """Each IPv4 address that this one may carry, with the name of the form."""
    number = int(address)
    found: list[tuple[str, IPv4Address]] = []
    if address.sixtofour is not None:
        found.append(("6to4", address.sixtofour))
    if address.teredo is not None:
        found += [("Teredo", each) for each in address.teredo]
    if (number >> 32) & 0xFFFF_FFFF in _ISATAP:
        found.append(("ISATAP", IPv4Address(number & 0xFFFF_FFFF)))
    for net, what, lengths in _TRANSLATED:
        if address in net and address != _LOOPBACK6:
            read = [_embedded(number, length) for length in lengths]
            # Zeros stand where a form of another length has its prefix or its suffix.
            found += [(what, each) for each in read if each not in _UNUSED] or [(what, read[0])]
    return found


def _embedded(number: int, length: int) -> IPv4Address:
    """What stands behind a prefix of so many bits (RFC 6052 section 2.2).

    The ninth octet of an address is no part of it, but where the prefix has 96 bits.
    """
    if length == 96:
        return IPv4Address(number & 0xFFFF_FFFF)
    joined = (number >> 64) << 56 | number & ((1 << 56) - 1)
    return IPv4Address(joined >> (120 - length - 32) & 0xFFFF_FFFF)
