"""Random JSON as text, with numbers, escapes and keys that a parser would not give back."""

import json

from hypothesis import strategies as st

from gatelodge.core.protocol.envelope import members_of

strings = st.text(st.characters(codec="utf-8"), max_size=12).map(json.dumps)
numbers = st.one_of(
    st.integers(-(10**40), 10**40).map(str),
    st.sampled_from(["1E400", "-0.0", "1.0", "1e5", "0.10"]),
)
words = st.sampled_from(
    ["uri", "type", "resource", "resource_link", "content", "_meta", "ui", "mode", "url", "name",
     "elicitation", "extensions", "io.modelcontextprotocol/ui", "data", "code", "taskId"]
).map(json.dumps)  # fmt: skip
blanks = st.sampled_from(["", "", "", " ", "\n\t"])


@st.composite
def _array(draw, inner):
    return "[" + ",".join(draw(blanks) + each for each in draw(st.lists(inner, max_size=4))) + "]"


@st.composite
def _object(draw, inner):
    made = draw(st.dictionaries(strings | words, inner, max_size=4))
    return "{" + ",".join(f"{draw(blanks)}{k}:{draw(blanks)}{v}" for k, v in made.items()) + "}"


values = st.recursive(
    strings | words | numbers | st.sampled_from(["null", "true", "false", '"\\/"']),
    lambda inner: _array(inner) | _object(inner),
    max_leaves=12,
)
objects = _object(values)


def read(text: str | bytes) -> object:
    """The value, its numbers as they were spelled."""
    return json.loads(text, parse_int=lambda n: ("int", n), parse_float=lambda n: ("float", n))


def readable(text: str) -> bool:
    """True for an object that the gate's own reader takes."""
    return members_of(text.encode()) is not None
