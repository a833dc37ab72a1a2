from hashlib import sha256

import pytest
from tests.unit.admin import test_apply as files

from gatelodge.core.catalog.server import HttpTransport
from gatelodge.core.errors import Conflict, Forbidden, Invalid, NotFound
from gatelodge.core.policy.rules import Grant
from gatelodge.flows.admin import agents, grants, groups, guardrails, members, servers, tools

TEXT = '@reason("no")\nforbid (principal, action, resource);'


@pytest.fixture
def server(house):
    proposal = servers.ServerProposal(transport=HttpTransport(url="https://x.example.com/mcp"))
    made = house.do(servers.register, house.workspace, "x", proposal).id
    house.do(tools.take_stock, house.workspace, made, [b'{"name":"log"}'])
    house.leaves()
    return made


def grant(house, **words):
    return house.do(grants.create, house.workspace, **words)


def test_a_grant_is_recorded_with_all_that_access_depends_on(house, server):
    made = grant(
        house,
        member=house.owner,
        server=server,
        tool="log",
        level="read",
        for_seconds=60,
        ticket="OPS-7",
    )
    assert house.leaves() == [
        (
            "grant.created",
            {
                "grant": made.id,
                "grantee_kind": "member",
                "grantee": house.owner,
                "server": server,
                "tool": "log",
                "level": "read",
                "expires_at": "2026-11-18T11:07:40.000000Z",
                "ticket": "OPS-7",
            },
        )
    ]
    house.do(grants.revoke, house.workspace, made.id)
    assert house.leaves() == [("grant.revoked", {"grant": made.id})]
    assert house.find(Grant, workspace=house.workspace) == []


def test_a_grant_goes_to_members_agents_groups_and_everyone(house, server):
    agent = house.do(agents.add, house.workspace, "ci", house.owner).id
    group = house.do(groups.create, house.workspace, "dev").id
    for kind, grantee in {
        "member": house.owner,
        "agent": agent,
        "group": group,
        "everyone": True,
    }.items():
        made = grant(house, **{kind: grantee, "server": server})
        assert (made.grantee_kind, made.tool) == (kind, "")
        assert made.grantee == ("" if kind == "everyone" else grantee)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ({"member": "mem_nobody"}, NotFound),
        ({"agent": "agt_nobody"}, NotFound),
        ({"group": "grp_nothing"}, NotFound),
        ({"group": "mem_nobody"}, NotFound),
        ({"member": ""}, Invalid),
        ({}, Invalid),
        ({"everyone": True, "member": "mem_x"}, Invalid),
        ({"everyone": True, "server": "srv_nothing"}, NotFound),
        ({"everyone": True, "tool": "never"}, NotFound),
        ({"everyone": True, "level": "root"}, Invalid),
        ({"everyone": True, "until": "1970-01-01T00:00:01Z"}, Invalid),
        ({"everyone": True, "until": "soon"}, Invalid),
        ({"everyone": True, "for_seconds": 0}, Invalid),
        ({"everyone": True, "for_seconds": 60, "until": "2097-01-01T00:00:00Z"}, Invalid),
        ({"everyone": True, "ticket": "for Bob, who asked"}, Invalid),
    ],
)
def test_a_grant_names_what_is_there(house, server, words, error):
    with pytest.raises(error):
        grant(house, **{"server": server, **words})
    assert house.leaves() == []


def test_who_has_left_is_granted_nothing(house, server):
    ann = house.member("ann")
    house.do(members.revoke, house.workspace, ann)
    with pytest.raises(Conflict):
        grant(house, member=ann, server=server)


def test_the_same_is_granted_once_at_a_time(house, server):
    words = {"everyone": True, "server": server}
    grant(house, **words, for_seconds=1)
    with pytest.raises(Conflict, match="granted already"):
        grant(house, **words)
    grant(house, **words, level="read")
    grant(house, **words, tool="log")
    house.clock.step(2)
    grant(house, **words)


def test_a_grant_that_is_not_here_cannot_be_revoked(house):
    with pytest.raises(NotFound):
        house.do(grants.revoke, house.workspace, "grn_nothing")


def publish(house, text=TEXT, mode="enforce", scope=None, **named):
    place = house.workspace if scope is None else scope
    draft = guardrails.GuardrailDraft(
        **{"name": "no-log", "text": text, "mode": mode} | named.pop("draft", {})
    )
    return house.do(guardrails.publish, place, draft, named.pop("validate", accept), **named)


def accept(_text):
    return None


def test_a_guardrail_is_recorded_with_its_text_so_that_decisions_can_be_replayed(house):
    made = publish(house)
    digest = sha256(TEXT.encode()).hexdigest()
    assert house.leaves() == [
        (
            "guardrail.published",
            {"guardrail": made.id, "digest": digest, "text": TEXT, "mode": "enforce"},
        )
    ]


def test_the_same_text_again_changes_nothing(house):
    first = publish(house)
    house.leaves()
    assert (publish(house), house.leaves()) == (first, [])


def test_a_new_version_retires_the_one_before_it(house):
    first = publish(house, mode="observe")
    house.leaves()
    second = publish(house)
    assert [t for t, _ in house.leaves()] == ["guardrail.retired", "guardrail.published"]
    modes = {row.id: row.mode for row in house.look(guardrails.listed, house.workspace)}
    assert modes == {first.id: "retired", second.id: "enforce"}


def test_a_text_that_does_not_validate_is_not_published(house):
    def refuse(_text):
        raise Invalid("Line 1: no")

    with pytest.raises(Invalid, match="Line 1"):
        publish(house, validate=refuse)
    assert house.leaves() == []


@pytest.mark.parametrize("text", ["x" * 16_385, "é" * 8_193, "a\0b"])
def test_a_text_that_no_leaf_could_hold_is_refused(house, text):
    with pytest.raises(Invalid):
        publish(house, text)


def test_a_guardrail_is_published_to_enforce_or_observe(house):
    with pytest.raises(Invalid):
        publish(house, mode="retired")


def test_a_retired_guardrail_stays_retired_until_published_anew(house):
    made = publish(house)
    house.leaves()
    house.do(guardrails.retire, house.workspace, made.id)
    house.do(guardrails.retire, house.workspace, made.id)
    assert house.leaves() == [("guardrail.retired", {"guardrail": made.id})]
    assert publish(house).id != made.id


def test_only_an_operator_publishes_for_every_workspace(house):
    with pytest.raises(Forbidden):
        publish(house, scope="", by=house.owner)
    made = publish(house, scope="")
    with pytest.raises(Forbidden):
        house.do(guardrails.retire, "", made.id, by=house.owner)
    with pytest.raises(NotFound):
        house.do(guardrails.retire, house.workspace, made.id, by=house.owner)
    assert "workspace" not in house.whole_leaves()[0]


def test_no_guardrails_name_stands_for_the_id_of_another(house):
    one = publish(house)
    with pytest.raises(Invalid, match="as an id is"):
        publish(house, draft={"name": one.id})


def test_a_guardrail_that_is_too_long_is_refused_before_anything_is_made_of_it(house):
    long = "// " + "a::" * 10_000 + "\\nforbid (principal, action, resource);"
    with pytest.raises(Invalid, match="at most 16384 bytes"):
        files.dry(house, files.FILE.replace("forbid (principal, action, resource);", long))


@pytest.mark.parametrize("to", ["agent: ", "group:", "group:\\t", "everyone\\n", "member:@"])
def test_a_grant_to_nobody_is_none_to_everybody(house, to):
    with pytest.raises(Invalid):
        files.made(
            house, files.FILE + f'\n[[grants]]\nto = "{to}"\nserver = "git"\nlevel = "all"\n'
        )
