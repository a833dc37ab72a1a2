import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.policy_states import MOMENTS, grants, guardrails, states
from tests.unit.view import rows

from gatelodge.core.access.explain import explain
from gatelodge.core.policy.decision import Allow, Deny
from gatelodge.core.policy.referee import rule_in_full
from gatelodge.core.policy.rules import Grant, Guardrail
from gatelodge.core.view import decide, reachable, visible
from gatelodge.core.view_entry import AGENT, PERSONAL, ReadEntry, ToolEntry

few = settings(max_examples=settings().max_examples * 2 // 5)
moments = st.sampled_from(MOMENTS)
contexts = st.sampled_from([PERSONAL, AGENT])


def pairs(view):
    """Every principal with everything that is decided about in its workspace."""
    for who in view.principals.values():
        home = view.workspace(who.workspace)
        for server in home.servers.values():
            for entry in server.entries:
                yield who, entry


def allowed(view, at, context):
    return {
        (who.id, entry.server, entry.key)
        for who, entry in pairs(view)
        if isinstance(decide(view, who, entry, at, context), Allow)
    }


def refereed(view, who, tool, at, context):
    text = view.workspace(who.workspace).policy_text
    return rule_in_full(text, who, tool, at, context)


@pytest.mark.guarantee("access:deny-by-default")
@few
@given(states(), moments, contexts)
def test_every_decision_of_the_tables_is_that_of_the_whole_text(found, at, context):
    view = rows.view(*found)
    assert view.faults == ()
    for who, tool in pairs(view):
        decision = decide(view, who, tool, at, context)
        ruling = refereed(view, who, tool, at, context)
        assert isinstance(decision, Allow) == ruling.allowed
        if isinstance(decision, Allow):
            assert decision.rule == ruling.rules[0]
        elif decision.reason == "guardrail":
            assert decision.rule in ruling.rules
        elif decision.reason == "policy_error":
            assert ruling.errors
        elif decision.reason in {"tool_changed", "tool_unknown"}:
            assert "g-pinned" in ruling.rules


@few
@given(states(), moments, contexts)
def test_a_hidden_guardrail_denial_holds_in_all_circumstances(found, at, context):
    view = rows.view(*found)
    for who, tool in pairs(view):
        decision = decide(view, who, tool, at, context)
        if isinstance(decision, Deny) and decision.hidden and decision.reason == "guardrail":
            for moment in MOMENTS:
                for other in (PERSONAL, AGENT):
                    assert not refereed(view, who, tool, moment, other).allowed


@pytest.mark.guarantee("access:list-equals-call")
@few
@given(states(), moments, contexts)
def test_what_is_listed_is_what_does_not_answer_as_unknown(found, at, context):
    view = rows.view(*found)
    for who in view.principals.values():
        home = view.workspace(who.workspace)
        shown = {tool.uid for tool in visible(view, who, home, at)}
        for tool in home.tools.values():
            decision = decide(view, who, tool, at, context)
            hidden = isinstance(decision, Deny) and decision.hidden
            assert (tool.uid in shown) == (not hidden)
        by_server = {
            tool.uid
            for server in home.servers.values()
            for tool in visible(view, who, home, at, server)
        }
        assert by_server == shown


@pytest.mark.guarantee("access:list-equals-call")
@few
@given(states(), moments, contexts)
def test_servers_are_reached_for_what_does_not_answer_as_unknown(found, at, context):
    view = rows.view(*found)
    for who in view.principals.values():
        home = view.workspace(who.workspace)
        for kind in ("prompts", "resources"):
            reached = reachable(view, who, home, at, kind)
            assert [server.alias for server in reached] == sorted(s.alias for s in reached)
            for alias, server in home.servers.items():
                decision = decide(view, who, server.reading(kind), at, context)
                hidden = isinstance(decision, Deny) and decision.hidden
                assert (server in reached) == (not hidden)
                alone = reachable(view, who, home, at, kind, alias)
                assert alone == (() if hidden else (server,))


@few
@given(states(), moments, contexts)
def test_prompts_and_resources_never_stand_among_the_tools(found, at, context):
    view = rows.view(*found)
    for who in view.principals.values():
        home = view.workspace(who.workspace)
        listed = visible(view, who, home, at)
        assert all(isinstance(entry, ToolEntry) for entry in (*listed, *home.tools.values()))


@few
@given(states(), moments, contexts)
def test_no_rule_but_one_for_the_whole_server_gives_its_prompts_and_resources(found, at, context):
    whole = {row.id for row in found if isinstance(row, Grant) and not row.tool}
    view = rows.view(*found)
    for who, entry in pairs(view):
        decision = decide(view, who, entry, at, context)
        if isinstance(decision, Allow) and isinstance(entry, ReadEntry):
            assert decision.rule in whole


@few
@given(states(), guardrails("grd_new", modes=("enforce",)), moments, contexts)
def test_adding_a_guardrail_never_widens(found, extra, at, context):
    before = rows.view(*found)
    after = rows.view(*found, extra, previous=before)
    assert allowed(after, at, context) <= allowed(before, at, context)


@few
@given(states(), grants("grn_new"), moments, contexts)
def test_removing_a_grant_never_widens_and_adding_one_never_narrows(found, extra, at, context):
    without = rows.view(*found)
    with_it = rows.view(*found, extra, previous=without)
    assert allowed(without, at, context) <= allowed(with_it, at, context)
    again = rows.view(*found, previous=with_it)
    assert allowed(again, at, context) == allowed(without, at, context)


@pytest.mark.guarantee("access:deny-by-default")
@few
@given(states(), moments, contexts)
def test_without_a_grant_everything_is_denied_and_hidden(found, at, context):
    view = rows.view(*(row for row in found if not isinstance(row, Grant)))
    for who, tool in pairs(view):
        assert decide(view, who, tool, at, context) == Deny("no_grant", hidden=True)


@pytest.mark.guarantee("access:deny-by-default")
@few
@given(states(), moments, contexts)
def test_a_guardrail_that_forbids_all_beats_every_grant(found, at, context):
    stop = rows.guardrail('@reason("stop") forbid (principal, action, resource);', "grd_stop")
    assert allowed(rows.view(*found, stop), at, context) == set()


@few
@given(states(), st.data(), moments, contexts)
def test_a_view_made_from_the_previous_one_decides_as_one_made_from_nothing(
    found, data, at, context
):
    view = rows.view(*found)
    for _ in range(2):
        found = list(found)
        match data.draw(st.sampled_from(["drop", "grant", "guardrail"])):
            case "drop":
                rules = [row for row in found if isinstance(row, Grant | Guardrail)]
                if rules:
                    found.remove(data.draw(st.sampled_from(rules)))
            case "grant":
                found = [row for row in found if getattr(row, "id", "") != "grn_0"]
                found.append(data.draw(grants("grn_0")))
            case "guardrail":
                found = [row for row in found if getattr(row, "id", "") != "grd_0"]
                found.append(data.draw(guardrails("grd_0")))
        view = rows.view(*found, previous=view)
    fresh = rows.view(*found)
    for who, tool in pairs(fresh):
        assert decide(view, who, tool, at, context) == decide(fresh, who, tool, at, context)
        home, anew = view.workspace(who.workspace), fresh.workspace(who.workspace)
        assert home.policy == anew.policy
        assert visible(view, who, home, at) == visible(fresh, who, anew, at)
        for kind in ("prompts", "resources"):
            kept = reachable(view, who, home, at, kind)
            made = reachable(fresh, who, anew, at, kind)
            assert [server.id for server in kept] == [server.id for server in made]


@few
@given(states(), moments, contexts)
def test_an_explanation_tells_the_decision_and_a_way_to_it(found, at, context):
    view = rows.view(*found)
    for who, tool in pairs(view):
        told = explain(view, who, tool, at, context)
        decision = decide(view, who, tool, at, context)
        assert told.decision == decision
        if isinstance(decision, Allow):
            first = next(path for path in told.grants if path.permits)
            assert first.grant.id == decision.rule
        elif decision.reason == "no_grant":
            assert not any(path.permits for path in told.grants)
