"""Laws of shown URIs: each leads back to one server, and showing them loses nothing."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import Raw
from tests.property.wire_json import numbers, objects, readable, strings, values

from gatelodge.core.protocol.envelope import join_members, members_of
from gatelodge.core.protocol.shown import messages
from gatelodge.core.protocol.shown.names import is_alias
from gatelodge.core.protocol.shown.uris import UriPrefix, original_uri, shown_uri

aliases = st.from_regex(r"[a-z][a-z0-9-]{0,15}", fullmatch=True)
uris = st.one_of(
    st.text(max_size=30),
    st.builds(
        lambda scheme, rest: f"{scheme}:{rest}",
        st.from_regex(r"[A-Za-z][A-Za-z0-9+.\-]{0,8}", fullmatch=True),
        st.text(max_size=20),
    ),
    st.builds(
        lambda head, rest: head + rest,
        st.sampled_from(["ui://", "UI://", "https://", "HTTPS://", "file:///", "gh+ui://", "+:"]),
        st.text(max_size=20),
    ),
)


def kept(uri: str) -> bool:
    return uri.lower().startswith("https://")


@given(aliases, st.sets(aliases, max_size=4), uris)
def test_every_uri_of_every_server_is_found_again(alias, others, uri):
    assert is_alias(alias)
    prefix = UriPrefix(alias, frozenset((uri,)))
    shown = shown_uri(prefix, uri)
    assert original_uri(shown, others | {alias}) == (alias, uri)
    assert original_uri(shown, others - {alias}) is None
    free = shown_uri(UriPrefix(alias), uri)
    assert free == (uri if kept(uri) else shown)


@given(aliases, aliases, uris, uris)
def test_no_two_servers_ever_share_a_shown_uri(one, other, uri, another):
    assume((one, uri) != (other, another))
    shown = shown_uri(UriPrefix(one, frozenset((uri,))), uri)
    assert shown != shown_uri(UriPrefix(other, frozenset((another,))), another)


@given(aliases, uris, st.text(max_size=10), uris)
def test_an_expanded_template_leads_where_the_servers_own_would(alias, head, tail, value):
    assume("{" not in head + tail)
    template = head + "{x}" + tail
    assume(not kept(template))
    expanded = shown_uri(UriPrefix(alias), template).replace("{x}", value)
    assert original_uri(expanded, {alias}) == (alias, template.replace("{x}", value))


@given(uris, st.sets(aliases, max_size=4))
def test_what_leads_to_a_server_is_read_in_one_way(uri, known):
    found = original_uri(uri, known)
    if found is not None:
        alias, own = found
        assert alias in known
        again = shown_uri(UriPrefix(alias, frozenset((own,))), own)
        assert original_uri(again, known) == found


MARK = "zz9:"
"""A scheme that random JSON does not hold."""


@st.composite
def blocks(draw):
    """A block of content as compact JSON, and how many URIs of the server's own stand in it."""
    extra = draw(values)
    uri = f'"uri":"{MARK}{draw(st.integers(0, 99))}"'
    plain = f'{{"type":"text","text":{draw(strings)},"n":{extra}}}'
    link = f'{{"type":"resource_link",{uri},"n":{extra}}}'
    embedded = f'{{"type":"resource","resource":{{{uri},"n":{extra}}}}}'
    return draw(st.sampled_from([(plain, 0), (link, 1), (embedded, 1), (draw(numbers), 0)]))


@pytest.mark.guarantee("protocol:lossless")
@given(
    st.lists(blocks(), max_size=5), objects.filter(readable), st.sampled_from(["", "ui", "flat"])
)
def test_showing_a_result_changes_the_uris_in_it_and_no_other_byte(content, rest, app):
    members = members_of(Raw(rest.encode()))
    members["content"] = Raw(("[" + ",".join(text for text, _ in content) + "]").encode())
    meta = {"": "{}", "ui": f'{{"ui":{{"resourceUri":"{MARK}"}}}}'}
    members["_meta"] = Raw(meta.get(app, f'{{"ui/resourceUri":"{MARK}"}}').encode())
    members.pop("resultType", None)
    raw = Raw(join_members(members))
    shown, _ = messages.shown_result("tools/call", raw, members, UriPrefix("gh"))
    expected = sum(count for _, count in content) + (app != "")
    assert bytes(shown).count(b'"gh+' + MARK.encode()) == expected
    assert bytes(shown).replace(b'"gh+' + MARK.encode(), b'"' + MARK.encode()) == bytes(raw)
    assert (shown is raw) is (expected == 0)


@given(values, values.filter(readable))
def test_whatever_a_server_says_is_shown_or_left_alone_and_nothing_is_raised(text, result):
    raw, whole = Raw(text.encode()), Raw(result.encode())
    prefix = UriPrefix("gh")
    for method in ("tools/call", "prompts/get", "resources/read", "novel"):
        members = members_of(whole)
        members |= {"content": raw, "messages": raw, "contents": raw, "_meta": raw}
        messages.shown_result(method, Raw(join_members(members)), members, prefix)
    for show in (messages.shown_resource, messages.shown_template):
        show(prefix, raw)
    messages.shown_tool(prefix, raw), messages.shown_error(prefix, raw)
    messages.read_reference(raw)
    messages.with_reference(raw, "x")
