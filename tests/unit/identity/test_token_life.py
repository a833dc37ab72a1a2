import msgspec
import pytest
from tests.unit.admin.conftest import empty, house, portal

from gatelodge.adapters.keys.peppers import HmacPeppers
from gatelodge.core.errors import Conflict, Forbidden, Invalid, LimitReached, NotFound
from gatelodge.core.people import Credential
from gatelodge.core.tokens import well_formed
from gatelodge.flows.admin import agents, members
from gatelodge.flows.admin.tokens import revoke
from gatelodge.flows.identity import tokens

__all__ = ["empty", "house", "portal"]

DAY = 86_400_000_000


@pytest.fixture
def agent(house):
    return house.do(agents.add, house.workspace, "ci", house.owner).id


def issue(house, principal, days=None, **named):
    return house.do(
        tokens.issue, house.peppers, house.workspace, principal, "laptop", days, **named
    )


@pytest.mark.parametrize(("days", "lives"), [(None, 90), (1, 1), (90, 90)])
def test_a_personal_token_lives_at_most_ninety_days(house, days, lives):
    made = issue(house, house.owner, days)
    assert made.credential.expires_at - made.credential.created_at == lives * DAY
    assert well_formed(made.token) == made.credential.kind == "personal"
    assert made.token.endswith(made.credential.last4)


@pytest.mark.parametrize(("days", "lives"), [(None, 365), (30, 30)])
def test_an_agents_token_lives_at_most_a_year(house, agent, days, lives):
    made = issue(house, agent, days)
    assert made.credential.expires_at - made.credential.created_at == lives * DAY
    assert well_formed(made.token) == made.credential.kind == "agent"


def test_a_longer_life_is_refused(house, agent):
    for principal, days in ((house.owner, 91), (agent, 366), (house.owner, 0), (agent, -1)):
        with pytest.raises(Invalid):
            issue(house, principal, days)


def test_only_the_keyed_digest_is_kept(house):
    house.peppers = HmacPeppers({"2": b"\x02" * 32, "1": b"\x07" * 32})
    made = issue(house, house.owner)
    row = house.find(Credential, workspace=house.workspace, id=made.credential.id)[0]
    assert (row.digest, row.pepper) == (house.peppers.digest(made.token), "2")
    assert made.token not in repr(row)


def test_nobody_gets_a_token_who_is_not_active(house, agent):
    ann = house.member("ann")
    hers = house.do(agents.add, house.workspace, "hers", ann).id
    house.do(members.suspend, house.workspace, ann)
    house.do(agents.suspend, house.workspace, agent)
    for principal in (ann, hers, agent):
        with pytest.raises(Conflict):
            issue(house, principal)
    for principal in ("mem_nobody", "agt_nobody"):
        with pytest.raises(NotFound):
            issue(house, principal)


def test_an_agent_has_two_good_tokens_for_changing_over_and_no_third(house, agent):
    first = issue(house, agent, 1).credential
    issue(house, agent)
    with pytest.raises(LimitReached):
        issue(house, agent)
    house.do(revoke, house.workspace, first.id)
    issue(house, agent, 1)
    house.clock.step(2 * 86_400)
    issue(house, agent)


def test_a_token_is_revoked_once(house):
    made = issue(house, house.owner).credential
    house.leaves()
    house.do(revoke, house.workspace, made.id)
    house.do(revoke, house.workspace, made.id)
    assert house.leaves() == [("token.revoked", {"token": made.id, "principal": house.owner})]
    live = house.look(tokens.of, house.workspace, house.owner)
    assert [row.id for row in live] == [house.credential.id]
    everything = house.look(lambda tx: tokens.of(tx, house.workspace, ended=True))
    assert len(everything) == 2


def test_members_issue_for_themselves_and_their_own_agents_only(house, agent):
    ann = house.member("ann")
    hers = house.do(agents.add, house.workspace, "hers", ann).id
    mine = issue(house, ann, by=ann).credential
    house.do(revoke, house.workspace, mine.id, by=ann)
    issue(house, hers, by=ann)
    for principal in (house.owner, agent):
        with pytest.raises(Forbidden):
            issue(house, principal, by=ann)
    with pytest.raises(Forbidden):
        house.do(revoke, house.workspace, house.credential.id, by=ann)


def test_an_admin_issues_for_no_more_than_an_admin(house):
    admin, ann = house.member("admin", "admin"), house.member("ann")
    auditor = house.member("auditor", "auditor")
    issue(house, ann, by=admin)
    for principal in (house.owner, auditor):
        with pytest.raises(Forbidden):
            issue(house, principal, by=admin)


def test_security_revokes_anyones_token_and_issues_none(house):
    security = house.member("sec", "security")
    house.do(revoke, house.workspace, house.credential.id, by=security)
    with pytest.raises(Forbidden):
        issue(house, house.owner, by=security)


def test_a_token_of_another_workspace_does_not_exist_here(house):
    with pytest.raises(NotFound):
        house.do(revoke, "wsp_other", house.credential.id)


def issued_with(house, parent, principal, days=None):
    """A token that somebody issues with the token `parent`."""

    def work(act):
        held = msgspec.structs.replace(act, credential=parent.credential.id)
        return tokens.issue(held, house.peppers, house.workspace, principal, "again", days)

    return house.do(work, by=parent.credential.principal)


def test_what_was_issued_with_a_token_ends_with_it_whoever_it_is_for(house, agent):
    ann = house.member("ann")
    first = issue(house, house.owner)
    second = issued_with(house, first, house.owner)
    third = issued_with(house, second, agent)
    hers = issued_with(house, second, ann)
    other = issue(house, house.owner)
    house.leaves()
    ended = house.do(revoke, house.workspace, first.credential.id)
    assert ended.ids[0] == first.credential.id
    expected = {each.credential.id for each in (first, second, third, hers)}
    assert set(ended.ids) == expected
    assert {leaf["token"] for t, leaf in house.leaves() if t == "token.revoked"} == expected
    assert house.look(tokens.of, house.workspace, ann) == []
    assert other.credential in house.look(tokens.of, house.workspace, house.owner)


def test_what_was_issued_with_a_token_ends_also_when_that_one_ended_before(house):
    first = issue(house, house.owner)
    second = issued_with(house, first, house.owner)
    house.do(revoke, house.workspace, first.credential.id)
    house.leaves()
    assert house.do(revoke, house.workspace, first.credential.id).ids == ()
    assert second.credential not in house.look(tokens.of, house.workspace, house.owner)


def test_a_token_lives_no_longer_than_the_one_it_is_issued_with(house, agent):
    first = issue(house, house.owner, 30)
    assert issued_with(house, first, agent).credential.expires_at == first.credential.expires_at
    second = issued_with(house, first, house.owner)
    assert second.credential.expires_at == first.credential.expires_at
    assert second.credential.parent == first.credential.id
    house.clock.step(DAY / 1_000_000)
    with pytest.raises(Invalid, match="no longer than"):
        issued_with(house, first, house.owner, 30)
    third = issued_with(house, second, house.owner, 29)
    assert third.credential.expires_at == first.credential.expires_at


def test_the_tokens_that_a_leaver_issued_end_with_theirs(house):
    ann, bob = house.member("ann", "admin"), house.member("bob")
    hers = issue(house, ann)
    his = issued_with(house, hers, bob)
    house.do(members.revoke, house.workspace, ann)
    assert house.look(tokens.of, house.workspace, bob) == []
    assert house.find(Credential, workspace=house.workspace, id=his.credential.id)[0].revoked_at
