import pytest

from gatelodge.core.catalog.server import HttpTransport
from gatelodge.core.errors import Conflict, Forbidden, Invalid, NotFound
from gatelodge.core.people import Agent, Credential, GroupMember, Member
from gatelodge.core.policy.rules import Grant
from gatelodge.flows.admin import agents, grants, groups, members, servers
from gatelodge.flows.identity import tokens


def test_a_member_is_added_by_address_and_recorded_by_id(house):
    added = house.do(members.add, house.workspace, " Ann@Example.COM ", "Ann", "admin")
    assert (added.email, added.display, added.role) == ("ann@example.com", "Ann", "admin")
    assert house.leaves() == [("member.added", {"member": added.id, "role": "admin"})]


@pytest.mark.parametrize("email", ["", "ann", "a@b@c", "a b@c", "a@", "@b", "a@b\nc", "a\0@b"])
def test_what_is_no_address_is_refused(house, email):
    with pytest.raises(Invalid):
        house.do(members.add, house.workspace, email)


def test_an_address_is_used_once_until_its_member_has_left(house):
    first = house.member("ann")
    with pytest.raises(Conflict):
        house.member("ann")
    house.do(members.revoke, house.workspace, first)
    assert house.member("ann") != first


def test_a_role_that_does_not_exist_is_refused(house):
    with pytest.raises(Invalid):
        house.do(members.add, house.workspace, "x@example.com", "", "root")


def test_a_change_of_role_is_recorded_with_what_was_before(house):
    ann = house.member("ann")
    house.leaves()
    assert house.do(members.set_role, house.workspace, ann, "auditor").role == "auditor"
    house.do(members.set_role, house.workspace, ann, "auditor")
    assert house.leaves() == [
        ("member.role_changed", {"member": ann, "role": "auditor", "before": "member"})
    ]


@pytest.mark.parametrize(
    "end",
    [
        lambda h: h.do(members.revoke, h.workspace, h.owner),
        lambda h: h.do(members.suspend, h.workspace, h.owner),
        lambda h: h.do(members.set_role, h.workspace, h.owner, "admin"),
    ],
    ids=["leave", "suspend", "demote"],
)
def test_the_last_owner_stays_until_there_is_another(house, end):
    with pytest.raises(Conflict, match="last active owner"):
        end(house)
    second = house.member("second", "owner")
    house.do(members.suspend, house.workspace, second)
    with pytest.raises(Conflict, match="last active owner"):
        end(house)
    house.do(members.resume, house.workspace, second)
    end(house)


def test_a_suspended_member_keeps_everything_and_can_be_resumed(house):
    ann = house.member("ann")
    house.do(tokens.issue, house.peppers, house.workspace, ann, "laptop")
    house.leaves()
    house.do(members.suspend, house.workspace, ann)
    house.do(members.suspend, house.workspace, ann)
    assert house.do(members.resume, house.workspace, ann).status == "active"
    house.do(members.resume, house.workspace, ann)
    assert house.leaves() == [
        ("member.suspended", {"member": ann}),
        ("member.resumed", {"member": ann}),
    ]
    assert house.look(tokens.of, house.workspace, ann)[0].revoked_at is None


@pytest.fixture
def leaver(house):
    """A member with a token, a group, a grant of their own, and an agent with all of these."""
    ann = house.member("ann")
    agent = house.do(agents.add, house.workspace, "ci", ann).id
    group = house.do(groups.create, house.workspace, "dev").id
    proposal = servers.ServerProposal(transport=HttpTransport(url="https://x.example.com/mcp"))
    server = house.do(servers.register, house.workspace, "x", proposal).id
    made = {"member": ann, "agent": agent, "group": group, "server": server}
    for principal, kind in ((ann, "member"), (agent, "agent")):
        house.do(groups.add_member, house.workspace, group, principal)
        issued = house.do(tokens.issue, house.peppers, house.workspace, principal, "t")
        named = {kind: principal, "server": server}
        made[f"{kind}_grant"] = house.do(grants.create, house.workspace, **named).id
        made[f"{kind}_cred"] = issued.credential.id
    house.do(grants.create, house.workspace, group=group, server=server)
    house.do(grants.create, house.workspace, everyone=True, server=server)
    house.leaves()
    return made


def test_leaving_ends_everything_of_the_member_in_one_transaction(house, leaver):
    left = house.do(members.revoke, house.workspace, leaver["member"], by=house.owner, why="OPS-7")
    assert left.ids == (
        leaver["member_cred"],
        leaver["group"],
        leaver["member_grant"],
        leaver["agent"],
    )
    leaves = house.whole_leaves()
    assert [(leaf["t"], leaf["subject"]) for leaf in leaves] == [
        ("agent.suspended", {"agent": leaver["agent"]}),
        ("token.revoked", {"token": leaver["member_cred"], "principal": leaver["member"]}),
        ("group.member_removed", {"group": leaver["group"], "principal": leaver["member"]}),
        ("grant.revoked", {"grant": leaver["member_grant"]}),
        ("member.revoked", {"member": leaver["member"], "generation": 1}),
    ]
    assert {(leaf["by"], leaf["why"]) for leaf in leaves} == {(house.owner, "OPS-7")}


def test_leaving_touches_nobody_else(house, leaver):
    house.do(members.revoke, house.workspace, leaver["member"])
    workspace = house.workspace
    assert house.find(Member, workspace=workspace, id=house.owner)[0].status == "active"
    live = {row.id for row in house.find(Credential, workspace=workspace, revoked_at=None)}
    assert live == {house.credential.id, leaver["agent_cred"]}
    assert {row.grantee_kind for row in house.find(Grant, workspace=workspace)} == {
        "agent",
        "group",
        "everyone",
    }
    places = house.find(GroupMember, workspace=workspace)
    assert [place.principal for place in places] == [leaver["agent"]]


def test_leaving_twice_leaves_one_trace(house, leaver):
    house.do(members.revoke, house.workspace, leaver["member"])
    house.leaves()
    again = house.do(members.revoke, house.workspace, leaver["member"])
    assert (again.ids, house.leaves()) == ((), [])


def test_agents_can_be_handed_to_an_heir_without_the_tokens_the_leaver_knew(house, leaver):
    heir = house.member("heir")
    house.leaves()
    left = house.do(members.revoke, house.workspace, leaver["member"], heir)
    assert left.transferred_agents == (leaver["agent"],)
    assert leaver["agent_cred"] in left.ids
    agent = house.find(Agent, workspace=house.workspace)[0]
    assert (agent.owner, agent.status) == (heir, "active")
    assert house.leaves()[:2] == [
        ("token.revoked", {"token": leaver["agent_cred"], "principal": leaver["agent"]}),
        (
            "agent.owner_changed",
            {"agent": leaver["agent"], "owner": heir, "before": leaver["member"]},
        ),
    ]


@pytest.mark.parametrize(("role", "allowed"), [("security", False), ("owner", True)])
def test_who_only_ends_access_gives_no_agent_to_anybody(house, leaver, role, allowed):
    by = house.member("by", role)
    revoke = (members.revoke, house.workspace, leaver["member"])
    if not allowed:
        for heir in (by, house.owner):
            with pytest.raises(Forbidden, match="transfers no agents"):
                house.do(*revoke, heir, by=by)
        assert house.find(Agent, workspace=house.workspace)[0].owner == leaver["member"]
        house.do(*revoke, by=by)
    else:
        assert house.do(*revoke, by, by=by).transferred_agents == (leaver["agent"],)


def test_an_heir_has_to_be_someone_else_who_is_active(house, leaver):
    gone = house.member("gone")
    house.do(members.revoke, house.workspace, gone)
    for heir in (gone, leaver["member"]):
        with pytest.raises(Conflict):
            house.do(members.revoke, house.workspace, leaver["member"], heir)
    with pytest.raises(NotFound):
        house.do(members.revoke, house.workspace, leaver["member"], "mem_nobody")
    assert house.look(tokens.of, house.workspace, leaver["member"])


def test_who_has_left_cannot_be_changed(house):
    ann = house.member("ann")
    house.do(members.revoke, house.workspace, ann)
    for change in (
        lambda: house.do(members.suspend, house.workspace, ann),
        lambda: house.do(members.resume, house.workspace, ann),
        lambda: house.do(members.set_role, house.workspace, ann, "admin"),
    ):
        with pytest.raises(Conflict, match="is revoked"):
            change()


def test_a_member_of_another_workspace_does_not_exist_here(house):
    for change in (members.suspend, members.resume, members.revoke):
        with pytest.raises(NotFound):
            house.do(change, "wsp_other", house.owner)


@pytest.mark.parametrize(
    ("role", "target", "allowed"),
    [
        ("admin", "member", True),
        ("admin", "admin", True),
        ("admin", "auditor", False),
        ("admin", "security", False),
        ("admin", "owner", False),
        ("security", "owner", True),
        ("security", "member", True),
        ("auditor", "member", False),
        ("member", "member", False),
    ],
)
def test_who_may_end_whose_access(house, role, target, allowed):
    by, other = house.member("by", role), house.member("other", target)
    for end in (members.suspend, members.revoke):
        if allowed:
            house.do(end, house.workspace, other, by=by)
        else:
            with pytest.raises(Forbidden):
                house.do(end, house.workspace, other, by=by)


@pytest.mark.parametrize("target", ["owner", "security", "auditor"])
def test_an_admin_makes_nobody_more_than_an_admin(house, target):
    admin, other = house.member("admin", "admin"), house.member("other")
    with pytest.raises(Forbidden):
        house.member("new", target, by=admin)
    with pytest.raises(Forbidden):
        house.do(members.set_role, house.workspace, other, target, by=admin)
    with pytest.raises(Forbidden):
        house.do(members.set_role, house.workspace, admin, target, by=admin)
    with pytest.raises(Forbidden):
        house.do(members.set_role, house.workspace, house.owner, "member", by=admin)
    assert house.do(members.set_role, house.workspace, other, "admin", by=admin).role == "admin"


def test_whoever_acts_has_to_be_active_in_this_workspace(house):
    admin, other = house.member("admin", "admin"), house.member("other")
    house.do(members.suspend, house.workspace, admin)
    for by in (admin, "mem_nobody", "agt_ci", ""):
        with pytest.raises(Forbidden):
            house.do(members.revoke, house.workspace, other, by=by)


@pytest.mark.parametrize("why", ["Bob was rude", "bob@example.com", "x" * 65, "-x", "a\nb", "ä"])
def test_a_reason_that_could_name_a_person_is_refused(house, why):
    with pytest.raises(Invalid):
        house.do(members.suspend, house.workspace, house.owner, why=why)
