"""The memory of offers: last known good, until the server leaves the catalog."""

import pytest
from msgspec import Raw
from tests.unit.offers.shelf import observed
from tests.unit.view.rows import server, view

from gatelodge.flows.catalog.offers import OfferMemory

GIT = server("srv_git", "git")


@pytest.fixture
def offers():
    made = OfferMemory()
    made.keep(made.read(GIT, observed(prompts=["sum"], resources=["a:b"])))
    return made


def test_a_server_that_was_never_met_offers_nothing_known(offers):
    assert offers.of("srv_none") is None
    assert OfferMemory().version == 0


def test_what_was_seen_is_kept_with_its_abilities(offers):
    offers.keep(offers.read(GIT, observed(capabilities=Raw(b'{"logging":{}}'))))
    kept = offers.of("srv_git")
    assert (kept.abilities.logging, kept.prompts) == (True, ())


def test_seeing_the_same_again_is_no_change_and_a_difference_is_one(offers):
    before, offer = offers.version, offers.of("srv_git")
    offers.keep(offers.read(GIT, observed(prompts=["sum"], resources=["a:b"])))
    assert (offers.version, offers.of("srv_git")) == (before, offer)
    assert offers.of("srv_git") is offer
    offers.keep(offers.read(GIT, observed(prompts=["sum", "up"], resources=["a:b"])))
    assert offers.version == before + 1


def test_a_list_that_did_not_change_stays_the_same_object(offers):
    offer = offers.of("srv_git")
    offers.keep(offers.read(GIT, observed(prompts=["up"], resources=["a:b"], templates=["a:{x}"])))
    now = offers.of("srv_git")
    assert now.resources is offer.resources
    assert now.prompts is not offer.prompts


def test_listeners_hear_of_each_look_whether_something_changed_or_not(offers):
    heard = []
    offers.on_observed(lambda each: heard.append((each, offers.version)))
    offers.keep(offers.read(GIT, observed(prompts=["sum"], resources=["a:b"])))
    offers.keep(offers.read(server("srv_b", "b"), observed(prompts=["sum"])))
    assert heard == [("srv_git", 1), ("srv_b", 2)]


def test_a_server_that_is_approved_no_more_is_forgotten_and_others_are_kept(offers):
    offers.keep(offers.read(server("srv_b", "b"), observed(prompts=["sum"])))
    offers.on_view(view(GIT, server("srv_b", "b", status="disabled")))
    assert offers.of("srv_b") is None
    assert offers.of("srv_git") is not None
    assert offers.version == 3
    offers.on_view(view(GIT))
    assert offers.version == 3
