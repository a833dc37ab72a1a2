"""The table of addresses: each row is one way that a guard was fooled somewhere, or must not be."""

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.core.http.egress import judge

GLOBAL = ["8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.32.0.1", "192.167.255.255",
          "2606:4700:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8"]  # fmt: skip

PRIVATE = {
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "::1": "loopback",
    "::ffff:127.0.0.1": "loopback",
    "10.0.0.1": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "::ffff:192.168.1.1": "private",
    "100.64.0.1": "carrier-grade NAT",
    "100.127.255.255": "carrier-grade NAT",
    "198.18.0.1": "benchmarking",
    "192.0.2.1": "documentation",
    "198.51.100.1": "documentation",
    "203.0.113.1": "documentation",
    "192.88.99.1": "6to4 relay",
    "fd12:3456::1": "unique local",
    "fec0::1": "site-local",
    "2001:db8::1": "documentation",
    "64:ff9b::8.8.8.8": "NAT64",
    "64:ff9b::10.0.0.1": "NAT64",
    "64:ff9b:1::1.2.3.4": "NAT64",
    "64:ff9b:1:808:8:800::": "NAT64",
    "64:ff9b:1:8:8:808::": "NAT64",
    "64:ff9b:1:0:8:808:800:0": "NAT64",
    "2002:a00:1::": "6to4",
    "2002:808:808::1": "6to4",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2": "Teredo",
    "fe00::5efe:a00:1": "ISATAP",
    "2a00:1::200:5efe:808:808": "ISATAP",
    "::8.8.8.8": "IPv4-compatible",
    "::ffff:0:8.8.8.8": "IPv4-translated",
}

NEVER = {
    "169.254.169.254": "cloud metadata",
    "169.254.170.2": "cloud metadata",
    "168.63.129.16": "cloud metadata",
    "100.100.100.200": "cloud metadata",
    "fd00:ec2::254": "cloud metadata",
    "fd20:ce::254": "cloud metadata",
    "::ffff:169.254.169.254": "cloud metadata",
    "64:ff9b::169.254.169.254": "NAT64",
    "64:ff9b:1:a9fe:a9:fe00:808:808": "NAT64",
    "64:ff9b:1:a9fe:a9:fe00::": "NAT64",
    "64:ff9b:1:a9:fe:a9fe::": "NAT64",
    "64:ff9b:1:0:a9:fea9:fe00:0": "NAT64",
    "64:ff9b:1:808:8:800:a9fe:a9fe": "NAT64",
    "64:ff9b:1::": "NAT64",
    "2002:a9fe:a9fe::1": "6to4",
    "2002:808:808::5efe:a9fe:a9fe": "6to4",
    "2001:0:a9fe:a9fe:8000:63bf:3fff:fdd2": "Teredo",
    "2001:0:4136:e378:8000:63bf:5601:5601": "Teredo",
    "fe80::5efe:a00:1": "link-local",
    "fd00:ec2::5efe:a00:1": "cloud metadata",
    "ff02::5efe:a00:1": "multicast",
    "169.254.1.1": "link-local",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "0.0.0.0": "this network",
    "0.1.2.3": "this network",
    "::": "unspecified",
    "224.0.0.1": "multicast",
    "ff02::1": "multicast",
    "255.255.255.255": "reserved",
    "240.0.0.1": "reserved",
    "100::1": "discard",
    "4000::1": "reserved",
}


@pytest.mark.parametrize("address", GLOBAL)
def test_a_public_address_may_be_reached(address):
    assert judge(address).reach == "global"


@pytest.mark.parametrize(("address", "what"), PRIVATE.items())
def test_a_private_address_needs_a_word(address, what):
    assert (judge(address).reach, judge(address).what) == ("private", what)


@pytest.mark.parametrize(("address", "what"), NEVER.items())
def test_no_word_opens_these(address, what):
    assert (judge(address).reach, judge(address).what) == ("never", what)


@pytest.mark.parametrize("text", ["", "localhost", "0x7f.1", "2130706433", "127.1", "1.2.3.4.5"])
def test_only_literal_addresses_are_judged(text):
    with pytest.raises(ValueError, match="does not appear"):
        judge(text)


@given(st.ip_addresses(v=4))
def test_an_inner_address_is_never_freer_than_itself(inner):
    number = int(inner)
    forms = [f"::ffff:{inner}", f"64:ff9b::{inner}", f"2002:{number >> 16:x}:{number & 65535:x}::1"]
    site = 0x0064_FF9B_0001 << 80
    # RFC 6052 section 2.2: the ninth octet is left out. Zeros may be part of another form.
    for bits in (48, 56, 64) if number >> 24 else ():
        high, low = divmod(number << (120 - 32 - bits), 1 << 56)
        forms.append(str(IPv6Address(site | high << 64 | low)))
    order = ("global", "private", "never")
    for form in forms:
        assert order.index(judge(form).reach) >= order.index(judge(str(inner)).reach)


@given(st.ip_addresses())
def test_what_python_calls_not_global_is_never_reached_without_a_word(address):
    if not address.is_global:
        assert judge(str(address)).reach != "global"
