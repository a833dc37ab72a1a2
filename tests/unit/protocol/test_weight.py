"""How much work a JSON text is, told without parsing it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gatelodge.core.jsontext.keys import repeats_a_key
from gatelodge.core.jsontext.weight import MOST_TAKEN, burden, crowded
from gatelodge.core.protocol.envelope import members_of

MARKS = st.text(alphabet='[]{},:"\\ax 1é', max_size=12)
SCALARS = st.none() | st.integers(-9, 9) | MARKS
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(MARKS, inner, max_size=4),
    max_leaves=12,
)
LAYOUTS = st.sampled_from([(",", ":"), (", ", ": "), (" , ", " :\n")])


def values(found):
    """The elements and members in it, at every depth, and itself."""
    inner = found if isinstance(found, list) else found.values() if isinstance(found, dict) else ()
    return 1 + sum(map(values, inner))


def depth(found):
    if not isinstance(found, list | dict):
        return 0
    return 1 + max(map(depth, found if isinstance(found, list) else found.values()), default=0)


@given(JSON, LAYOUTS, st.booleans())
def test_depth_and_values_are_those_of_the_parsed_text(found, layout, plain):
    text = json.dumps(found, separators=layout, ensure_ascii=plain).encode()
    deep = depth(found)
    assert not burden(text, deep, 1_000)
    assert deep == 0 or burden(text, deep - 1, 1_000).startswith("the JSON nests deeper")
    # An empty array or object counts as if something stood in it.
    assert not burden(text, 100, 2 * values(found) + 1)
    assert values(found) < 2 or burden(text, 100, values(found) - 1)


@given(st.dictionaries(MARKS, JSON, max_size=6), LAYOUTS, st.booleans(), st.integers(1, 5))
def test_an_object_is_crowded_by_its_own_members_alone(found, layout, plain, most):
    text = json.dumps(found, separators=layout, ensure_ascii=plain).encode()
    assert crowded(text, most) == (len(found) > most)


def test_an_object_that_is_crowded_is_not_taken_apart():
    inside = ",".join(f'"k{number}":1' for number in range(MOST_TAKEN + 1))
    assert members_of(Raw(b"{%b}" % inside.encode())) is None
    assert members_of(Raw(b'{"a":{%b}}' % inside.encode())) is not None


@given(st.lists(st.tuples(MARKS, JSON), max_size=5), LAYOUTS, st.booleans())
def test_a_repeated_key_is_seen_in_every_spelling(pairs, layout, plain):
    comma, colon = layout
    inside = comma.join(
        json.dumps(key, ensure_ascii=plain) + colon + json.dumps(value, separators=layout)
        for key, value in pairs
    )
    raw = ("{" + inside + "}").encode()
    members = members_of(raw)
    assert repeats_a_key(raw, members) == (len({key for key, _ in pairs}) != len(pairs))


@pytest.mark.parametrize(
    "raw",
    [b'{"a":1,"a":12}', b'{"a":12,"a":1}', b'{"a":"x" , "\\u0061":"x"}', b'{"a":[], "a":[ ]}'],
)
def test_a_repeated_key_is_seen_whatever_its_values(raw):
    assert repeats_a_key(raw, members_of(raw))


def test_texts_that_only_hold_marks_in_strings_are_walked_through_up_to_a_bound():
    assert not burden(b"[" + b'"[",' * 900 + b"0]", 9, 1_000)
    assert "values" in burden(b"[" + b'"[",' * 1_001 + b"0]", 9, 1_000)
