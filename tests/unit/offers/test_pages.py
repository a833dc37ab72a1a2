"""Lists of prompts, resources and templates: whose they are, in which order, page by page."""

import pytest
from tests.unit.offers.shelf import offers, outlook
from tests.unit.view.rows import grant, guardrail, member, server, tool, view

from gatelodge.adapters.keys.sealing import AesSealer
from gatelodge.core.protocol.capabilities import NOTHING
from gatelodge.core.protocol.session import PageCursor, pack
from gatelodge.core.protocol.shown.names import shown_name
from gatelodge.flows.gateway.listing import (
    CONTEXT,
    by_server,
    find_prompt,
    offered,
    page_of,
    tools_of,
    web_servers,
)

B_2 = shown_name("b", "b.2")
SEALER = AesSealer(b"k" * 32)
OLD = pack(["mem_ann", "a", 0, "t1"])
"""A cursor as it was when there were tools only."""
HOUSE = (
    member(),
    member("mem_bob"),
    server("srv_b", "b"),
    server("srv_a", "a"),
    server("srv_c", "c"),
    tool("t1", "srv_a", position=0),
    tool("t2", "srv_a", position=1),
    tool("t3", "srv_b"),
    grant("grn_1", server="srv_a"),
    grant("grn_2", server="srv_b", level="all"),
    grant("grn_3", "member", "mem_bob", server="srv_c"),
)
KNOWN = offers(
    c={"prompts": ["z"], "resources": ["c:1"]},
    b={"prompts": ["b2", "b1"], "resources": ["b:1"], "templates": ["b:{x}"]},
    a={"prompts": ["a1"], "resources": []},
)


def names(found):
    return [(item.alias, item.name) for item in found]


def paged(look, kind, items, size=2, known=SEALER):
    """Every page, by the cursors."""
    found, cursor = [], None
    while True:
        page = page_of(items, kind, look, cursor, size, known)
        found.append([item.name for item in page.items])
        if page.cursor is None:
            return found
        cursor = page.cursor


def test_items_stand_by_alias_and_in_the_order_of_their_server():
    look = outlook(view(*HOUSE))
    assert names(offered(look, "prompts", KNOWN)) == [("a", "a1"), ("b", "b2"), ("b", "b1")]
    assert names(offered(look, "resources", KNOWN)) == [("b", "b:1")]
    assert names(offered(look, "templates", KNOWN)) == [("b", "b:{x}")]


def test_only_what_the_member_may_read_is_listed():
    made = view(*HOUSE)
    assert ("c", "z") in names(offered(outlook(made, "mem_bob"), "prompts", KNOWN))
    assert ("c", "c:1") in names(offered(outlook(made, "mem_bob"), "resources", KNOWN))
    shut = guardrail(
        '@reason("no") forbid (principal, action, resource == Gatelodge::Prompt::"srv_b");'
    )
    look = outlook(view(*HOUSE, shut))
    assert names(offered(look, "prompts", KNOWN)) == [("a", "a1")]
    assert names(offered(look, "resources", KNOWN)) == [("b", "b:1")]


def test_the_endpoint_of_one_server_lists_its_items_alone():
    made = view(*HOUSE)
    assert names(offered(outlook(made, alias="a"), "prompts", KNOWN)) == [("a", "a1")]
    assert offered(outlook(made, alias="c"), "prompts", KNOWN) == ()
    assert offered(outlook(made, alias="none"), "prompts", KNOWN) == ()


def test_a_server_that_was_cut_or_never_met_lists_nothing():
    made = view(*HOUSE)
    cut = outlook(made.without(servers=["srv_b"]))
    assert names(offered(cut, "prompts", KNOWN)) == [("a", "a1")]
    assert offered(outlook(made), "prompts", offers()) == ()


def test_the_lists_by_server_are_those_of_the_offers_themselves():
    (a, b) = by_server(outlook(view(*HOUSE)), "prompts", KNOWN)
    assert a is KNOWN.of("srv_a").prompts
    assert b is KNOWN.of("srv_b").prompts
    assert len(by_server(outlook(view(*HOUSE)), "resources", KNOWN)) == 1


@pytest.mark.parametrize(
    ("alias", "name", "found"),
    [
        ("", "a__a1", ("a", "a1")),
        ("", B_2, ("b", "b.2")),
        ("b", "b.2", ("b", "b.2")),
        ("", "b.2", None),
        ("", "b__b.2", None),
        ("b", B_2, None),
        ("a", "b.2", None),
        ("", "c__a1", None),
        ("", "none__a1", None),
        ("none", "a1", None),
        ("", "", None),
    ],
)
def test_a_prompt_is_found_by_the_name_that_its_endpoint_shows(alias, name, found):
    known = offers(a={"prompts": ["a1"]}, b={"prompts": ["b.2"]})
    home = view(*HOUSE).workspaces["home"]
    hit = find_prompt(home, alias, name, known)
    assert (hit and (hit[0].alias, hit[1].name)) == found


def test_a_web_resource_leads_to_the_servers_that_list_it_for_this_member():
    known = offers(
        a={"resources": ["https://one", "x:1"]},
        b={"resources": ["https://one", "https://two"]},
        c={"resources": ["https://two"], "templates": ["https://{t}"]},
    )

    def aliases(**seen):
        found = web_servers(outlook(view(*HOUSE), **seen), known)
        return {uri: [server.alias for server in servers] for uri, servers in found.items()}

    assert aliases() == {"https://one": ["a", "b"], "https://two": ["b"]}
    assert aliases(principal="mem_bob") == {
        "https://one": ["a", "b"],
        "https://two": ["b", "c"],
        "https://{t}": ["c"],
    }
    assert aliases(alias="a") == {"https://one": ["a"]}


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_pages_put_together_are_the_whole_list(size):
    look = outlook(view(*HOUSE), "mem_bob")
    items = offered(look, "prompts", KNOWN)
    found = paged(look, "prompts", items, size)
    assert [name for page in found for name in page] == ["a1", "b2", "b1", "z"]
    assert {len(page) for page in found[:-1]} <= {size}
    assert paged(look, "prompts", ()) == [[]]


def test_a_list_goes_on_behind_a_cursor_although_items_came_and_went():
    look = outlook(view(*HOUSE))
    first = page_of(offered(look, "prompts", KNOWN), "prompts", look, None, 2, SEALER)
    other = offers(a={"prompts": ["a0", "a1"]}, b={"prompts": ["b1", "b4"]})
    rest = page_of(offered(look, "prompts", other), "prompts", look, first.cursor, 2, SEALER)
    assert names(rest.items) == [("b", "b4")]


KINDS = ("tools", "prompts", "resources", "templates")


def some(look, kind):
    return tools_of(look, KNOWN, NOTHING) if kind == "tools" else offered(look, "prompts", KNOWN)


@pytest.mark.parametrize("other", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_cursor_of_one_kind_of_list_means_nothing_in_another(kind, other):
    look = outlook(view(*HOUSE))
    cursor = page_of(some(look, kind), kind, look, None, 1, SEALER).cursor
    page = page_of(some(look, other), other, look, cursor, 1, SEALER)
    assert (page is None) == (kind != other)


@pytest.mark.parametrize("kind", ["tools", "prompts"])
def test_a_cursor_of_another_principal_or_endpoint_means_nothing(kind):
    made = view(*HOUSE)
    mine = outlook(made, alias="")
    cursor = page_of(some(mine, kind), kind, mine, None, 1, SEALER).cursor
    for stranger in (outlook(made, "mem_bob"), outlook(made, alias="a"), outlook(made, alias="b")):
        assert page_of(some(stranger, kind), kind, stranger, cursor, 1, SEALER) is None
    own = outlook(made, alias="b")
    cursor = page_of(offered(own, "prompts", KNOWN), "prompts", own, None, 1, SEALER).cursor
    assert page_of((), "prompts", mine, cursor, 1, SEALER) is None


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "AAAA", SEALER.seal(b"{}", CONTEXT), AesSealer(b"o" * 32).seal(OLD, CONTEXT)],
    ids=["empty", "short", "no-seal", "no-cursor", "of-another-gate"],
)
def test_a_cursor_that_was_not_made_here_means_nothing(cursor):
    look = outlook(view(*HOUSE))
    assert page_of((), "prompts", look, cursor, 1, SEALER) is None


def test_a_cursor_of_the_time_when_there_were_tools_only_still_counts_for_tools():
    look = outlook(view(*HOUSE))
    old = SEALER.seal(OLD, CONTEXT)
    page = page_of(tools_of(look, KNOWN, NOTHING), "tools", look, old, 9, SEALER)
    assert [item.name for item in page.items] == ["t2", "t3"]
    assert page_of((), "prompts", look, old, 9, SEALER) is None
    assert PageCursor("p", "a", 0, "n").endpoint == ""


FORM, SAMPLING = b'{"elicitation":{"form":{}}}', b'{"sampling":{}}'


@pytest.mark.parametrize(
    ("capabilities", "shown"),
    [(NOTHING, ["t1", "t3"]), (FORM, ["t1", "t2", "t3"]), (SAMPLING, ["t1", "t3"])],
)
def test_a_tool_that_a_server_adds_is_listed_for_clients_that_declare_something_to_it(
    capabilities, shown
):
    known = offers(a={"added": frozenset({"t2"})})
    hiding = [server("srv_a", "a", hidden_capabilities=("sampling",)), *HOUSE]
    look = outlook(view(*(row for row in hiding if row is not HOUSE[3])))
    assert [tool.name for tool in tools_of(look, known, capabilities)] == shown
    assert [tool.name for tool in tools_of(look, KNOWN, capabilities)] == ["t1", "t2", "t3"]
