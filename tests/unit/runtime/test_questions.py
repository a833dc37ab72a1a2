"""What an instance sends its name server is read strictly, and answered as DNS says."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.adapters.runtime.network.places import AllowedPlaces
from gatelodge.adapters.runtime.network.questions import (
    MOST_BYTES,
    answer_malformed,
    answer_question,
    read_question,
)
from gatelodge.core.errors import Invalid, UpstreamUnreachable

LABELS = st.lists(st.binary(min_size=1, max_size=63), max_size=6)


def message(labels, kind=1, group=1, flags=0x100, counts=(1, 0, 0, 0), more=b""):
    name = b"".join(bytes([len(each)]) + each for each in labels) + b"\0"
    head = struct.pack("!6H", 4711, flags, *counts)
    return head + name + struct.pack("!HH", kind, group) + more


@given(LABELS, st.integers(0, 65_535), st.booleans())
def test_a_question_comes_back_with_its_answer_as_it_was_asked(labels, kind, known):
    data = message(labels, kind)
    asked = read_question(data)
    whole = sum(len(each) + 1 for each in labels) + 1
    if whole > 255:
        assert asked is None
        return
    assert asked is not None
    address = "198.18.0.7" if known else None
    reply = answer_question(asked, address, known=known)
    number, flags, questions, answers, *rest = struct.unpack_from("!6H", reply)
    assert (number, questions, rest) == (4711, 1, [0, 0])
    assert reply[12 : len(data)] == data[12:]
    assert flags & 0x8000
    assert flags & 15 == (0 if known else 3)
    assert answers == (1 if known and kind == 1 else 0)
    assert len(reply) <= MOST_BYTES


@given(st.binary(max_size=600))
def test_any_bytes_are_a_question_or_are_refused(data):
    asked = read_question(data)
    reply = answer_malformed(data)
    if asked is None:
        assert reply is None or len(reply) == 12
    else:
        assert answer_question(asked, None, known=False)


@given(LABELS, st.data())
def test_a_question_that_is_cut_short_or_changed_never_fails(labels, data):
    whole = bytearray(message(labels))
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    read_question(bytes(whole[: data.draw(st.integers(0, len(whole)))]))


@pytest.mark.parametrize(
    "changed",
    [
        {"flags": 0x8000}, {"flags": 0x2000}, {"counts": (0, 0, 0, 0)}, {"counts": (2, 0, 0, 0)},
        {"counts": (1, 1, 0, 0)}, {"counts": (1, 0, 1, 0)}, {"counts": (1, 0, 0, 2)},
    ],
)  # fmt: skip
def test_what_is_no_single_question_is_refused(changed):
    assert read_question(message([b"a", b"test"], **changed)) is None


def test_a_pointer_in_a_name_is_refused():
    head = struct.pack("!6H", 1, 0x100, 1, 0, 0, 0)
    assert read_question(head + b"\xc0\x0c\0\1\0\1") is None


def test_the_options_of_a_resolver_are_left_alone():
    option = b"\0\0\x29\x05\xc0\0\0\0\0\0\0"
    asked = read_question(message([b"Api", b"TEST"], counts=(1, 0, 0, 1), more=option))
    assert asked is not None
    assert asked.name == "api.test"


def test_a_name_of_other_letters_is_on_no_list():
    asked = read_question(message([b"\xffpi", b"test"]))
    assert asked is not None
    assert asked.name == ""


def test_each_name_has_an_address_and_is_allowed_at_its_ports_alone():
    places = AllowedPlaces(["b.test:443", "a.test:443", "a.test:80"])
    assert [places.address_of(f"{name}.test") for name in "abc"] == [
        "198.18.0.1",
        "198.18.0.2",
        None,
    ]
    assert places.name_of("198.18.0.2") == "b.test"
    assert places.ports == {80, 443}
    assert not places.holds("b.test", 80)


def test_too_many_places_and_what_is_no_place_are_refused():
    with pytest.raises(UpstreamUnreachable):
        AllowedPlaces([f"a{n}.test:443" for n in range(65)])
    with pytest.raises(Invalid):
        AllowedPlaces(["192.0.2.1:443"])
