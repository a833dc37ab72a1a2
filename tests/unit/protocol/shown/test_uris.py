"""URIs of several servers behind one endpoint: shown apart, and found again."""

import pytest

from gatelodge.core.protocol.shown.uris import BARE, UriPrefix, original_uri, shown_uri

GH = UriPrefix("gh")
ALIASES = {"gh", "files"}


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("file:///a/b", "gh+file:///a/b"),
        ("svn+ssh://host/x", "gh+svn+ssh://host/x"),
        ("gh+file:///a", "gh+gh+file:///a"),
        ("mailto:someone", "gh+mailto:someone"),
        ("http://host/x", "gh+http://host/x"),
        ("ui://x/y", "ui://gh/x/y"),
        ("UI://X/y", "UI://gh/X/y"),
        ("ui://", "ui://gh/"),
        ("ui:x", "gh+ui:x"),
        ("relative/path", "gh+:relative/path"),
        ("9p:x", "gh+:9p:x"),
        (":", "gh+::"),
        ("", "gh+:"),
        ("test://t/{id}/data", "gh+test://t/{id}/data"),
        ("ui://{app}/x{?q}", "ui://gh/{app}/x{?q}"),
        ("{+path}", "gh+:{+path}"),
        ("{scheme}://x", "gh+:{scheme}://x"),
        ("ui{s}://x", "gh+:ui{s}://x"),
    ],
)
def test_a_uri_is_shown_under_its_servers_alias_and_found_again(uri, shown):
    assert shown_uri(GH, uri) == shown
    assert original_uri(shown, ALIASES) == ("gh", uri)
    assert original_uri(shown, {"files"}) is None


def test_what_a_client_may_fetch_itself_is_shown_as_it_is_unless_two_servers_have_it():
    assert shown_uri(GH, "https://x/y") == "https://x/y"
    assert original_uri("https://x/y", ALIASES) is None
    clashing = UriPrefix("gh", frozenset(("https://x/y",)))
    assert shown_uri(clashing, "https://x/y") == "gh+https://x/y"
    assert shown_uri(clashing, "https://x/z") == "https://x/z"
    assert original_uri("gh+https://x/y", ALIASES) == ("gh", "https://x/y")


def test_at_one_servers_own_endpoint_nothing_changes():
    for uri in ("file:///a", "ui://x/y", "relative"):
        assert shown_uri(BARE, uri) == uri


def test_an_expanded_template_leads_where_the_servers_own_would():
    for template, value in (("{scheme}://x", "file"), ("{+path}", "ui://x/y"), ("t://{id}", "7")):
        shown = shown_uri(GH, template)
        expanded, own = (t.replace(t[t.index("{") : t.index("}") + 1], value)
                         for t in (shown, template))  # fmt: skip
        assert original_uri(expanded, ALIASES) == ("gh", own)


@pytest.mark.parametrize(
    "uri",
    ["file:///a", "other+file:///a", "ui://other/x", "ui://gh", "gh+nothing", "gh", "gh+", "+x:y",
     "https://gh+x:y"],
)  # fmt: skip
def test_a_uri_that_no_server_shows_is_nobodys(uri):
    assert original_uri(uri, ALIASES) is None
