import cedarpy
import pytest
from tests.unit.view.rows import (
    HOUR,
    NOON,
    agent,
    answer,
    grant,
    group,
    joined,
    member,
    server,
    tool,
    view,
    workspace,
)

from gatelodge.core.errors import Invalid
from gatelodge.core.policy.decision import Allow, Deny
from gatelodge.core.policy.grants import permit_text
from gatelodge.core.policy.referee import rule_in_full
from gatelodge.core.policy.schema import schema

PEOPLE = (member(), member("mem_bob"), agent(), group(), joined("mem_bob"))
TOOLS = (
    server(),
    tool("look", read_only=True),
    tool("change"),
    tool("wipe", destructive=True),
    tool("raw", reviewed=False, read_only=True),
)
NONE = Deny("no_grant", hidden=True)


def allowed(made, principal="mem_ann", at=NOON):
    return {
        entry.name
        for shown, entry in made.workspaces["home"].tools.items()
        if isinstance(answer(made, principal, shown, at), Allow)
    }


@pytest.mark.parametrize(
    ("level", "tools"),
    [("read", {"look"}), ("use", {"look", "change"}), ("all", {"look", "change", "wipe", "raw"})],
)
def test_a_level_reaches_what_was_reviewed_and_an_unreviewed_tool_counts_as_destructive(
    level, tools
):
    assert allowed(view(*PEOPLE, *TOOLS, grant(level=level))) == tools


@pytest.mark.parametrize(
    ("kind", "grantee", "who"),
    [
        ("member", "mem_ann", {"mem_ann"}),
        ("agent", "agt_bot", {"agt_bot"}),
        ("group", "grp_eng", {"mem_bob"}),
        ("everyone", "", {"mem_ann", "mem_bob", "agt_bot"}),
        ("member", "agt_bot", set()),
        ("agent", "mem_ann", set()),
        ("group", "mem_ann", set()),
        ("member", "mem_nobody", set()),
    ],
)
def test_a_grant_is_for_its_grantee_alone(kind, grantee, who):
    made = view(*PEOPLE, *TOOLS, grant("grn_1", kind, grantee, level="all"))
    assert {ident for ident in made.principals if allowed(made, ident)} == who


def test_a_grant_of_one_tool_is_for_that_tool_alone():
    made = view(*PEOPLE, *TOOLS, grant(level="all", tool="wipe"))
    assert allowed(made) == {"wipe"}


def test_an_expired_grant_permits_nothing_from_its_moment_on():
    made = view(*PEOPLE, *TOOLS, grant(expires_at=NOON + HOUR))
    assert answer(made, shown="git__look", at=NOON + HOUR - 1) == Allow("grn_1")
    assert answer(made, shown="git__look", at=NOON + HOUR) == NONE


def test_an_expiry_counts_in_whole_milliseconds_as_cedar_does():
    made = view(*PEOPLE, *TOOLS, grant(expires_at=NOON + 1999))
    ann, home = made.principals["mem_ann"], made.workspaces["home"]
    entry = home.tools["git__look"]
    for at in (NOON + 999, NOON + 1000, NOON + 1998):
        ruling = rule_in_full(home.policy_text, ann, entry, at, ann.context)
        assert isinstance(answer(made, shown="git__look", at=at), Allow) == ruling.allowed
    assert isinstance(answer(made, shown="git__look", at=NOON + 999), Allow)


def test_the_lowest_id_of_the_grants_that_last_is_the_rule():
    made = view(*PEOPLE, *TOOLS, grant("grn_3"), grant("grn_1", expires_at=NOON), grant("grn_2"))
    assert answer(made, shown="git__look", at=NOON - 1) == Allow("grn_1")
    assert answer(made, shown="git__look", at=NOON) == Allow("grn_2")
    mixed = view(
        *PEOPLE,
        *TOOLS,
        grant("grn_3"),
        grant("grn_2", "member", "mem_bob"),
        grant("grn_1", "group", "grp_eng"),
    )
    assert answer(mixed, "mem_bob", "git__look") == Allow("grn_1")


def test_a_grant_reaches_nothing_outside_its_workspace():
    far = member("mem_far", workspace="wsp_else")
    made = view(
        workspace(),
        workspace("wsp_else", "else"),
        *PEOPLE,
        far,
        *TOOLS,
        joined("mem_far", "grp_eng", "wsp_else"),
        joined("mem_far", "grp_eng"),
        grant("grn_1", "member", "mem_far", level="all"),
        grant("grn_2", "group", "grp_eng", level="all", workspace="wsp_else"),
        grant("grn_3", "everyone", level="all", workspace="wsp_else"),
    )
    for ident in made.principals:
        assert not allowed(made, ident)


@pytest.mark.parametrize(
    "row",
    [
        grant(kind="group", grantee='grp_x", action, resource); permit (principal'),
        grant(tool='a" , resource); //\n', level="read"),
        grant(ident='grn_1") @id("g-pinned', expires_at=NOON),
        grant(kind="agent", grantee="agt_é\ud800", tool="\x00"),
    ],
)
def test_no_text_in_a_grant_ever_becomes_policy(row):
    text = permit_text(row)
    (policy,) = cedarpy.policies_to_pst(text).static_policies.values()
    assert policy.effect == "permit"
    assert len(policy.clauses) == 1
    assert list(policy.annotations) == ["id"]
    assert cedarpy.validate_policies(text, schema()).validation_passed


def test_every_kind_of_grant_passes_the_schema():
    for kind in ("member", "agent", "group", "everyone"):
        for level in ("read", "use", "all"):
            for only in ("", "log"):
                text = permit_text(grant("g", kind, "x", level=level, tool=only, expires_at=NOON))
                assert cedarpy.validate_policies(text, schema()).validation_passed


def test_an_expiry_that_cedar_cannot_hold_is_refused_and_such_a_row_permits_nothing():
    endless = grant(expires_at=10**18)
    with pytest.raises(Invalid, match="grn_1"):
        permit_text(endless)
    made = view(*PEOPLE, *TOOLS, endless)
    assert not allowed(made)
    assert "grn_1" in made.faults[0]
