"""Random results of each method as JSON text, with every spelling that JSON allows.

`members` takes a text apart without a line of the gate's code: each value as it was spelled.
"""

import json
from json.decoder import scanstring  # type: ignore[attr-defined]

from hypothesis import strategies as st

ESCAPES = ['\\"', "\\\\", "\\/", "\\b", "\\n", "\\u0000", "\\u00e9", "\\ud83d\\ude00", "\\uFFFF"]
plain = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters='"\\')
strings = st.lists(st.one_of(plain, plain, st.sampled_from(ESCAPES)), max_size=8).map(
    lambda parts: '"' + "".join(parts) + '"'
)
numbers = st.one_of(
    st.integers(-(10**40), 10**40).map(str),
    st.sampled_from(
        ["1E400", "-0", "-0.0", "1.0", "1e5", "1E+2", "0.10", "1e-400", "12345678901234567890.5"]
    ),
)
blanks = st.sampled_from(["", "", "", " ", "\n\t"])
scalars = st.one_of(strings, numbers, st.sampled_from(["null", "true", "false"]))


@st.composite
def arrays(draw, inner):
    return "[" + ",".join(draw(blanks) + each for each in draw(st.lists(inner, max_size=3))) + "]"


@st.composite
def written(draw, members):
    """An object of these members, in any order and with any blanks."""
    order = draw(st.permutations(sorted(members)))
    return "{" + ",".join(f"{draw(blanks)}{k}:{draw(blanks)}{members[k]}" for k in order) + "}"


@st.composite
def objects(draw, inner):
    return draw(written(draw(st.dictionaries(strings, inner, max_size=3))))


values = st.recursive(scalars, lambda inner: arrays(inner) | objects(inner), max_leaves=8)


@st.composite
def having(draw, **wanted):
    """An object with these members (None = it may be missing), and members nobody knows."""
    made = {}
    for name, value in wanted.items():
        if draw(st.booleans()) or name in ("type", "content", "contents", "messages", "completion"):
            made[draw(spelled(name))] = draw(value)
    if draw(st.booleans()):
        made['"vendor/x"'] = draw(values)
    if draw(st.booleans()):
        made['"_meta"'] = draw(st.dictionaries(vendor, values, max_size=2).flatmap(written))
    return draw(written(made))


@st.composite
def spelled(draw, name):
    """The name as JSON, now and then with its first letter escaped."""
    if draw(st.integers(0, 7)):
        return json.dumps(name)
    return f'"\\u{ord(name[0]):04x}{name[1:]}"'


vendor = st.sampled_from(['"com.example/a"', '"trace"', '"ui"', '"io.modelcontextprotocol/new"'])


def word(*which):
    return st.sampled_from([json.dumps(each) for each in which])


uris = word("file:///a", "doc://b?c#d", "ui://app/x", "https://example.test/", "x", "")
note = having(audience=arrays(word("user")), priority=numbers)
content = st.one_of(
    having(type=word("text"), text=strings, annotations=note),
    having(type=word("image", "audio"), data=word("AAAA"), mimeType=strings),
    having(type=word("resource_link"), uri=uris, name=strings, size=numbers, icons=values),
    having(type=word("resource"), resource=having(uri=uris, text=strings, blob=strings)),
    having(type=word("hologram", ""), depth=values, uri=uris),
)
complete = word("complete")
results = {
    "tools/call": having(
        type=values, content=arrays(content), structuredContent=values, isError=word(True, False)
    ),
    "prompts/get": having(
        description=strings, messages=arrays(having(role=word("user"), content=content))
    ),
    "resources/read": having(
        contents=arrays(having(uri=uris, mimeType=strings, text=strings, blob=strings)),
        ttlMs=numbers,
        cacheScope=word("public", "private", 7),
    ),
    "completion/complete": having(
        completion=having(values=arrays(strings), total=numbers, hasMore=word(True, False))
    ),
}
"""The result of each method."""


def members(text: str) -> dict[str, str]:
    """The members of an object by their names, each value with the bytes that it was spelled in."""
    found: dict[str, str] = {}
    at = _blank(text, 1)
    while text[at] != "}":
        name, at = scanstring(text, at + 1)
        at = _blank(text, _blank(text, at) + 1)
        _, end = _decoder.raw_decode(text, at)
        assert name not in found
        found[name] = text[at:end]
        at = _blank(text, end)
        if text[at] == ",":
            at = _blank(text, at + 1)
    return found


def _blank(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


_decoder = json.JSONDecoder(parse_int=str, parse_float=str)
