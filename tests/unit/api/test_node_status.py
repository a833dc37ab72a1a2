"""What a node says of itself, by whether it is one that should serve."""

from types import SimpleNamespace

from tests.unit.view.rows import HOME, grant, guardrail, server, tool, view, workspace

from gatelodge.core.errors import LedgerDown, Stale
from gatelodge.web.api.context import AdminCaller
from gatelodge.web.api.house.health import faults_for, unserving


def test_a_command_beside_a_busy_node_is_not_at_fault_for_having_no_lease():
    stale = Stale("this node cannot prove that its view is fresh")
    broken = LedgerDown("records cannot be made durable")
    command = SimpleNamespace(idle="nod_1", unready=lambda: stale)
    assert unserving(command) is None
    assert unserving(SimpleNamespace(idle="", unready=lambda: stale)) is stale
    assert unserving(SimpleNamespace(idle="nod_1", unready=lambda: broken)) is broken


def test_a_member_sees_what_is_left_out_of_their_own_workspace_and_of_no_other():
    """Of servers, tools, grants and guardrails; an operator sees all of it."""
    made = view(
        workspace(),
        workspace("wsp_other", "other"),
        server(),
        tool("log", definition="{"),
        server("srv_theirs", "Not an alias", workspace="wsp_other"),
        tool("log", server="srv_git2", workspace="wsp_other", definition="{"),
        server("srv_git2", workspace="wsp_other"),
        grant("grn_theirs", workspace="wsp_other", expires_at=10**18),
        guardrail("forbid (", "grd_theirs", workspace="wsp_other"),
    )
    mine = AdminCaller(by="mem_ann", role="auditor", workspace=HOME)
    theirs = AdminCaller(by="mem_bob", role="auditor", workspace="wsp_other")
    (fault,) = faults_for(made, mine)
    assert "git/log " in fault
    assert len(faults_for(made, theirs)) == 4
    assert set(faults_for(made, AdminCaller(by="local"))) == {fault, *faults_for(made, theirs)}
