import pytest

from gatelodge.core.roles import TABLE, VERBS, gives, may

ROLES = ("owner", "security", "admin", "auditor", "member")


@pytest.mark.parametrize(
    ("verb", "allowed"),
    [
        ("token.own", "owner security admin auditor member"),
        ("member.read", "owner security admin auditor"),
        ("member.add", "owner admin"),
        ("member.role", "owner admin"),
        ("member.suspend", "owner security admin"),
        ("member.resume", "owner admin"),
        ("member.revoke", "owner security admin"),
        ("token.issue", "owner admin"),
        ("token.revoke", "owner security admin"),
        ("server.approve", "owner admin"),
        ("server.disable", "owner security admin"),
        ("tool.approve", "owner admin"),
        ("tool.block", "owner security admin"),
        ("grant.create", "owner admin"),
        ("grant.revoke", "owner security admin"),
        ("guardrail.publish", "owner security"),
        ("guardrail.retire", "owner security"),
        ("audit.read", "owner security auditor"),
        ("audit.export", "owner security auditor"),
        ("metrics.read", "owner security admin auditor"),
        ("settings.read", "owner auditor"),
        ("apply", "owner"),
        ("secrets.read", ""),
        ("", ""),
    ],
)
def test_the_table_says_who_may(verb, allowed):
    assert [role for role in ROLES if may(role, verb)] == allowed.split()


def test_an_unknown_role_may_nothing():
    assert not any(may(role, verb) for role in ("", "root", "agent") for verb in VERBS)


def test_the_auditor_changes_nothing():
    changing = {verb for verb in TABLE["auditor"] if not verb.endswith((".read", ".own"))}
    assert changing == {"audit.export"}


def test_nobody_gives_a_role_that_may_what_they_may_not():
    for role in ROLES:
        for given in gives(role):
            assert TABLE[given] <= TABLE[role]
    assert (
        gives("security") == gives("auditor") == gives("member") == gives("nobody") == frozenset()
    )
