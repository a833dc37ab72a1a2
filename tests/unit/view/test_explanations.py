from tests.unit.view.rows import (
    HOUR,
    NOON,
    agent,
    grant,
    group,
    guardrail,
    joined,
    member,
    server,
    tool,
    view,
)

from gatelodge.core.access.explain import explain
from gatelodge.core.access.matrix import matrix
from gatelodge.core.policy.decision import Allow

HOURS = """@reason("Closed.") @advice("Come at noon.") forbid (principal, action, resource)
when { context.now < datetime("2026-11-22T12:00:00Z") };"""


def told(made, principal="mem_ann", shown="git__log", at=NOON):
    return explain(made, made.principals[principal], made.workspaces["home"].tools[shown], at)


def test_an_allow_is_explained_by_its_grant_the_group_and_who_gave_it():
    made = view(
        member(), group(), joined("mem_ann"), server(), tool(),
        grant("grn_1", "group", "grp_eng", created_by="mem_boss", ticket="SEC-7"),
    )  # fmt: skip
    story = told(made)
    (path,) = story.grants
    assert story.decision == Allow("grn_1")
    row = path.grant
    assert (row.id, row.grantee_kind, row.grantee) == ("grn_1", "group", "grp_eng")
    assert (row.created_by, row.ticket, row.expires_at) == ("mem_boss", "SEC-7", None)
    assert path.permits
    assert not story.conditional
    assert story.guardrails == ()


def test_a_denial_is_explained_by_the_grants_that_others_have_and_what_is_amiss_with_ones_own():
    made = view(
        member(), group(), server(), tool(destructive=True), tool("other"),
        grant("grn_1", "group", "grp_eng", level="all"),
        grant("grn_2", "everyone", level="use"),
        grant("grn_3", "everyone", level="all", expires_at=NOON - HOUR),
        grant("grn_4", "everyone", tool="other"),
    )  # fmt: skip
    story = told(made)
    assert story.decision.reason == "no_grant"
    assert [(path.grant.id, path.mine, path.reaches, path.lasts) for path in story.grants] == [
        ("grn_1", False, True, True),
        ("grn_2", True, False, True),
        ("grn_3", True, True, False),
    ]


def test_a_guardrail_is_explained_by_what_it_says_now_and_ever():
    made = view(
        member(), server(), tool(), grant(), guardrail(HOURS, mode="observe"),
        guardrail(HOURS, "grd_2", name="hours"),
    )  # fmt: skip
    early, late = told(made, at=NOON - 1), told(made, at=NOON)
    assert [(one.guard.id, one.guard.guardrail.mode) for one in early.guardrails] == [
        ("grd_2", "enforce"),
        ("grd_1", "observe"),
    ]
    assert (early.guardrails[0].ever, early.guardrails[0].now) == ("depends", "forbids")
    assert late.guardrails[0].now == "passes"
    assert early.guardrails[0].guard.telling.advice == "Come at noon."
    assert early.conditional
    assert isinstance(late.decision, Allow)


def test_a_changed_tool_is_explained_by_its_standing():
    story = told(view(member(), server(), tool(observed="1" * 64), grant()))
    assert story.standing == "changed"
    assert story.decision.reason == "tool_changed"
    assert story.grants[0].permits


def test_the_matrix_has_every_principal_with_every_tool_and_the_rule():
    made = view(
        member(), member("mem_bob"), agent(), server(), server("srv_b", "b"), tool(),
        tool("t", "srv_b"), grant("grn_1", "member", "mem_bob"),
        grant("grn_2", server="srv_b", expires_at=NOON + HOUR),
    )  # fmt: skip
    home = made.workspaces["home"]
    cells = list(matrix(made, home, NOON))
    assert [(cell.principal, cell.server, cell.tool) for cell in cells] == [
        (who, where, what)
        for who in ("agt_bot", "mem_ann", "mem_bob")
        for where, what in (("srv_b", "t"), ("srv_git", "log"))
    ]
    rules = {(cell.principal, cell.tool): cell.decision.rule for cell in cells}
    assert rules["mem_bob", "log"] == "grn_1"
    assert rules["mem_ann", "log"] == ""
    assert all(cell.conditional == (cell.server == "srv_b") for cell in cells)
    narrow = list(matrix(made, home, NOON, principals=["mem_bob"], servers=["srv_git"]))
    assert [cell.decision for cell in narrow] == [Allow("grn_1")]
