"""Event streams read in pieces of every size."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatelodge.core.http.sse import EventParser

STREAM = (
    b"\xef\xbb\xbf: comment\nid: 7\nretry: 10\ndata:\n\n"
    b'event: message\ndata: {"a":1}\n\n'
    b"data:no space\ndata:  two spaces\n\n"
    b"event: ping\ndata: not a message\n\n"
    b"nonsense\n\n\n"
    b"data: last\n\n"
    b"data: unfinished\n"
)
TOLD = [b"", b'{"a":1}', b"no space\n two spaces", b"last"]


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
@given(cuts=st.lists(st.integers(0, 200), max_size=20))
def test_events_do_not_depend_on_how_they_arrive(ending, cuts):
    stream = STREAM.replace(b"\n", ending)
    parser = EventParser()
    places = sorted({0, *(cut % len(stream) for cut in cuts), len(stream)})
    told = []
    for start, end in itertools.pairwise(places):
        told += parser.feed(stream[start:end])
    assert told == TOLD


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_events_are_told_byte_by_byte(ending):
    parser = EventParser()
    told = [m for byte in STREAM.replace(b"\n", ending) for m in parser.feed(bytes((byte,)))]
    assert told == TOLD


@given(
    stream=st.lists(st.sampled_from([b"\r", b"\n", b"data:a", b"data:b", b"id:1"]), max_size=30),
    cuts=st.lists(st.integers(0, 200), max_size=20),
)
@example(stream=[b"data:a", b"\r", b"\n", b"\n"], cuts=[7, 8])
def test_any_cut_of_a_stream_gives_the_same_events(stream, cuts):
    """Whatever ends its lines, one kind of ending beside another too."""
    whole = b"".join(stream)
    parser, cut = EventParser(), EventParser()
    places = sorted({0, *(place % (len(whole) + 1) for place in cuts), len(whole)})
    told = [m for start, end in itertools.pairwise(places) for m in cut.feed(whole[start:end])]
    assert told == parser.feed(whole)
    assert (cut.last, cut.held) == (parser.last, parser.held)


def test_what_is_held_is_counted_and_let_go():
    parser = EventParser()
    parser.feed(b"data: " + b"x" * 1000)
    assert parser.held >= 1000
    parser.feed(b"\ndata: y\n")
    assert parser.held >= 1000
    assert parser.feed(b"\n") == [b"x" * 1000 + b"\ny"]
    assert parser.held == 0


def test_the_last_event_is_one_that_was_whole():
    parser = EventParser()
    parser.feed(b"id: 1\nretry: 250\ndata:\n\n")
    assert (parser.last, parser.retry) == (b"1", 250)
    parser.feed(b"id: 2\ndata: half")
    assert parser.last == b"1"
    parser.feed(b"\n\ndata: without an id\n\n")
    assert parser.last == b"2"


@pytest.mark.parametrize("name", [b"caf\xc3\xa9", b"a b", b"\x00", b"x" * 1025])
def test_an_id_that_no_header_can_say_is_none(name):
    parser = EventParser()
    parser.feed(b"id: 1\ndata:\n\nid: " + name + b"\ndata:\n\n")
    assert parser.last == b""


@pytest.mark.parametrize("pause", [b"", b"soon", b"-1", b"9" * 5000])
def test_a_pause_that_is_no_number_is_not_one(pause):
    parser = EventParser()
    parser.feed(b"retry: " + pause + b"\ndata:\n\n")
    assert parser.retry is None


def test_an_address_is_told_where_one_is_wanted():
    stream = b"event: endpoint\ndata: /messages?s=1\n\nevent: other\ndata: x\n\ndata: m\n\n"
    assert EventParser().feed(stream) == [b"m"]
    assert EventParser(endpoint=True).feed(stream) == [b"/messages?s=1", b"m"]
