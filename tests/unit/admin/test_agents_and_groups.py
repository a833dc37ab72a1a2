import pytest

from gatelodge.core.catalog.server import HttpTransport
from gatelodge.core.errors import Conflict, Invalid, NotFound
from gatelodge.core.people import Credential, Group, GroupMember
from gatelodge.core.policy.rules import Grant
from gatelodge.flows.admin import agents, grants, groups, members, servers
from gatelodge.flows.identity import tokens


@pytest.fixture
def agent(house):
    made = house.do(agents.add, house.workspace, "ci", house.owner).id
    house.leaves()
    return made


def test_an_agent_is_recorded_by_id_and_owner(house):
    made = house.do(agents.add, house.workspace, " ci ", house.owner)
    assert made.name == "ci"
    assert house.leaves() == [("agent.added", {"agent": made.id, "owner": house.owner})]


def test_an_agent_needs_an_active_owner_of_the_same_workspace(house):
    ann = house.member("ann")
    house.do(members.suspend, house.workspace, ann)
    with pytest.raises(Conflict):
        house.do(agents.add, house.workspace, "ci", ann)
    with pytest.raises(NotFound):
        house.do(agents.add, house.workspace, "ci", "mem_nobody")


def test_no_name_stands_for_the_id_of_another(house, agent):
    other = house.do(groups.create, house.workspace, "dev").id
    for name in (other, f" {agent} ", f"mem_{'x' * 22}"):
        with pytest.raises(Invalid, match="as an id is"):
            house.do(groups.create, house.workspace, name)
        with pytest.raises(Invalid, match="as an id is"):
            house.do(agents.add, house.workspace, name, house.owner)
    assert house.do(groups.create, house.workspace, "grp_dev").name == "grp_dev"


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 65, "a\0b"])
def test_a_name_is_one_printable_line(house, name):
    with pytest.raises(Invalid):
        house.do(agents.add, house.workspace, name, house.owner)
    with pytest.raises(Invalid):
        house.do(groups.create, house.workspace, name)


def test_no_agent_is_called_like_a_member(house):
    with pytest.raises(Invalid, match="no @"):
        house.do(agents.add, house.workspace, "ann@example.test", house.owner)


@pytest.mark.parametrize("name", ["agent:x", "member:x", "Agent:x"])
def test_no_agent_is_called_as_a_principal_is_written(house, name):
    with pytest.raises(Invalid, match="does not begin"):
        house.do(agents.add, house.workspace, name, house.owner)


def test_an_agents_name_is_free_again_when_it_has_left(house, agent):
    with pytest.raises(Conflict):
        house.do(agents.add, house.workspace, "ci", house.owner)
    house.do(agents.revoke, house.workspace, agent)
    assert house.do(agents.add, house.workspace, "ci", house.owner).id != agent


def test_an_agent_rests_and_comes_back(house, agent):
    house.do(agents.suspend, house.workspace, agent)
    house.do(agents.suspend, house.workspace, agent)
    house.do(agents.resume, house.workspace, agent)
    house.do(agents.resume, house.workspace, agent)
    assert house.leaves() == [
        ("agent.suspended", {"agent": agent}),
        ("agent.resumed", {"agent": agent}),
    ]


def test_an_agent_cannot_come_back_under_an_owner_who_is_gone(house):
    ann = house.member("ann")
    agent = house.do(agents.add, house.workspace, "ci", ann).id
    house.do(members.revoke, house.workspace, ann)
    with pytest.raises(Conflict):
        house.do(agents.resume, house.workspace, agent)
    house.do(agents.transfer, house.workspace, agent, house.owner)
    assert house.do(agents.resume, house.workspace, agent).status == "active"


def test_handing_over_ends_the_tokens_and_only_when_the_owner_is_another(house, agent):
    issued = house.do(tokens.issue, house.peppers, house.workspace, agent, "ci")
    house.leaves()
    assert house.do(agents.transfer, house.workspace, agent, house.owner).credentials == ()
    assert house.leaves() == []
    ann = house.member("ann")
    handed = house.do(agents.transfer, house.workspace, agent, ann)
    assert handed.credentials == (issued.credential.id,)
    assert house.look(tokens.of, house.workspace, agent) == []


def test_an_agent_leaves_for_good(house, agent):
    issued = house.do(tokens.issue, house.peppers, house.workspace, agent, "ci")
    house.leaves()
    ended = house.do(agents.revoke, house.workspace, agent)
    assert ended.ids == (issued.credential.id,)
    assert house.do(agents.revoke, house.workspace, agent).ids == ()
    assert house.leaves()[-1] == ("agent.revoked", {"agent": agent, "generation": 1})
    for change in (agents.suspend, agents.resume):
        with pytest.raises(Conflict):
            house.do(change, house.workspace, agent)
    assert house.find(Credential, workspace=house.workspace, id=issued.credential.id)


def test_joining_and_parting_are_recorded_once_each(house, agent):
    group = house.do(groups.create, house.workspace, "dev").id
    house.leaves()
    for principal in (house.owner, agent, agent):
        house.do(groups.add_member, house.workspace, group, principal)
    house.do(groups.remove_member, house.workspace, group, agent)
    assert house.leaves() == [
        ("group.member_added", {"group": group, "principal": house.owner}),
        ("group.member_added", {"group": group, "principal": agent}),
        ("group.member_removed", {"group": group, "principal": agent}),
    ]
    inside = house.look(groups.places, house.workspace, group)
    assert [place.principal for place in inside] == [house.owner]


def test_only_who_is_here_joins_and_only_who_is_in_parts(house, agent):
    group = house.do(groups.create, house.workspace, "dev").id
    house.do(agents.revoke, house.workspace, agent)
    with pytest.raises(Conflict):
        house.do(groups.add_member, house.workspace, group, agent)
    for principal in ("mem_nobody", "agt_nobody"):
        with pytest.raises(NotFound):
            house.do(groups.add_member, house.workspace, group, principal)
    with pytest.raises(NotFound):
        house.do(groups.remove_member, house.workspace, group, house.owner)
    with pytest.raises(NotFound):
        house.do(groups.add_member, house.workspace, "grp_nothing", house.owner)


def test_a_group_name_is_used_once(house):
    house.do(groups.create, house.workspace, "dev")
    with pytest.raises(Conflict):
        house.do(groups.create, house.workspace, "dev")


def test_a_removed_group_takes_its_places_and_grants_with_it(house, agent):
    group = house.do(groups.create, house.workspace, "dev").id
    house.do(groups.add_member, house.workspace, group, agent)
    proposal = servers.ServerProposal(transport=HttpTransport(url="https://x.example.com/mcp"))
    server = house.do(servers.register, house.workspace, "x", proposal).id
    grant = house.do(grants.create, house.workspace, group=group, server=server).id
    house.leaves()
    removed = house.do(groups.remove, house.workspace, group)
    assert (removed.removed, removed.grants) == ("dev", (grant,))
    assert house.leaves() == [
        ("group.member_removed", {"group": group, "principal": agent}),
        ("grant.revoked", {"grant": grant}),
        ("group.removed", {"group": group}),
    ]
    for noun in (Group, GroupMember, Grant):
        assert house.find(noun, workspace=house.workspace) == []
