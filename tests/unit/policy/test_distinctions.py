"""Whatever a guardrail can ask about tells callers and tools apart, in the tables as in Cedar."""

import pytest
from tests.unit.view.rows import (
    NOON,
    agent,
    answer,
    grant,
    group,
    guardrail,
    joined,
    member,
    server,
    tool,
    view,
)

from gatelodge.core.policy.decision import Allow
from gatelodge.core.policy.referee import rule_in_full

ROWS = (
    member("mem_one"),
    member("mem_two"),
    member("mem_boss", role="admin"),
    member("mem_own"),
    agent("agt_one", "mem_own"),
    agent("agt_two", "mem_two"),
    group("grp_a"),
    joined("mem_one", "grp_a"),
    joined("mem_own", "grp_a"),
    server("srv_x", "x", tags=("prod", "two words")),
    server("srv_y", "y"),
    tool("plain", "srv_x"),
    tool("read", "srv_x", read_only=True),
    tool("wipe", "srv_x", destructive=True),
    tool("shut", "srv_x", open_world=False),
    tool("new words", "srv_x", observed="1" * 64),
    tool("plain", "srv_y"),
    grant("grn_1", server="srv_x", level="all"),
    grant("grn_2", server="srv_y", level="all"),
)

ASKED = [
    'principal in Gatelodge::Group::"grp_a"',
    'principal == Gatelodge::Member::"mem_two"',
    'principal == Gatelodge::Agent::"agt_two"',
    "principal is Gatelodge::Agent",
    'principal is Gatelodge::Member && principal.role == "admin"',
    'principal is Gatelodge::Agent && principal.owner in Gatelodge::Group::"grp_a"',
    'principal is Gatelodge::Agent && principal.owner == Gatelodge::Member::"mem_two"',
    'resource in Gatelodge::Server::"srv_y"',
    'resource in Gatelodge::Tag::"prod"',
    'resource in Gatelodge::Tag::"two words"',
    'resource == Gatelodge::Tool::"srv_x/plain"',
    'resource == Gatelodge::Tool::"srv_x/wipe"',
    'resource == Gatelodge::Tool::"srv_x/new%20words"',
    'resource in Gatelodge::Workspace::"wsp_home"',
    '[Gatelodge::Tool::"srv_x/plain", Gatelodge::Tool::"srv_y/plain"].contains(resource)',
    "resource is Gatelodge::Tool",
    'action == Gatelodge::Action::"call"',
    "resource.readOnly",
    "resource.destructive",
    "resource.openWorld",
    "resource.pinned",
]


@pytest.mark.parametrize("timed", ["", ' && context.now < datetime("2030-01-01")'])
@pytest.mark.parametrize("asked", ASKED)
def test_what_a_guardrail_asks_about_tells_callers_and_tools_apart(asked, timed):
    text = f'@reason("no") forbid (principal, action, resource) when {{ ({asked}){timed} }};'
    made = view(*ROWS, guardrail(text))
    home = made.workspaces["home"]
    stopped = 0
    for ident, who in made.principals.items():
        for shown, entry in home.tools.items():
            decision = answer(made, ident, shown)
            ruling = rule_in_full(home.policy_text, who, entry, NOON, who.context)
            assert isinstance(decision, Allow) == ruling.allowed
            assert ("grd_1" in ruling.rules) == (decision.rule == "grd_1") or (
                decision.reason == "tool_changed"
            )
            stopped += "grd_1" in ruling.rules
    assert stopped
