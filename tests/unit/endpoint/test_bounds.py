"""Bytes under way: strangers under one total, each person under a limit, all of it given back."""

import gc
import weakref

import pytest

from gatelodge.web.endpoint.http.bounds import (
    AnswerRoom,
    ClientConnections,
    PersonBytes,
    StrangerBytes,
)
from gatelodge.web.endpoint.http.reader import RequestReader
from gatelodge.web.endpoint.http.request import HttpLimits, HttpRequest

LIMITS = HttpLimits(header_bytes=1000, body_bytes=4 << 20, keepalive=10.0)


class Holder:
    """A connection that notes that it gave way."""

    def __init__(self) -> None:
        self.gave_way = False

    def give_way(self) -> None:
        self.gave_way = True


def test_the_greediest_stranger_gives_way_and_of_equals_the_newest():
    strangers, holders = StrangerBytes(100), [Holder() for _ in range(4)]
    for holder, size in zip(holders, (10, 40, 40, 20), strict=True):
        strangers.hold(holder, size)
    assert [each.gave_way for each in holders] == [False, False, True, False]
    assert strangers.total == 70
    for holder in holders:
        strangers.release(holder)
    assert strangers.total == 0


def test_a_person_is_refused_a_body_beyond_the_limit_and_nobody_else_is():
    persons = PersonBytes(100, 1000)
    assert persons.take("ada", 90)
    assert not persons.take("ada", 20)
    assert persons.take("bob", 90)
    persons.give("ada", 90)
    assert persons.take("ada", 100)


def test_of_answers_that_are_not_read_the_oldest_gives_way():
    persons, holders = PersonBytes(100, 1000), [Holder() for _ in range(3)]
    for holder in holders:
        persons.unread("ada", holder, 40)
    assert [each.gave_way for each in holders] == [True, False, False]
    assert persons.under_way("ada") == persons.total == 80
    for holder in holders:
        persons.unread("ada", holder, 0)
    assert persons.under_way("ada") == persons.total == 0


def test_of_what_is_there_for_all_nobody_takes_more_than_they_leave():
    persons = PersonBytes(100, 120)
    assert persons.take("ada", 60)
    assert not persons.take("ada", 1)
    assert persons.take("bob", 30)
    assert not persons.take("bob", 1)
    assert persons.take("eve", 15)
    persons.unread("ada", Holder(), 10)
    assert not persons.take("eve", 1)
    persons.give("ada", 60)
    assert persons.take("eve", 15)


def test_what_comes_of_an_answer_is_charged_until_its_request_is_over():
    persons, request = PersonBytes(100, 1000), HttpRequest()
    first, second = AnswerRoom(persons, request, "ada"), AnswerRoom(persons, request, "ada")
    assert first(60)
    assert first(40), "what was kept once is not given back in between"
    assert not second(50)
    assert second(30)
    assert not second(50), "what is dropped is given back at once"
    assert second(40)
    assert persons.under_way("ada") == 100
    request.forget()
    persons.release(request)
    assert not first(61), "nobody is there to give it back any more"
    assert (persons.under_way("ada"), persons.total) == (0, 0)


def test_a_body_is_given_back_to_whom_it_was_charged_though_an_agent_has_another_owner_since():
    persons, request = PersonBytes(100, 1000), HttpRequest(person="ada")
    assert persons.charge(request, 60)
    room = AnswerRoom(persons, request, "bob")
    assert room(20)
    persons.release(request)
    assert (persons.under_way("ada"), persons.under_way("bob"), persons.total) == (0, 0, 0)


@pytest.mark.parametrize("closed", ["in a head", "in a body", "after a request", "after a fault"])
def test_what_was_read_goes_with_its_connection_and_waits_for_no_collector(closed: str):
    head = b"POST /k/main/mcp HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"
    sent = {
        "in a head": head[:-4],
        "in a body": head + b"12345",
        "after a request": head + b"123456789",
        "after a fault": b"\0" + head,
    }[closed]
    gc.disable()
    try:
        reader = Tracked(LIMITS)
        reader.feed(sent)
        reader.close()
        kept = weakref.ref(reader)
        del reader
        assert kept() is None
    finally:
        gc.enable()


class Tracked(RequestReader):
    """A reader that can be looked for."""

    __slots__ = ("__weakref__",)


def test_framing_that_outgrows_what_it_frames_is_refused():
    reader = RequestReader(LIMITS)
    reader.feed(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(20):
        reader.feed(b"1;" + b"x" * 500 + b"\r\n.\r\n")
    assert reader.fault == "malformed"


def test_nothing_that_follows_a_refused_head_is_taken_for_it():
    reader = RequestReader(LIMITS)
    large = b"POST /first HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 2000 + b"\r\n\r\n"
    assert reader.feed(large + b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n") == []
    assert (reader.fault, reader.request.target) == ("head", b"/first")
    assert not reader.partial


class Client:
    """A connection that leaves when it is dropped."""

    def __init__(self, shared: ClientConnections, person: str) -> None:
        self.shared, self.person = shared, person
        shared.open.add(self)
        if not person:
            shared.unknown[self] = None

    def abort(self) -> None:
        self.shared.open.discard(self)
        self.shared.unknown.pop(self, None)


@pytest.mark.parametrize(
    ("people", "left"),
    [
        (["", "ada", "ada", "ada"], ["ada", "ada", "ada"]),
        (["ada", "ada", "bob", "cyd"], ["ada", "bob", "cyd"]),
        (["ada", "ada", "ada", "ada"], ["ada", "ada", "ada"]),
    ],
)
def test_room_is_made_by_a_stranger_or_by_who_has_more_than_a_quarter(people, left):
    shared = ClientConnections(LIMITS, None, None, None, set(), {})
    for person in people:
        Client(shared, person)
    assert shared.make_room(4)
    assert sorted(each.person for each in shared.open) == left


def test_whoever_has_a_quarter_at_most_keeps_what_is_theirs():
    shared = ClientConnections(LIMITS, None, None, None, set(), {})
    for person in ("ada", "bob", "cyd", "dan"):
        Client(shared, person)
    assert not shared.make_room(4)
    assert len(shared.open) == 4
