"""Whatever address a gate listens on, whoever asks for that address is served."""

import pytest

from gatelodge.web.endpoint.origins import origins


@pytest.mark.parametrize(
    ("listens", "asked"),
    [
        ("fd00::5", b"[fd00::5]"),
        ("FD00::5", b"[fd00::5]"),
        ("192.0.2.5", b"192.0.2.5"),
        ("gate.example.test", b"Gate.example.test"),
    ],
)
@pytest.mark.parametrize("port", [b"", b":8720"])
def test_the_address_that_the_gate_listens_on_is_one_of_its_hosts(
    listens: str, asked: bytes, port: bytes
):
    for given in (origins(listens, "", (), ()), origins("::", "", (listens,), ())):
        assert given.host_allowed(asked + port)
        assert given.origin_allowed(b"http://" + asked.lower() + port, asked + port)


@pytest.mark.parametrize("public", ["https://[fd00::5]", "https://[fd00::5]:8443"])
def test_a_public_address_of_ipv6_is_one_of_its_hosts(public: str):
    given = origins("127.0.0.1", public, (), ())
    assert given.host_allowed(b"[fd00::5]")
    assert given.host_allowed(b"[fd00::5]:8443")
    assert not given.host_allowed(b"[fd00::6]")


@pytest.mark.parametrize(
    "host", [b"", b":8720", b"[]", b"[fd00:", b"[fd00::", b"fd00::5", b"[fd00::6]"]
)
def test_what_is_no_address_of_the_gate_is_none_of_its_hosts(host: bytes):
    assert not origins("fd00::5", "https://[fd00::5]", ("",), ()).host_allowed(host)
