import pytest
from tests.unit.view.rows import (
    HOUR,
    NOON,
    agent,
    answer,
    credential,
    grant,
    group,
    guardrail,
    joined,
    listed,
    member,
    server,
    tool,
    view,
    workspace,
)

from gatelodge.core.policy.decision import Allow, Deny
from gatelodge.core.view import decide, visible

NONE = Deny("no_grant", hidden=True)
ROWS = (
    member(),
    member("mem_bob"),
    agent(),
    group(),
    joined("mem_bob"),
    server("srv_b", "b"),
    server("srv_a", "a"),
    tool("y", "srv_b", position=1),
    tool("z", "srv_b", position=0),
    tool("x", "srv_a"),
    grant("grn_1", server="srv_b"),
    grant("grn_2", "group", "grp_eng", server="srv_a"),
    credential("mem_ann", "crd_1"),
    credential("mem_bob", "crd_2"),
    credential("agt_bot", "crd_3"),
)


def test_a_list_is_ordered_by_alias_and_position():
    made = view(*ROWS)
    assert listed(made) == ["b__z", "b__y"]
    assert listed(made, "mem_bob") == ["a__x", "b__z", "b__y"]


def test_a_list_of_one_server_holds_its_tools_alone():
    made = view(*ROWS)
    home = made.workspaces["home"]
    assert listed(made, "mem_bob", server=home.servers["a"]) == ["a__x"]
    assert listed(made, "mem_ann", server=home.servers["a"]) == []


def test_principals_that_no_rule_tells_apart_share_one_list():
    made = view(*ROWS, member("mem_eve"), group("grp_idle"), joined("mem_eve", "grp_idle"))
    home = made.workspaces["home"]
    ann, eve = made.principals["mem_ann"], made.principals["mem_eve"]
    assert visible(made, ann, home, NOON) is visible(made, eve, home, NOON)
    one = home.servers["b"]
    assert visible(made, ann, home, NOON, one) is visible(made, eve, home, NOON, one)


def test_nothing_of_another_workspace_is_listed():
    made = view(workspace(), workspace("wsp_else", "else"), *ROWS)
    ann = made.principals["mem_ann"]
    assert visible(made, ann, made.workspaces["else"], NOON) == ()


def test_a_list_is_the_same_object_until_something_of_it_changes():
    first = view(*ROWS)
    second = view(*ROWS, member("mem_new"), credential("mem_new", "crd_9"), previous=first)
    third = view(*ROWS, grant("grn_9", "member", "mem_ann", server="srv_a"), previous=second)
    assert second.access["mem_ann"] is first.access["mem_ann"]
    assert third.access["mem_bob"] is second.access["mem_bob"]
    assert third.access["mem_ann"] is not second.access["mem_ann"]
    assert listed(third) == ["a__x", "b__z", "b__y"]


def test_what_did_not_change_is_taken_from_the_previous_view():
    first = view(*ROWS)
    second = view(*ROWS, credential("mem_bob", "crd_9"), previous=first)
    assert second.workspaces["home"] is first.workspaces["home"]
    assert second.principals["mem_ann"] is first.principals["mem_ann"]
    assert second.credentials["digest-crd_1"] is first.credentials["digest-crd_1"]
    assert "digest-crd_9" in second.credentials


@pytest.mark.parametrize(
    "change",
    [
        grant("grn_1", server="srv_b", level="read"),
        tool("y", "srv_b", position=1, approved=""),
        tool("y", "srv_b", position=1, destructive=True),
        server("srv_b", "b", status="disabled"),
        member(status="suspended"),
        member(workspace="wsp_else"),
    ],
)
def test_a_change_of_any_row_reaches_the_next_view(change):
    first = view(*ROWS)
    assert answer(first, shown="b__y") == Allow("grn_1")
    key = (type(change), getattr(change, "id", None), getattr(change, "name", None))
    kept = [
        row
        for row in ROWS
        if (type(row), getattr(row, "id", None), getattr(row, "name", None)) != key
    ]
    second = view(*kept, change, previous=first)
    who, entry = first.principals["mem_ann"], first.workspaces["home"].tools["b__y"]
    assert isinstance(decide(second, who, entry, NOON, who.context), Deny)


def test_cutting_a_member_denies_it_and_its_agents_at_once_and_nobody_else():
    made = view(*ROWS)
    cut = made.without(principals=["mem_ann"])
    entry = made.workspaces["home"].tools["b__y"]
    for ident in ("mem_ann", "agt_bot"):
        who = made.principals[ident]
        assert decide(cut, who, entry, NOON, who.context) == NONE
        assert visible(cut, who, made.workspaces["home"], NOON) == ()
    assert set(cut.credentials) == {"digest-crd_2"}
    assert set(cut.principals) == {"mem_bob"}
    assert answer(cut, "mem_bob", "b__y") == Allow("grn_1")
    assert answer(made, "mem_ann", "b__y") == Allow("grn_1")


def test_cutting_a_credential_leaves_its_principal():
    cut = view(*ROWS).without(credentials=["crd_1"])
    assert set(cut.credentials) == {"digest-crd_2", "digest-crd_3"}
    assert answer(cut, "mem_ann", "b__y") == Allow("grn_1")


def test_cutting_a_server_denies_and_unlists_its_tools_at_once():
    made = view(*ROWS)
    cut = made.without(servers=["srv_b"])
    who, entry = made.principals["mem_bob"], made.workspaces["home"].tools["b__y"]
    assert decide(cut, who, entry, NOON, who.context) == NONE
    assert set(cut.workspaces["home"].tools) == {"a__x"}
    assert listed(cut, "mem_bob") == ["a__x"]
    assert cut.without(principals=["mem_ann"]).gone == {"srv_b"}


def test_the_next_compilation_after_a_cut_is_that_of_the_state():
    made = view(*ROWS)
    cut = made.without(servers=["srv_b"], principals=["mem_ann"], credentials=["crd_2"])
    again = view(*ROWS, previous=cut)
    assert again.gone == frozenset()
    assert listed(again, "mem_bob") == listed(made, "mem_bob")
    assert set(again.credentials) == set(made.credentials)


def test_rules_about_an_owner_follow_the_owner():
    text = """@reason("no") forbid (principal is Gatelodge::Agent, action, resource)
    when { principal.owner in Gatelodge::Group::"grp_eng" };"""
    first = view(*ROWS, guardrail(text))
    assert answer(first, "agt_bot", "b__y") == Allow("grn_1")
    second = view(*ROWS, guardrail(text), joined("mem_ann"), previous=first)
    assert answer(second, "agt_bot", "b__y").reason == "guardrail"


def test_rules_about_a_role_follow_the_role():
    text = """@reason("no") forbid (principal is Gatelodge::Member, action, resource)
    unless { principal.role == "admin" };"""
    first = view(*ROWS, member("mem_eve", role="admin"), guardrail(text))
    assert answer(first, "mem_eve", "b__y") == Allow("grn_1")
    assert answer(first, "mem_ann", "b__y").reason == "guardrail"
    second = view(*ROWS, member("mem_eve"), guardrail(text), previous=first)
    assert answer(second, "mem_eve", "b__y").reason == "guardrail"


def test_a_timed_list_tells_the_tools_of_the_moment():
    made = view(*ROWS, grant("grn_9", "member", "mem_ann", server="srv_a", expires_at=NOON + HOUR))
    assert listed(made, at=NOON) == ["a__x", "b__z", "b__y"]
    assert listed(made, at=NOON + HOUR) == ["b__z", "b__y"]


def test_a_server_without_any_grant_is_in_the_next_view_too():
    first = view(*ROWS)
    second = view(*ROWS, server("srv_c", "c"), tool("w", "srv_c"), previous=first)
    assert "c__w" in second.workspaces["home"].tools
    assert second.workspaces["home"].policy == first.workspaces["home"].policy


def test_what_is_hidden_from_a_server_reaches_the_next_view():
    first = view(server(), tool())
    second = view(server(hidden_capabilities=("roots",)), tool(), previous=first)
    told = second.workspaces["home"].servers["git"].server.told_of
    assert told(b'{"roots":{},"sampling":{}}') == b'{"sampling":{}}'


def test_new_tags_of_a_server_and_a_new_expiry_of_a_credential_reach_the_next_view():
    text = """@reason("no") forbid (principal, action, resource in Gatelodge::Tag::"prod");"""
    first = view(server(), tool(), member(), grant(), guardrail(text), credential())
    second = view(
        server(tags=("prod",)), tool(), member(), grant(), guardrail(text),
        credential(expires_at=NOON), previous=first,
    )  # fmt: skip
    assert answer(first) == Allow("grn_1")
    assert answer(second).reason == "guardrail"
    assert second.credentials["digest-crd_1"].expires_at == NOON
