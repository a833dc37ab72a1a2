"""What a server said of its prompts and resources, read item by item."""

import json

import pytest
from msgspec import Raw
from tests.unit.offers.shelf import prompts, raw, resources, templates
from tests.unit.view.rows import server

from gatelodge.core.catalog.offer import OfferAbilities, read_abilities, read_offer
from gatelodge.core.protocol.shown.names import shown_name

GIT = server("srv_git", "git")
LONG = "a" * 128


def names(items):
    return [item.name for item in items]


def test_items_keep_their_order_and_their_bytes():
    said = resources("file:///b", "file:///a")
    offer = read_offer(GIT, resources=said, templates=templates("file:///{x}"))
    assert [(each.position, each.name) for each in offer.resources] == [
        (0, "file:///b"),
        (1, "file:///a"),
    ]
    assert [each.raw for each in offer.resources] == list(said)
    assert all(each.listed is each.raw for each in offer.resources + offer.templates)
    assert names(offer.templates) == ["file:///{x}"]
    assert offer.left_out == ()


def test_a_prompt_is_listed_under_its_shown_name_and_all_else_of_it_is_kept():
    odd = Raw(b'{"name":"sum.up","_meta":{"x":1e400},"arguments":[ {"name":"n"} ]}')
    (one,) = read_offer(GIT, prompts=[odd]).prompts
    assert bytes(one.raw) == bytes(odd)
    assert b'"_meta":{"x":1e400}' in bytes(one.listed)
    assert b'"arguments":[ {"name":"n"} ]' in bytes(one.listed)
    assert json.loads(bytes(one.listed))["name"] == shown_name("git", "sum.up")


def test_a_prompt_is_found_by_its_own_and_by_its_shown_name():
    offer = read_offer(GIT, prompts=prompts("sum.up", "plain", LONG))
    assert offer.named["sum.up"] is offer.shown[shown_name("git", "sum.up")] is offer.prompts[0]
    assert [len(shown) <= 48 for shown in offer.shown] == [True] * 3
    assert "git__plain" not in offer.named
    assert offer.items("prompts") is offer.prompts


@pytest.mark.parametrize(
    "bad",
    [b"1", b"[]", b"null", b"{}", b'{"name":""}', b'{"name":7}', b'{"name":"a\\nb"}', b"{",
     b'{"name":"\\ud800"}', b'{"name":"' + b"a" * 129 + b'"}', b"[" * 2000],
)  # fmt: skip
def test_a_prompt_without_a_usable_name_is_left_out_and_counted(bad):
    offer = read_offer(GIT, prompts=[Raw(bad), *prompts("good")])
    assert names(offer.prompts) == ["good"]
    assert offer.prompts[0].position == 1
    assert len(offer.left_out) == 1


@pytest.mark.parametrize("bad", [b"1", b"{}", b'{"uri":""}', b'{"uri":null}', b'{"name":"x"}'])
def test_a_resource_without_a_uri_is_left_out_and_counted(bad):
    offer = read_offer(GIT, resources=[Raw(bad), *resources("a:b")])
    assert (names(offer.resources), len(offer.left_out)) == (["a:b"], 1)


def test_a_template_without_a_pattern_is_left_out_and_counted():
    said = [raw(uri="a:b"), raw(uriTemplate=""), *templates("a:{b}")]
    offer = read_offer(GIT, templates=said)
    assert (names(offer.templates), len(offer.left_out)) == (["a:{b}"], 2)


def test_of_two_that_are_called_alike_the_first_counts():
    offer = read_offer(
        GIT,
        prompts=prompts("a.b", "a/b", "a.b", "c"),
        resources=resources("x:1", "x:2", "x:1"),
        templates=templates("x:{y}", "x:{y}"),
    )
    assert names(offer.prompts) == ["a.b", "a/b", "c"]
    assert names(offer.resources) == ["x:1", "x:2"]
    assert names(offer.templates) == ["x:{y}"]
    assert offer.left_out == (
        "prompt 'a.b': one before it has that name",
        "resource 'x:1': one before it has that name",
        "template 'x:{y}': one before it has that name",
    )
    assert set(offer.named) == {"a.b", "a/b", "c"}


@pytest.mark.parametrize(
    ("said", "able"),
    [
        ({}, {}),
        ({"tools": {}}, {}),
        ({"prompts": {"listChanged": True}}, {"prompts": True}),
        ({"resources": {}}, {"resources": True}),
        ({"resources": {"subscribe": True}}, {"resources": True, "subscribe": True}),
        ({"resources": {"subscribe": "yes"}}, {"resources": True}),
        ({"resources": 1, "prompts": None, "completions": {}}, {"completions": True}),
        ({"logging": {}}, {"logging": True}),
        ({"extensions": {"io.modelcontextprotocol/tasks": {}}}, {"tasks": True}),
        ({"extensions": {"com.example/tasks": {}}}, {}),
        ({"extensions": {"io.modelcontextprotocol/tasks": True}}, {}),
        ({"extensions": []}, {}),
        ([], {}),
    ],
)
def test_a_server_is_able_to_do_what_it_declares(said, able):
    declared = Raw(json.dumps(said).encode())
    assert read_abilities(declared) == OfferAbilities(**able)
    offer = read_offer(GIT, capabilities=declared)
    assert (offer.capabilities, offer.abilities) == (declared, OfferAbilities(**able))


def test_what_a_client_could_fetch_by_itself_is_told_apart():
    offer = read_offer(
        GIT,
        resources=resources("https://a/b", "HTTPS://c", "http://d", "file:///e"),
        templates=templates("https://f/{g}", "{+https}"),
    )
    assert offer.web == {"https://a/b", "HTTPS://c", "https://f/{g}"}
