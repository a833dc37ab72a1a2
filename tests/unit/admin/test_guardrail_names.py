"""Guardrails speak the names that people use, and go on holding for what bears them."""

import json

import pytest
from msgspec.structs import replace

from gatelodge.core.catalog.server import HttpTransport
from gatelodge.core.errors import Conflict, Invalid
from gatelodge.core.policy.guardrails import validate
from gatelodge.core.policy.naming import MOST_NEAR, bind
from gatelodge.flows.admin import agents, groups, guardrails, members, servers, tools, workspaces
from gatelodge.flows.admin.apply import apply, planned
from gatelodge.flows.admin.bearers import bearers
from gatelodge.flows.admin.declared.reading import parse


def rule(scope):
    return f'@reason("no")\nforbid ({scope});'


def about(entity):
    return rule(f"principal, action, resource in Gatelodge::{entity}")


def by(entity):
    return rule(f"principal in Gatelodge::{entity}, action, resource")


def publish(house, text, scope=None, **more):
    draft = guardrails.GuardrailDraft(name="r", text=text, **more)
    place = house.workspace if scope is None else scope
    return house.do(guardrails.publish, place, draft, validate)


def standing(house, scope=None):
    place = house.workspace if scope is None else scope
    (row,) = [each for each in house.look(guardrails.listed, place) if each.mode != "retired"]
    return row


def unmatched(house):
    row = standing(house)
    return house.look(lambda tx: guardrails.unmatched(row, bearers(tx, house.workspace)))


@pytest.fixture
def crm(house):
    def register(**more):
        proposal = servers.ServerProposal(
            transport=HttpTransport(url="https://crm.example.com/mcp"), **more
        )
        made = house.do(servers.register, house.workspace, "crm", proposal).id
        house.do(tools.take_stock, house.workspace, made, [b'{"name":"find"}'])
        return made

    register.first = register(tags=("finance",))
    house.leaves()
    return register


@pytest.mark.parametrize(
    "entity",
    [
        'Server::"crn"', 'Tool::"crm/finds"', 'Tool::"other/find"', 'Group::"enginers"',
        'Tag::"finances"', 'Prompt::"crn"', 'Resource::"crn"', 'Workspace::"mian"',
        'Server::"srv_gone"', 'Tool::"srv_gone/find"',
    ],
)  # fmt: skip
def test_a_rule_about_what_is_not_there_is_refused(house, crm, entity):
    kind = entity.partition(":")[0]
    text = by(entity) if kind == "Group" else about(entity)
    if kind in {"Tool", "Prompt", "Resource"}:
        text = rule(f"principal, action, resource == Gatelodge::{entity}")
    with pytest.raises(Invalid, match="not there"):
        publish(house, text)
    assert house.leaves() == []
    publish(house, text, unmatched=True)
    assert unmatched(house) == (entity,)


@pytest.mark.parametrize("entity", ['Member::"bob@example.com"', 'Agent::"nightly"'])
def test_a_person_who_is_not_there_is_never_named_because_the_log_would_keep_the_name(
    house, entity
):
    text = rule(f"principal == Gatelodge::{entity}, action, resource")
    with pytest.raises(Invalid, match="not there"):
        publish(house, text, unmatched=True)
    assert house.leaves() == []


def test_the_refusal_names_what_comes_near(house, crm):
    with pytest.raises(Invalid, match="did you mean crm/find"):
        publish(house, rule('principal, action, resource == Gatelodge::Tool::"crm/finds"'))


def test_a_server_that_is_removed_and_added_again_stays_forbidden(house, crm):
    publish(house, about('Server::"crm"'))
    assert f'"{crm.first}"' in standing(house).text
    house.do(servers.remove, house.workspace, crm.first)
    assert unmatched(house) == ('Server::"crm"',)
    again = crm()
    assert f'"{again}"' in standing(house).text
    assert unmatched(house) == ()
    last = house.leaves()
    assert [t for t, _ in last if t.startswith("guardrail")] == [
        "guardrail.published",
        "guardrail.retired",
        "guardrail.published",
    ]


def test_a_rule_that_was_written_with_an_id_goes_on_holding_as_well(house, crm):
    publish(house, rule(f'principal, action, resource == Gatelodge::Tool::"{crm.first}/find"'))
    assert standing(house).written.endswith('Gatelodge::Tool::"crm/find");')
    house.do(servers.remove, house.workspace, crm.first)
    again = crm()
    assert f'"{again}/find"' in standing(house).text


def test_a_group_that_is_removed_and_made_again_stays_forbidden(house):
    house.do(groups.remove, house.workspace, _group(house))
    with pytest.raises(Invalid):
        publish(house, by('Group::"ops"'))
    _group(house)
    publish(house, by('Group::"ops"'))
    house.do(groups.remove, house.workspace, house.find_group())
    again = _group(house)
    assert f'"{again}"' in standing(house).text


def _group(house):
    made = house.do(groups.create, house.workspace, "ops").id
    house.find_group = lambda: made
    return made


def test_somebody_who_left_and_came_back_stays_forbidden_and_no_leaf_names_them(house):
    bob = house.member("bob")
    publish(house, rule('principal == Gatelodge::Member::"Bob@example.com", action, resource'))
    house.do(members.revoke, house.workspace, bob)
    back = house.member("bob")
    assert f'"{back}"' in standing(house).text
    assert standing(house).written.count("bob@example.com") == 1
    assert "bob@" not in json.dumps(house.leaves())


def test_an_agent_that_left_and_came_back_stays_forbidden(house):
    first = house.do(agents.add, house.workspace, "nightly", house.owner).id
    publish(house, rule('principal == Gatelodge::Agent::"nightly", action, resource'))
    house.do(agents.revoke, house.workspace, first)
    back = house.do(agents.add, house.workspace, "Nightly", house.owner).id
    assert f'"{back}"' in standing(house).text


def test_a_rule_that_awaits_a_server_holds_once_it_comes(house):
    publish(house, about('Server::"crm"'), unmatched=True)
    proposal = servers.ServerProposal(transport=HttpTransport(url="https://crm.example.com/mcp"))
    made = house.do(servers.register, house.workspace, "crm", proposal).id
    assert f'"{made}"' in standing(house).text


def test_a_rule_that_awaits_a_workspace_holds_once_it_is_founded(house):
    publish(house, about('Workspace::"acme"'), scope="", unmatched=True)
    owner = "owner@acme.test"
    made = house.do(workspaces.create, house.peppers, "acme", "Acme", owner)
    assert f'"{made.workspace.id}"' in standing(house, "").text


@pytest.mark.parametrize("said", ["a%20b", "a b"])
def test_a_tool_that_is_awaited_is_forbidden_in_both_spellings_once_it_comes(house, said):
    proposal = servers.ServerProposal(transport=HttpTransport(url="https://crm.example.com/mcp"))
    made = house.do(servers.register, house.workspace, "crm", proposal).id
    publish(house, rule(f'principal, action, resource == Gatelodge::Tool::"crm/{said}"'))
    house.do(tools.take_stock, house.workspace, made, [b'{"name":"a b"}'])
    assert f'"{made}/a%20b"' in standing(house).text
    assert unmatched(house) == ()


def test_a_rule_that_an_older_release_kept_with_a_name_is_told_as_one_without_effect(house, crm):
    publish(house, about('Server::"crm"'))
    row = standing(house)

    def keep_as_before(act):
        act.tx.put(replace(row, text=row.written))
        act.record("guardrail.retired", house.workspace, guardrail=row.id)

    house.do(keep_as_before)
    assert unmatched(house) == ('Server::"crm"',)
    publish(house, about('Server::"crm"'))
    assert f'"{crm.first}"' in standing(house).text
    assert unmatched(house) == ()


def test_what_comes_near_is_looked_up_for_a_few_names_only(house, crm):
    many = ", ".join(f'Gatelodge::Server::"crm{n}"' for n in range(40))
    place = house.look(lambda tx: bearers(tx, house.workspace))
    found = bind(rule(f"principal, action, resource in [{many}]"), place).unmatched
    assert [bool(each.near) for each in found] == [True] * MOST_NEAR + [False] * (40 - MOST_NEAR)


def test_a_tag_has_one_spelling_in_a_workspace(house, crm):
    proposal = servers.ServerProposal(
        transport=HttpTransport(url="https://erp.example.com/mcp"), tags=("Finance",)
    )
    with pytest.raises(Invalid, match="'finance'"):
        house.do(servers.register, house.workspace, "erp", proposal)
    with pytest.raises(Invalid, match="is spelled"):
        house.do(servers.register, house.workspace, "erp", replace(proposal, tags=("a", "A")))


def test_a_change_that_no_record_can_hold_is_refused_and_not_made(house):
    with pytest.raises(Invalid, match="record of the log"):
        publish(house, rule("principal, action, resource") + "//" + "\x01" * 12_000)
    assert house.leaves() == []


def test_tools_of_a_server_that_nobody_has_looked_at_can_be_named(house):
    proposal = servers.ServerProposal(transport=HttpTransport(url="https://crm.example.com/mcp"))
    made = house.do(servers.register, house.workspace, "crm", proposal).id
    publish(house, rule('principal, action, resource == Gatelodge::Tool::"crm/drop"'))
    assert f'"{made}/drop"' in standing(house).text
    assert unmatched(house) == ('Tool::"crm/drop"',)


def test_a_rule_for_every_workspace_names_the_workspace_too(house, crm):
    with pytest.raises(Invalid, match="not there") as refused:
        publish(house, about('Server::"crm"'), scope="")
    assert "main/crm" in refused.value.remedy
    publish(house, about('Server::"main/crm"'), scope="")
    assert f'"{crm.first}"' in standing(house, "").text
    house.do(servers.remove, house.workspace, crm.first)
    again = crm()
    assert f'"{again}"' in standing(house, "").text


FILE = """
workspace = "main"
[[groups]]
name = "ops"
[[servers]]
alias = "crm"
url = "https://crm.example.com/mcp"
[[guardrails]]
name = "r"
text = '''{}'''
"""


def test_a_file_brings_a_server_and_the_rule_about_it_and_a_second_run_changes_nothing(house):
    text = rule(
        'principal in Gatelodge::Group::"ops", action, resource == Gatelodge::Tool::"crm/drop"'
    )
    file = parse(FILE.format(text))
    house.do(apply, house.workspace, file)
    assert unmatched(house) == ('Tool::"crm/drop"',)
    assert house.look(planned, house.workspace, file, house.clock.now()) == ()


def test_two_members_never_share_a_name_in_any_spelling(house):
    house.do(members.add, house.workspace, "straße@x.test")
    with pytest.raises(Conflict):
        house.do(members.add, house.workspace, "STRASSE@x.test")


@pytest.mark.parametrize("again", ["OPS", "\N{FULLWIDTH LATIN SMALL LETTER O}ps"])
def test_two_groups_or_agents_never_share_a_name_in_any_spelling(house, again):
    house.do(groups.create, house.workspace, "ops")
    with pytest.raises(Conflict):
        house.do(groups.create, house.workspace, again)
    house.do(agents.add, house.workspace, "ops", house.owner)
    with pytest.raises(Conflict):
        house.do(agents.add, house.workspace, again, house.owner)
