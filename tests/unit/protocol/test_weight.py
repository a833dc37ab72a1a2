"""How much work a JSON text is, told without parsing it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.core.jsontext.keys import repeats_a_key
from gatelodge.core.jsontext.weight import burden
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


@given(JSON, LAYOUTS, st.integers(1, 40))
def test_what_weighs_too_much_is_told_by_its_beginning_when_that_is_enough(found, layout, part):
    text = json.dumps(found, separators=layout).encode()
    begun = burden(text[:part], 2, 5)
    assert not begun or burden(text, 2, 5)


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
