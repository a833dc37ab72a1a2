"""What a server has to watch is the union of what is waited for, told when it changes."""

import pytest

from gatelodge.flows.gateway.subscriptions import ResourceSubscriptions

A, B = ("srv_x", "x:a"), ("srv_x", "x:b")
Y = ("srv_y", "y:a")


@pytest.fixture
def told():
    return []


@pytest.fixture
def subscriptions(told):
    return ResourceSubscriptions(lambda server, uris: told.append((server, sorted(uris))))


def test_a_server_is_told_the_union_whenever_it_changes_and_not_otherwise(subscriptions, told):
    subscriptions.enter("one", [A])
    subscriptions.enter("two", [A, B])
    subscriptions.enter("three", [B])
    subscriptions.leave("one", [A])
    assert told == [("srv_x", ["x:a"]), ("srv_x", ["x:a", "x:b"])]
    subscriptions.leave("two", [A, B])
    subscriptions.leave("three", [B])
    assert told[2:] == [("srv_x", ["x:b"]), ("srv_x", [])]


def test_each_server_is_told_of_its_own_only(subscriptions, told):
    subscriptions.enter("one", [A, Y])
    assert sorted(told) == [("srv_x", ["x:a"]), ("srv_y", ["y:a"])]


def test_leaving_twice_or_without_having_entered_is_nothing(subscriptions, told):
    subscriptions.enter("one", [A])
    for _ in range(2):
        subscriptions.leave("one", [A, B, Y])
    subscriptions.leave("two", [A])
    assert told == [("srv_x", ["x:a"]), ("srv_x", [])]


def test_entering_twice_is_entering_once(subscriptions, told):
    subscriptions.enter("one", [A])
    subscriptions.enter("one", [A])
    assert list(subscriptions.waiting(*A)) == ["one"]
    subscriptions.leave("one", [A])
    assert told == [("srv_x", ["x:a"]), ("srv_x", [])]


def test_after_a_replacement_exactly_those_wait_and_only_differences_are_told(subscriptions, told):
    subscriptions.enter("one", [A])
    subscriptions.enter("two", [A, Y])
    told.clear()
    subscriptions.replace([("two", frozenset([A, B])), ("three", frozenset())])
    assert sorted(told) == [("srv_x", ["x:a", "x:b"]), ("srv_y", [])]
    assert list(subscriptions.waiting(*A)) == ["two"]
    assert list(subscriptions.waiting(*Y)) == []
    told.clear()
    subscriptions.replace([("two", frozenset([A, B]))])
    assert told == []


def test_a_server_that_is_met_again_is_told_again_if_there_is_something_to_watch(
    subscriptions, told
):
    subscriptions.hand_again("srv_x")
    subscriptions.enter("one", [A])
    subscriptions.hand_again("srv_x")
    subscriptions.hand_again("srv_y")
    subscriptions.leave("one", [A])
    subscriptions.hand_again("srv_x")
    assert told == [("srv_x", ["x:a"]), ("srv_x", ["x:a"]), ("srv_x", [])]


@pytest.mark.parametrize(
    ("subscribed", "changed", "hears"),
    [
        ("file:///a/b", "file:///a/b", True),
        ("file:///a", "file:///a/b/c.txt", True),
        ("file:///a/", "file:///a/b", True),
        ("file:///a", "file:///a?rev=2", True),
        ("file:///a", "file:///a#top", True),
        ("file:///a", "file:///ab", False),
        ("file:///a/b", "file:///a", False),
        ("file:///a", "file:///A", False),
        ("mem:note", "mem:note/1", True),
        ("mem:note", "mem:note2", False),
        ("file:///" + "a" * 3000, "file:///" + "a" * 3000, True),
    ],
)
def test_whoever_waits_for_a_resource_hears_of_its_parts_too(
    subscriptions, subscribed, changed, hears
):
    subscriptions.enter("one", [("srv_x", subscribed)])
    assert list(subscriptions.waiting("srv_x", changed)) == (["one"] if hears else [])
    assert list(subscriptions.waiting("srv_y", changed)) == []


def test_a_stream_hears_once_of_what_it_waits_for_twice(subscriptions):
    subscriptions.enter("one", [("srv_x", "f:/a"), ("srv_x", "f:/a/b")])
    assert list(subscriptions.waiting("srv_x", "f:/a/b/")) == ["one"]


def test_an_endless_uri_costs_no_more_than_others(subscriptions):
    subscriptions.enter("one", [A])
    assert list(subscriptions.waiting("srv_x", "x:a" + "/" * 1_000_000)) == []
