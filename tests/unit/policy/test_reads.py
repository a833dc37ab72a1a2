"""Prompts and resources of a server: one decision each, by grants on the whole server."""

import pytest
from tests.unit.view.rows import (
    HOUR,
    NOON,
    agent,
    answer,
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

from gatelodge.core.access.explain import explain
from gatelodge.core.access.matrix import matrix
from gatelodge.core.policy.decision import Allow, Deny
from gatelodge.core.policy.guardrails import validate
from gatelodge.core.policy.referee import rule_in_full
from gatelodge.core.view import decide, reachable, would_stop
from gatelodge.core.view_entry import AGENT, PERSONAL

KINDS = ("prompts", "resources")
HOUSE = (
    member(),
    member("mem_bob"),
    agent(),
    group(),
    joined("mem_bob"),
    server(tags=("prod",)),
    server("srv_b", "b"),
    tool(),
)
NONE = Deny("no_grant", hidden=True)
TOOLS_ONLY = '@reason("no") forbid (principal, action, resource is Gatelodge::Tool);'


def read(made, kind="prompts", principal="mem_ann", alias="git", at=NOON, context=None):
    """The decision about all prompts, or all resources, of a server."""
    who = made.principals[principal]
    entry = made.workspaces["home"].servers[alias].reading(kind)
    decision = decide(made, who, entry, at, context or who.context)
    text = made.workspaces["home"].policy_text
    ruling = rule_in_full(text, who, entry, at, context or who.context)
    assert isinstance(decision, Allow) == ruling.allowed
    return decision


def reached(made, kind="prompts", principal="mem_ann", alias="", at=NOON):
    """The aliases of the servers whose prompts, or resources, the principal's list holds."""
    who = made.principals[principal]
    found = reachable(made, who, made.workspaces["home"], at, kind, alias)
    return [each.alias for each in found]


@pytest.mark.guarantee("access:deny-by-default")
@pytest.mark.parametrize("kind", KINDS)
def test_without_a_grant_nothing_is_read(kind):
    made = view(*HOUSE)
    assert read(made, kind) == NONE
    assert reached(made, kind) == []


@pytest.mark.parametrize("level", ["read", "use", "all"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_grant_on_the_whole_server_of_any_level_lets_read(kind, level):
    made = view(*HOUSE, grant(level=level))
    assert read(made, kind) == Allow("grn_1")
    assert read(made, kind, alias="b") == NONE
    assert reached(made, kind) == ["git"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_grant_on_one_tool_lets_read_nothing(kind):
    made = view(*HOUSE, grant(tool="log", level="all"))
    assert answer(made) == Allow("grn_1")
    assert read(made, kind) == NONE


def test_a_grant_on_a_tool_that_is_called_as_the_kind_lets_read_nothing():
    made = view(*HOUSE, tool("prompts"), grant(tool="prompts"))
    assert answer(made, shown="git__prompts") == Allow("grn_1")
    assert read(made) == NONE
    made = view(*HOUSE, tool("prompts", approved=""), grant())
    assert answer(made, shown="git__prompts").reason == "tool_unknown"
    assert read(made) == Allow("grn_1")


def test_an_expired_grant_lets_read_nothing_from_its_moment_on():
    made = view(*HOUSE, grant(expires_at=NOON + HOUR))
    assert read(made, at=NOON) == Allow("grn_1")
    assert read(made, at=NOON + HOUR) == NONE
    assert reached(made, at=NOON) == ["git"]
    assert reached(made, at=NOON + HOUR) == []


@pytest.mark.guarantee("access:deny-by-default")
@pytest.mark.parametrize(
    "scope",
    [
        "resource",
        'resource in Gatelodge::Server::"srv_git"',
        'resource in Gatelodge::Tag::"prod"',
        'resource in Gatelodge::Workspace::"wsp_home"',
        "resource is Gatelodge::Resource",
        'resource == Gatelodge::Resource::"srv_git"',
    ],
)
@pytest.mark.parametrize("how", ["action", 'action == Gatelodge::Action::"get"'])
def test_a_guardrail_that_holds_for_resources_beats_every_grant(scope, how):
    text = f'@reason("no") forbid (principal, {how}, {scope});'
    validate(text)
    made = view(*HOUSE, grant(level="all"), guardrail(text))
    assert read(made, "resources") == Deny("guardrail", "grd_1", "no", hidden=True)
    assert reached(made, "resources") == []
    only = "Gatelodge::Resource" in scope
    assert isinstance(read(made, "prompts"), Allow) == only


@pytest.mark.parametrize(
    "condition",
    [
        "resource is Gatelodge::Tool",
        'action == Gatelodge::Action::"call"',
        "!resource.readOnly",
        "!resource.pinned",
        "resource.destructive",
        'resource == Gatelodge::Tool::"srv_git/log"',
        'resource in Gatelodge::Tool::"srv_git/log"',
        '[Gatelodge::Tool::"srv_git/log"].contains(resource)',
    ],
)
def test_a_guardrail_about_what_tools_do_leaves_reading_alone(condition):
    text = f'@reason("no") forbid (principal, action, resource) when {{ {condition} }};'
    validate(text)
    made = view(*HOUSE, tool("log", destructive=True), grant(level="all"), guardrail(text))
    assert read(made, "prompts") == read(made, "resources") == Allow("grn_1")


def test_a_guardrail_against_the_open_world_holds_for_reading_too():
    text = '@reason("no") forbid (principal, action, resource) when { resource.openWorld };'
    made = view(*HOUSE, grant(), guardrail(text))
    assert read(made).reason == "guardrail"


def test_a_tool_that_changed_stops_no_prompt_of_its_server():
    made = view(*HOUSE[:-1], tool(observed="0" * 64), grant())
    assert answer(made).reason == "tool_changed"
    assert read(made) == Allow("grn_1")


def test_a_guardrail_that_depends_on_the_circumstances_is_told_and_its_server_listed():
    text = """@reason("people") forbid (principal, action, resource is Gatelodge::Prompt)
    when { context.credential == "agent" };"""
    made = view(*HOUSE, grant(), guardrail(text))
    assert read(made, context=PERSONAL) == Allow("grn_1")
    assert read(made, context=AGENT) == Deny("guardrail", "grd_1", "people")
    assert reached(made, principal="agt_bot") == ["git"]


def test_a_watching_guardrail_stops_no_reading_and_is_told():
    text = '@reason("no") forbid (principal, action, resource is Gatelodge::Resource);'
    made = view(*HOUSE, grant(), guardrail(text, mode="observe"))
    who, home = made.principals["mem_ann"], made.workspaces["home"].servers["git"]
    assert read(made, "resources") == Allow("grn_1")
    assert would_stop(made, who, home.resources, NOON, PERSONAL) == ("grd_1",)
    assert would_stop(made, who, home.prompts, NOON, PERSONAL) == ()


@pytest.mark.guarantee("access:deny-by-default")
def test_a_server_that_cannot_be_put_to_cedar_is_not_read_wherever_a_guardrail_holds():
    made = view(member(), server(tags=("\ud800",)), grant(), guardrail(TOOLS_ONLY))
    assert read(made).reason == "policy_error"


def test_servers_are_reached_by_alias_or_the_one_that_is_named():
    made = view(*HOUSE, grant("grn_1"), grant("grn_2", server="srv_b"))
    assert reached(made) == ["b", "git"]
    assert reached(made, alias="git") == ["git"]
    assert reached(made, alias="none") == []


def test_a_server_that_was_cut_is_reached_by_nobody_at_once():
    made = view(*HOUSE, grant("grn_1"), grant("grn_2", server="srv_b"))
    cut = made.without(servers=["srv_b"])
    entry = made.workspaces["home"].servers["b"].prompts
    who = made.principals["mem_ann"]
    assert decide(cut, who, entry, NOON, PERSONAL) == NONE
    assert reached(cut) == ["git"]
    assert reachable(made.without(principals=["mem_ann"]), who, made.workspaces["home"], NOON,
                     "prompts") == ()  # fmt: skip


def test_nothing_of_another_workspace_is_reached():
    made = view(workspace(), workspace("wsp_else", "else"), *HOUSE, grant())
    who = made.principals["mem_ann"]
    assert reachable(made, who, made.workspaces["else"], NOON, "prompts") == ()


def test_reading_a_server_lists_none_of_its_tools_and_no_tool_more():
    made = view(*HOUSE, tool("new", approved=""), grant())
    assert listed(made) == ["git__log"]
    assert set(made.workspaces["home"].tools) == {"git__log", "git__new"}
    assert listed(view(*HOUSE[:-1], grant())) == []


def test_tags_that_a_server_got_reach_its_prompts_in_the_next_view():
    text = '@reason("no") forbid (principal, action, resource in Gatelodge::Tag::"late");'
    first = view(*HOUSE, grant(), guardrail(text))
    rest = [row for row in HOUSE if getattr(row, "id", "") != "srv_git"]
    second = view(*rest, server(tags=("late",)), grant(), guardrail(text), previous=first)
    assert read(first) == Allow("grn_1")
    assert read(second).reason == "guardrail"


def test_an_explanation_of_reading_tells_the_grants_on_one_tool_that_do_not_reach():
    made = view(*HOUSE, grant("grn_1", tool="log", level="all"), grant("grn_2", "group", "grp_eng"))
    entry = made.workspaces["home"].servers["git"].resources
    story = explain(made, made.principals["mem_ann"], entry, NOON)
    assert story.decision == NONE
    assert story.standing == "pinned"
    told = [(path.grant.id, not path.grant.tool, path.mine, path.reaches) for path in story.grants]
    assert told == [("grn_1", False, True, False), ("grn_2", True, False, True)]


def test_an_explanation_of_reading_tells_the_guardrails_that_bear_on_it():
    text = '@reason("later") forbid (principal, action == Gatelodge::Action::"get", resource)'
    late = guardrail(f'{text} when {{ context.now < datetime("2026-11-23") }};')
    made = view(*HOUSE, grant(), late, guardrail(TOOLS_ONLY, "grd_2"))
    entry = made.workspaces["home"].servers["git"].prompts
    story = explain(made, made.principals["mem_ann"], entry, NOON)
    (one,) = story.guardrails
    assert (one.guard.id, one.ever, one.now) == ("grd_1", "depends", "forbids")
    assert story.conditional


@pytest.mark.parametrize("kind", KINDS)
def test_the_matrix_of_reading_has_one_cell_for_each_principal_and_server(kind):
    made = view(*HOUSE, grant("grn_1", "member", "mem_bob", level="read"))
    cells = list(matrix(made, made.workspaces["home"], NOON, kind=kind))
    told = {(cell.principal, cell.server): cell.decision for cell in cells}
    assert len(told) == len(cells) == 3 * 2
    assert told["mem_bob", "srv_git"] == Allow("grn_1")
    assert [who for who, it in told.items() if isinstance(it, Allow)] == [("mem_bob", "srv_git")]
    assert {cell.tool for cell in cells} == {""}
