"""Short ways to write rows of state, for tests of the view and the policy."""

import json

from gatelodge.core.catalog.pin import definition_digest
from gatelodge.core.catalog.server import HttpTransport, Server, Tool
from gatelodge.core.people import Agent, Credential, Group, GroupMember, Member, Workspace
from gatelodge.core.policy.rules import Grant, Guardrail
from gatelodge.core.state import GovernanceState
from gatelodge.core.view import compile_view, decide, visible

NOON = 1_795_348_800_000_000  # 2026-11-22T12:00:00Z
HOUR = 3_600_000_000
HOME = "wsp_home"


def workspace(ident=HOME, slug="home"):
    return Workspace(id=ident, slug=slug, name=slug.title(), created_at=NOON)


def member(ident="mem_ann", **more):
    given = {"workspace": HOME, "email": f"{ident}@example.com", "created_at": NOON} | more
    return Member(id=ident, **given)


def agent(ident="agt_bot", owner="mem_ann", **more):
    given = {"workspace": HOME, "name": ident, "owner": owner, "created_at": NOON} | more
    return Agent(id=ident, **given)


def group(ident="grp_eng", workspace=HOME):
    return Group(id=ident, workspace=workspace, name=ident, created_at=NOON)


def joined(principal, group="grp_eng", workspace=HOME):
    return GroupMember(workspace=workspace, group=group, principal=principal)


def credential(principal="mem_ann", ident="crd_1", **more):
    given = {
        "workspace": HOME,
        "kind": "agent" if principal.startswith("agt_") else "personal",
        "label": "laptop",
        "digest": f"digest-{ident}",
        "pepper": "p1",
        "last4": "abcd",
        "generation": 0,
        "created_at": NOON,
        "expires_at": NOON + 24 * HOUR,
    } | more
    return Credential(id=ident, principal=principal, **given)


def server(ident="srv_git", alias="git", **more):
    given = {
        "workspace": HOME,
        "transport": HttpTransport(url="http://127.0.0.1:1/mcp"),
        "status": "approved",
        "created_at": NOON,
    } | more
    return Server(id=ident, alias=alias, **given)


def tool(name="log", server="srv_git", **more):
    definition = json.dumps({"name": name, "inputSchema": {"type": "object"}})
    digest = definition_digest(definition)
    given = {
        "workspace": HOME,
        "definition": definition,
        "observed": digest,
        "approved": digest,
        "reviewed": True,
        "destructive": False,
    } | more
    return Tool(server=server, name=name, **given)


def grant(ident="grn_1", kind="everyone", grantee="", **more):
    given = {
        "workspace": HOME,
        "server": "srv_git",
        "created_by": "mem_ann",
        "created_at": NOON,
    } | more
    return Grant(id=ident, grantee_kind=kind, grantee=grantee, **given)


def guardrail(text, ident="grd_1", **more):
    given = {
        "workspace": "",
        "name": ident,
        "written": text,
        "digest": "",
        "created_by": "mem_ann",
        "created_at": NOON,
    } | more
    return Guardrail(id=ident, text=text, **given)


def state(*rows, gov=1):
    """A state of these rows, with the workspace `home` unless another is among them."""
    nouns = {
        Workspace: "workspaces", Member: "members", Agent: "agents", Group: "groups",
        GroupMember: "group_members", Credential: "credentials", Server: "servers",
        Tool: "tools", Grant: "grants", Guardrail: "guardrails",
    }  # fmt: skip
    found = {name: [] for name in nouns.values()}
    for row in rows:
        found[nouns[type(row)]].append(row)
    found["workspaces"] = found["workspaces"] or [workspace()]
    return GovernanceState(gov=gov, epoch="e1", **{name: tuple(its) for name, its in found.items()})


def view(*rows, previous=None, gov=1):
    return compile_view(state(*rows, gov=gov), previous)


def answer(made, principal="mem_ann", shown="git__log", at=NOON, slug="home"):
    """The decision for a call by shown name."""
    who = made.principals[principal]
    return decide(made, who, made.workspaces[slug].tools[shown], at, who.context)


def listed(made, principal="mem_ann", at=NOON, slug="home", server=None):
    """The shown names that the principal's list holds, in order."""
    who = made.principals[principal]
    return [entry.shown for entry in visible(made, who, made.workspaces[slug], at, server)]
