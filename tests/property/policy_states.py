"""Random governance states: small, and full of what policies can disagree about."""

from hypothesis import strategies as st
from tests.unit.view import rows

GROUPS = ["grp_a", "grp_b", "grp_c"]
MEMBERS = ["mem_1", "mem_2", "mem_3"]
AGENTS = ["agt_1", "agt_2"]
SERVERS = {"srv_x": "x", "srv_y": "y"}
TOOLS = ["get", "put", "drop table/é"]
MOMENTS = [rows.NOON + offset for offset in (-rows.HOUR, -1, 0, 1, 999, rows.HOUR)]

_SCOPES_WHO = [
    "principal",
    "principal is Gatelodge::Agent",
    'principal in Gatelodge::Group::"grp_a"',
    'principal == Gatelodge::Member::"mem_1"',
    'principal in Gatelodge::Workspace::"wsp_home"',
]
_SCOPES_WHAT = [
    "resource",
    'resource in Gatelodge::Server::"srv_x"',
    'resource in Gatelodge::Tag::"prod"',
    'resource == Gatelodge::Tool::"srv_y/drop%20table/%C3%A9"',
    'resource in Gatelodge::Workspace::"wsp_else"',
    "resource is Gatelodge::Tool",
    'resource == Gatelodge::Prompt::"srv_x"',
    'resource is Gatelodge::Resource in Gatelodge::Server::"srv_y"',
]
_SCOPES_HOW = [
    "action",
    "action",
    'action in Gatelodge::Action::"use"',
    'action == Gatelodge::Action::"call"',
    'action == Gatelodge::Action::"get"',
]
_ATOMS = [
    "true",
    "resource.readOnly",
    "resource.destructive",
    "resource.openWorld",
    "resource.pinned",
    'resource in Gatelodge::Tag::"prod"',
    "resource is Gatelodge::Prompt",
    'resource in Gatelodge::Resource::"srv_x"',
    'action == Gatelodge::Action::"get"',
    '[Gatelodge::Tool::"srv_x/get", Gatelodge::Tool::"srv_y/put"].contains(resource)',
    'principal in [Gatelodge::Group::"grp_b", Gatelodge::Group::"grp_c"]',
    "principal is Gatelodge::Member",
    'principal == Gatelodge::Agent::"agt_1"',
    '(principal is Gatelodge::Member && principal.role == "admin")',
    '(principal is Gatelodge::Agent && principal.owner in Gatelodge::Group::"grp_a")',
    '(principal is Gatelodge::Agent && principal.owner.role == "owner")',
    'context.now < datetime("2026-11-22T12:00:00Z")',
    'context.now.toTime() >= duration("12h")',
    'context.credential == "personal"',
    "(9223372036854775807 + 1 > 0)",
]


@st.composite
def conditions(draw, depth=2):
    """A boolean expression; some of them fail when they are evaluated."""
    atom = st.sampled_from(_ATOMS).map(lambda text: f"({text})")
    if depth == 0 or draw(st.booleans()):
        return draw(atom)
    inner = conditions(depth - 1)
    return draw(
        st.one_of(
            inner.map(lambda text: f"!{text}"),
            st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(
                lambda parts: f"({' '.join(parts)})"
            ),
        )
    )


@st.composite
def guardrails(draw, ident="grd_1", modes=("enforce", "enforce", "enforce", "observe", "retired")):
    who, what = draw(st.sampled_from(_SCOPES_WHO)), draw(st.sampled_from(_SCOPES_WHAT))
    clause = draw(st.sampled_from(["when", "unless"]))
    action = draw(st.sampled_from(_SCOPES_HOW))
    test = f"{clause} {{ {draw(conditions())} }}"
    text = f'@reason("because") forbid ({who}, {action}, {what}) {test};'
    return rows.guardrail(
        text,
        ident,
        workspace=draw(st.sampled_from(["", rows.HOME, rows.HOME, "wsp_else"])),
        mode=draw(st.sampled_from(modes)),
    )


@st.composite
def grants(draw, ident="grn_1"):
    kind = draw(st.sampled_from(["everyone", "everyone", "group", "group", "member", "agent"]))
    pool = {"member": MEMBERS + AGENTS, "agent": AGENTS, "group": GROUPS, "everyone": [""]}[kind]
    return rows.grant(
        ident,
        kind,
        draw(st.sampled_from(pool)),
        workspace=draw(st.sampled_from([rows.HOME] * 5 + ["wsp_else"])),
        server=draw(st.sampled_from(list(SERVERS))),
        tool=draw(st.sampled_from(["", "", "", *TOOLS])),
        level=draw(st.sampled_from(["all", "use", "read"])),
        expires_at=draw(st.sampled_from([None] * 6 + MOMENTS)),
    )


@st.composite
def tools(draw, server, name):
    return rows.tool(
        name,
        server,
        position=draw(st.integers(0, 2)),
        approved=draw(st.sampled_from([_AS_SENT[name]] * 4 + ["", "other"])),
        read_only=draw(st.booleans()),
        destructive=draw(st.booleans()),
        open_world=draw(st.booleans()),
        reviewed=draw(st.sampled_from([True, True, False])),
        present=draw(st.sampled_from([True] * 6 + [False])),
    )


_AS_SENT = {name: rows.tool(name).observed for name in TOOLS}


@st.composite
def states(draw):
    """Two workspaces, five principals, two servers of three tools each, and rules at random."""
    found = [
        rows.workspace(),
        rows.workspace("wsp_else", "else"),
        *(rows.group(ident) for ident in GROUPS),
        rows.group("grp_far", "wsp_else"),
        rows.joined("mem_1", "grp_far"),
    ]
    for ident in MEMBERS:
        role = draw(st.sampled_from(["member", "admin", "owner"]))
        found.append(rows.member(ident, role=role))
    for ident in AGENTS:
        found.append(rows.agent(ident, draw(st.sampled_from(MEMBERS))))
    for ident in MEMBERS + AGENTS:
        found.extend(rows.joined(ident, place) for place in draw(st.sets(st.sampled_from(GROUPS))))
    for ident, alias in SERVERS.items():
        tags = tuple(draw(st.sets(st.sampled_from(["prod", "two words"]))))
        found.append(rows.server(ident, alias, tags=tags))
        found.extend(draw(tools(ident, name)) for name in TOOLS)
    for number in range(draw(st.sampled_from([6, 4, 8, 2, 0]))):
        found.append(draw(grants(f"grn_{number}")))
    for number in range(draw(st.sampled_from([1, 2, 3, 0]))):
        found.append(draw(guardrails(f"grd_{number}")))
    return found
