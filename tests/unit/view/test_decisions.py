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
)

from gatelodge.core.policy.decision import Allow, Deny
from gatelodge.core.policy.referee import rule_in_full
from gatelodge.core.view import would_stop

PEOPLE = (member(), member("mem_bob"), agent(), group(), joined("mem_bob"))
CHANGED = tool("log", observed="0" * 64)


def house(*rows):
    return view(*PEOPLE, server(), *rows)


@pytest.mark.guarantee("access:deny-by-default")
def test_silence_is_a_hidden_deny():
    made = house(tool())
    assert answer(made) == Deny("no_grant", hidden=True)
    assert listed(made) == []


@pytest.mark.guarantee("access:deny-by-default")
def test_a_guardrail_beats_a_grant_and_hides_the_tool_when_it_always_holds():
    made = house(
        tool(),
        grant(),
        guardrail('@reason("Not ann.") forbid (principal == Gatelodge::Member::"mem_ann", '
                  'action, resource);'),
    )  # fmt: skip
    assert answer(made) == Deny("guardrail", "grd_1", "Not ann.", hidden=True)
    assert listed(made) == []
    assert answer(made, "mem_bob") == Allow("grn_1")


def test_a_guardrail_that_depends_on_the_time_is_told_and_its_tool_listed():
    made = house(
        tool(),
        grant(),
        guardrail('@reason("Closed.") @advice("Come back.") forbid (principal, action, resource) '
                  'when { context.now < datetime("2026-11-22T12:00:00Z") };'),
    )  # fmt: skip
    assert answer(made, at=NOON - 1) == Deny("guardrail", "grd_1", "Closed.", "Come back.")
    assert answer(made, at=NOON) == Allow("grn_1")
    assert listed(made, at=NOON - 1) == ["git__log"]


def test_a_guardrail_that_depends_on_the_credential_tells_them_apart():
    made = house(
        tool(),
        grant(),
        guardrail('@reason("People only.") forbid (principal, action, resource) '
                  'when { context.credential == "agent" };'),
    )  # fmt: skip
    assert answer(made) == Allow("grn_1")
    assert answer(made, "agt_bot").reason == "guardrail"
    assert listed(made, "agt_bot") == ["git__log"]


@pytest.mark.guarantee("access:deny-by-default")
@pytest.mark.parametrize(
    "text",
    [
        '@reason("r") forbid (principal, action, resource) when { 9223372036854775807 + 1 > 0 };',
        '@reason("r") forbid (principal, action, resource) unless { context.approval };',
        '@reason("r") forbid (principal, action, resource) when { resource.price > 5 };',
        "forbid (",
        "",
        "permit (principal, action, resource); permit (principal, action, resource);",
        "permit (principal, action, resource);",
    ],
)
def test_a_policy_that_fails_denies(text):
    made = house(tool(), grant(), guardrail(text))
    decision = answer(made)
    assert (decision.reason, decision.rule, decision.hidden) == ("policy_error", "grd_1", False)
    assert listed(made) == ["git__log"]
    ann, home = made.principals["mem_ann"], made.workspaces["home"]
    ruling = rule_in_full(home.policy_text, ann, home.tools["git__log"], NOON, ann.context)
    assert not ruling.allowed


@pytest.mark.guarantee("access:deny-by-default")
def test_a_tool_that_cannot_be_put_to_cedar_is_denied_wherever_a_guardrail_holds():
    text = '@reason("no") forbid (principal, action, resource in Gatelodge::Tag::"prod");'
    odd = server(tags=("\ud800",))
    made = view(*PEOPLE, odd, tool(), grant(), guardrail(text))
    assert answer(made).reason == "policy_error"


def test_a_failing_policy_tells_a_stranger_nothing():
    assert answer(house(tool(), guardrail("forbid ("))) == Deny("no_grant", hidden=True)


def test_a_changed_tool_is_denied_aloud_to_those_who_had_it_and_unknown_to_others():
    made = house(CHANGED, grant(kind="member", grantee="mem_ann"))
    decision = answer(made)
    assert (decision.reason, decision.rule, decision.hidden) == ("tool_changed", "g-pinned", False)
    assert "changed since it was approved" in decision.text
    assert answer(made, "mem_bob") == Deny("no_grant", hidden=True)


def test_a_changed_tool_that_a_guardrail_forbids_anyway_stays_hidden():
    stop = guardrail('@reason("no") forbid (principal, action, resource);')
    assert answer(house(CHANGED, grant(), stop)).hidden


def test_a_tool_that_was_never_approved_is_unknown_whatever_is_granted():
    made = house(tool(approved=""), grant(level="all"))
    decision = answer(made)
    assert (decision.reason, decision.rule, decision.hidden) == ("tool_unknown", "g-pinned", True)
    assert listed(made) == []


def test_a_guardrail_of_another_workspace_says_nothing_here():
    text = '@reason("no") forbid (principal, action, resource);'
    made = house(tool(), grant(), guardrail(text, workspace="wsp_else"))
    assert answer(made) == Allow("grn_1")


def test_a_watching_guardrail_stops_nothing_and_is_told():
    people_only = (
        '@reason("no") forbid (principal, action, resource) when { context.credential == "agent" };'
    )
    nobody = '@reason("all") forbid (principal, action, resource);'
    made = house(
        tool(),
        grant(),
        guardrail(people_only, "grd_1", mode="observe"),
        guardrail(nobody, "grd_2", mode="observe"),
    )
    entry = made.workspaces["home"].tools["git__log"]
    ann, bot = made.principals["mem_ann"], made.principals["agt_bot"]
    assert answer(made) == answer(made, "agt_bot") == Allow("grn_1")
    assert would_stop(made, ann, entry, NOON, ann.context) == ("grd_2",)
    assert would_stop(made, bot, entry, NOON, bot.context) == ("grd_1", "grd_2")


def test_a_retired_guardrail_is_as_if_it_were_not():
    text = '@reason("no") forbid (principal, action, resource);'
    made = house(tool(), grant(), guardrail(text, mode="retired"))
    assert answer(made) == Allow("grn_1")
    assert made.workspaces["home"].policy == house(tool(), grant()).workspaces["home"].policy


def test_an_expiring_grant_shows_the_tool_only_while_it_lasts():
    made = house(tool(), tool("new", approved=""), grant(expires_at=NOON + HOUR))
    assert listed(made, at=NOON) == ["git__log"]
    assert listed(made, at=NOON + HOUR) == []


def test_the_policy_digest_changes_with_any_rule_even_one_that_only_watches():
    text = '@reason("no") forbid (principal, action, resource);'
    digests = {
        house(tool(), *rules).workspaces["home"].policy
        for rules in [
            (),
            (grant(),),
            (grant(level="read"),),
            (grant(expires_at=NOON),),
            (guardrail(text),),
            (guardrail(text, mode="observe"),),
        ]
    }
    assert len(digests) == 6
