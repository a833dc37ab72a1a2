"""Where the one way out does not lead: addresses, names, redirects."""

import ssl

import pytest
from tests.integration.net.service import PUBLIC, SECRET, redirect, refusal, whole

from gatelodge.adapters.net.fetch import GuardedClient, OutboundRequest

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1/", "http:// addresses only where that is allowed"),
        ("https://127.0.0.1/", "not a public one (loopback)"),
        ("https://10.0.0.1/", "not a public one (private)"),
        ("https://[::ffff:192.168.0.1]/", "not a public one (private)"),
        ("https://[64:ff9b::a00:1]/", "not a public one (NAT64)"),
        ("https://169.254.169.254/latest/meta-data/", "never reached (cloud metadata)"),
        ("https://[64:ff9b::a9fe:a9fe]/", "never reached (NAT64)"),
        ("https://example.com:8443/", "port"),
        (f"https://user:{SECRET}@example.com/", "credential"),
        ("file:///etc/passwd", "https://"),
        ("gopher://example.com/", "https://"),
        ("https://exam ple.com/", "space"),
    ],
)
async def test_what_a_url_shows_is_refused_before_anything_is_asked(client, names, url, why):
    assert why in await refusal(client, OutboundRequest(url=url))
    assert not names["looked up"]


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1", "loopback"),
        ("192.168.7.7", "private"),
        ("169.254.169.254", "cloud metadata"),
        ("169.254.3.4", "link-local"),
        ("fe80::1", "link-local"),
        ("::ffff:169.254.169.254", "cloud metadata"),
        ("::ffff:10.1.2.3", "private"),
        ("64:ff9b::a9fe:a9fe", "NAT64"),
        ("64:ff9b::a00:1", "NAT64"),
        ("2002:a00:1::", "6to4"),
        ("0.0.0.0", "this network"),
    ],
)
async def test_what_a_name_leads_to_is_refused_after_it_was_looked_up(client, names, address, why):
    names["service.test"] = [[address]]
    assert why in await refusal(client, OutboundRequest(url="https://service.test/"))


@pytest.mark.parametrize("address", ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1"])
async def test_no_word_opens_an_address_that_is_never_reached(client, names, address):
    names["service.test"] = [[address]]
    asked = OutboundRequest(url="http://service.test/", private=True, ports=frozenset((80,)))
    assert "never reached" in await refusal(client, asked)


async def test_a_public_address_is_not_spoken_to_in_the_clear(client, names):
    names["service.test"] = [["8.8.8.8"]]
    asked = OutboundRequest(url="http://service.test/", private=True, ports=frozenset((80,)))
    assert "only spoken to over https" in await refusal(client, asked)


async def test_what_was_judged_is_connected_to_and_the_name_is_not_asked_again(outside, names):
    # Whoever owns the name answers a second look-up with an address of the gate's own network.
    names["service.test"] = [[PUBLIC], ["127.0.0.1"]]
    outside.answers["/"] = whole(b"public")
    assert (await outside.client.fetch(outside.asked())).body == b"public"
    assert names["looked up"]["service.test"] == 1
    assert "loopback" in await refusal(outside.client, outside.asked())
    assert len(outside.heads) == 1


async def test_of_several_addresses_only_those_are_tried_that_may_be(outside, names):
    names["service.test"] = [["169.254.169.254", "10.0.0.1", PUBLIC]]
    outside.answers["/"] = whole(b"public")
    assert (await outside.client.fetch(outside.asked())).body == b"public"


@pytest.mark.parametrize("name", ["service.test", "elsewhere.test"])
async def test_a_certificate_has_to_be_for_the_name(outside, names, name):
    names[name] = [[PUBLIC]]
    outside.answers["/"] = whole(b"public")
    asked = OutboundRequest(url=f"https://{name}:{outside.port}/", ports=frozenset((outside.port,)))
    if name == "service.test":
        assert (await outside.client.fetch(asked)).body == b"public"
    else:
        assert "certificate" in await refusal(outside.client, asked)
    strict = GuardedClient(ssl.create_default_context, "1.2")
    assert "certificate" in await refusal(strict, asked)


async def test_a_redirect_is_an_answer_unless_following_was_asked_for(client, service):
    service.answers["/"] = redirect("/there")
    service.answers["/there"] = redirect("/further#part")
    service.answers["/further"] = whole(b"found")
    assert (await client.fetch(service.asked())).status == 302
    assert (await client.fetch(service.asked(redirects=1))).fields[b"location"] == b"/further#part"
    assert (await client.fetch(service.asked(redirects=2))).body == b"found"
    assert (await client.fetch(service.asked(redirects=2, method="POST"))).status == 302
    # A body is meant for the one who was asked, and is not repeated elsewhere.
    assert (await client.fetch(service.asked(redirects=2, body=b"asked"))).status == 302


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("http://127.0.0.1:{service}/", "http:// addresses only where that is allowed"),
        ("https://127.0.0.1:{port}/", "loopback"),
        ("https://inside.test:{port}/", "loopback"),
        ("https://169.254.169.254:{port}/", "cloud metadata"),
        ("https://other.test/", "port"),
        ("file:///etc/passwd", "https://"),
        ("https://user:word@other.test:{port}/", "credential"),
        ("https://[", "none"),
        ("/\xe4", "none"),
    ],
)
async def test_a_redirect_is_judged_anew(outside, service, names, to, why):
    names["service.test"], names["inside.test"] = [[PUBLIC]], [["127.0.0.1"]]
    service.answers["/"] = whole(b"inside")
    where = to.format(service=service.port, port=outside.port)
    outside.answers["/"] = redirect(where)
    # An admin allowed this one to be private, and no other.
    assert why in await refusal(outside.client, outside.asked(redirects=3, private=True))
    assert not service.heads


async def test_no_header_of_ones_own_goes_to_another_origin_nor_back_from_there(outside, names):
    names["service.test"] = names["other.test"] = [[PUBLIC]]
    outside.answers["/"] = redirect("/same")
    outside.answers["/same"] = redirect(f"https://other.test:{outside.port}/other", 307)
    outside.answers["/other"] = redirect(f"https://service.test:{outside.port}/back")
    outside.answers["/back"] = whole(b"found")
    told = {"headers": {"Authorization": f"Bearer {SECRET}"}, "accept": "text/plain"}
    reply = await outside.client.fetch(outside.asked(redirects=5, **told))
    assert reply.body == b"found"
    assert [SECRET in head for head in outside.heads] == [True, True, False, False]
    assert all("Accept: text/plain\r\n" in head for head in outside.heads)
