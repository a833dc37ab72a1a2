import json

import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.core.catalog.pin import canonical, definition_digest
from gatelodge.core.protocol.shown.names import LONGEST, colliding_names, shown_name

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
numbers = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | texts | numbers,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_the_form_is_that_of_rfc_8785_wherever_it_has_one(value):
    assert canonical(json.dumps(value)) == rfc8785.dumps(value)


@given(values, st.integers(0, 4), st.booleans())
def test_layout_order_and_escapes_never_change_a_digest(value, indent, ascii_only):
    plain = json.dumps(value)
    dressed = json.dumps(value, indent=indent, ensure_ascii=ascii_only, sort_keys=True)
    assert definition_digest(dressed) == definition_digest(plain)


@given(values, values)
def test_different_values_have_different_forms(one, other):
    first, second = json.dumps(one), json.dumps(other)
    same = rfc8785.dumps(one) == rfc8785.dumps(other)
    assert (canonical(first) == canonical(second)) == same


@given(st.lists(st.text(max_size=90), unique=True, max_size=6))
def test_shown_names_are_safe_short_and_lead_back(tools):
    shown = [shown_name("srv", tool) for tool in tools]
    for name in shown:
        assert name.startswith("srv__")
        assert len(name) <= LONGEST
        assert name.replace("_", "a").replace("-", "a").isalnum()
        assert name.isascii()
    colliding = colliding_names("srv", tools)
    assert colliding.keys() == {name for name in shown if shown.count(name) > 1}
    assert all(shown_name("srv", each) == name for name in colliding for each in colliding[name])
