"""What a client declared, what it may be asked, and what the gate announces."""

import json

import pytest
from msgspec import Raw

from gatelodge.core.protocol.capabilities import (
    APPS,
    MODERN_EXTENSIONS,
    TASKS,
    TOOLS_ONLY,
    declared,
    for_legacy,
    for_modern,
    has_extension,
    may_ask,
    offered,
    tells_roots,
    without,
)

FORM = '{"message":"m","requestedSchema":{"type":"object","properties":{}}}'
URL = '{"mode":"url","message":"m","url":"https://x"}'
WITH_TOOLS = '{"messages":[],"maxTokens":1,"tools":[]}'


def spelled(text: str) -> bytes:
    return text.replace("TASKS", TASKS).replace("APPS", APPS).encode()


def said(text: str | None, era="modern") -> bytes:
    return declared(None if text is None else Raw(spelled(text)), era)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (None, "{}"),
        ("{}", "{}"),
        ("[]", "{}"),
        ("null", "{}"),
        ('{"elicitation":null,"sampling":false,"roots":[]}', "{}"),
        ('{"roots": {"listChanged": true}}', '{"roots":{}}'),
        ('{"elicitation":{}}', '{"elicitation":{}}'),
        ('{"elicitation":{"url":{},"form":{"x":1}}}', '{"elicitation":{"form":{},"url":{}}}'),
        ('{"elicitation":{"form":true,"url":false}}', '{"elicitation":{"form":{}}}'),
        ('{"elicitation":{"voice":{}}}', "{}"),
        ('{"sampling":{"tools":{},"voice":{}}}', '{"sampling":{"tools":{}}}'),
        ('{"sampling":{"voice":{}}}', '{"sampling":{}}'),
        ('{"tasks":{"cancel":{}},"experimental":{"x":{}},"novel":{}}', "{}"),
        (
            '{"roots":{},"sampling":{},"elicitation":{}}',
            '{"elicitation":{},"roots":{},"sampling":{}}',
        ),
        ('{"extensions":{"com.example/x":{}}}', "{}"),
        ('{"extensions":{"TASKS":true}}', "{}"),
        (
            '{"extensions":{"APPS":{"mimeTypes": [ "text/html" ]},"TASKS":{}}}',
            '{"extensions":{"TASKS":{},"APPS":{"mimeTypes":["text/html"]}}}',
        ),
    ],
)
def test_what_matters_to_a_server_is_kept_in_one_spelling(text, kept):
    assert said(text) == spelled(kept)


def test_only_allowed_extensions_of_a_sane_size_are_declared():
    both = '{"extensions":{"APPS":{},"TASKS":{}}}'
    assert said(both, "legacy") == spelled('{"extensions":{"APPS":{}}}')
    large = '{"extensions":{"APPS":{"x":"y"}}}'.replace("y", "y" * 600)
    assert said(large) == b"{}"


def test_large_capabilities_are_read_like_small_ones():
    assert said('{"x":"y","roots":{}}'.replace("y", "y" * 9_000)) == b'{"roots":{}}'


@pytest.mark.parametrize(
    ("capabilities", "method", "params", "may"),
    [
        ("{}", "elicitation/create", FORM, False),
        ("{}", "roots/list", "{}", False),
        ('{"elicitation":{}}', "elicitation/create", FORM, True),
        ('{"elicitation":{}}', "elicitation/create", URL, False),
        ('{"elicitation":{"form":{}}}', "elicitation/create", URL, False),
        ('{"elicitation":{"url":{}}}', "elicitation/create", URL, True),
        ('{"elicitation":{"url":{}}}', "elicitation/create", FORM, False),
        ('{"elicitation":{"form":{},"url":{}}}', "elicitation/create", '{"mode":"form"}', True),
        ('{"elicitation":{"form":{},"url":{}}}', "elicitation/create", '{"mode":"voice"}', False),
        ('{"elicitation":{"form":{},"url":{}}}', "elicitation/create", '{"mode":null}', True),
        ('{"elicitation":{}}', "elicitation/create", "[]", False),
        ('{"elicitation":{}}', "sampling/createMessage", '{"messages":[]}', False),
        ('{"sampling":{}}', "sampling/createMessage", '{"messages":[]}', True),
        ('{"sampling":{}}', "sampling/createMessage", WITH_TOOLS, False),
        ('{"sampling":{}}', "sampling/createMessage", '{"toolChoice":{}}', False),
        ('{"sampling":{}}', "sampling/createMessage", '{"tools":null,"toolChoice":null}', True),
        ('{"elicitation":{}}', "elicitation/create", '{"mode":null,"message":"m"}', True),
        ('{"elicitation":{"url":{}}}', "elicitation/create", '{"mode":null,"url":"x"}', False),
        ('{"sampling":{"tools":{}}}', "sampling/createMessage", WITH_TOOLS, True),
        ('{"roots":{}}', "roots/list", "{}", True),
        ('{"roots":{}}', "elicitation/create", FORM, False),
        ('{"roots":{},"sampling":{},"elicitation":{}}', "ping", "{}", False),
    ],
)
def test_a_client_is_asked_only_what_it_declared(capabilities, method, params, may):
    assert may_ask(capabilities.encode(), method, Raw(params.encode())) is may


def test_a_server_of_either_era_is_told_what_the_client_declared():
    all_of_it = said('{"elicitation":{},"extensions":{"APPS":{},"TASKS":{}}}')
    assert bytes(for_modern(all_of_it)) == all_of_it
    assert json.loads(bytes(for_legacy(all_of_it))) == {"elicitation": {}, "extensions": {APPS: {}}}
    assert bytes(for_legacy(b'{"roots":{}}')) == b'{"roots":{}}'
    assert bytes(for_legacy(spelled('{"extensions":{"TASKS":{}}}'))) == b"{}"


ROOTS = [
    ('{"roots":{"listChanged":true,"x":1},"sampling":{}}', '{"roots":LISTED,"sampling":{}}', True),
    ('{"roots":{"listChanged":true},"extensions":{"APPS":{}}}', None, True),
    ('{"roots":{"listChanged":false}}', '{"roots":{}}', False),
    ('{"roots":{"listChanged":{}}}', '{"roots":{}}', False),
    ('{"roots":{},"sampling":{"listChanged":true}}', '{"roots":{},"sampling":{}}', False),
    ('{"extensions":{"APPS":{"roots":{"listChanged":true}}}}', None, False),
]


@pytest.mark.parametrize(("text", "kept", "tells"), ROOTS)
def test_only_a_legacy_client_tells_of_its_roots_and_only_a_legacy_server_hears(text, kept, tells):
    capabilities = said(text, "legacy")
    if kept is not None:
        assert capabilities.decode() == kept.replace("LISTED", '{"listChanged":true}')
    assert tells_roots(capabilities) is tells
    assert said(capabilities.decode(), "legacy") == bytes(for_legacy(capabilities)) == capabilities
    assert not tells_roots(said(text))
    assert not tells_roots(bytes(for_modern(capabilities)))
    assert may_ask(capabilities, "roots/list", Raw(b"{}")) is text.startswith('{"roots"')


@pytest.mark.parametrize(
    ("text", "hidden", "left"),
    [
        ('{"elicitation":{},"roots":{}}', ("roots",), '{"elicitation":{}}'),
        ('{"elicitation":{"url":{}},"sampling":{}}', ("elicitation", "sampling"), "{}"),
        ('{"extensions":{"APPS":{}},"roots":{}}', ("roots",), '{"extensions":{"APPS":{}}}'),
        ('{"sampling":{"tools":{}}}', ("roots",), '{"sampling":{"tools":{}}}'),
        ("{}", ("roots",), "{}"),
    ],
)
def test_what_is_hidden_was_never_declared(text, hidden, left):
    assert without(declared(Raw(spelled(text))), hidden) == spelled(left)


def test_an_extension_is_there_when_it_was_declared():
    capabilities = said('{"extensions":{"TASKS":{}}}')
    assert has_extension(capabilities, TASKS)
    assert not has_extension(capabilities, APPS)
    assert not has_extension(b"{}", TASKS)


def announced(*servers: str, extensions=MODERN_EXTENSIONS):
    return json.loads(bytes(offered((Raw(spelled(s)) for s in servers), extensions)))


def test_tools_are_announced_even_where_no_server_is():
    assert announced() == json.loads(bytes(TOOLS_ONLY))


def test_what_one_server_has_is_announced_for_all():
    assert announced(
        '{"prompts":{}}',
        '{"resources":{"subscribe":true},"completions":{}}',
        '{"resources":{},"logging":{},"tasks":{"list":{}},"experimental":{"x":{}}}',
        "[]",
    ) == {
        "tools": {"listChanged": True},
        "prompts": {"listChanged": True},
        "resources": {"listChanged": True, "subscribe": True},
        "completions": {},
        "logging": {},
    }
    assert announced('{"resources":{"subscribe":false}}')["resources"] == {"listChanged": True}


def test_an_extension_is_announced_with_settings_that_all_agree_on():
    one = '{"extensions":{"APPS":{"mimeTypes":["a"]},"com.example/x":{}}}'
    other = '{"extensions":{"APPS":{"mimeTypes":["b"]},"TASKS":{}}}'
    assert announced(one, one)["extensions"] == {APPS: {"mimeTypes": ["a"]}}
    assert announced(one, other)["extensions"] == {APPS: {}, TASKS: {}}
    assert announced(one, other, one)["extensions"] == {APPS: {}, TASKS: {}}
    assert "extensions" not in announced(other, extensions=frozenset())
