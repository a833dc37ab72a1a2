"""The rows of governance state, and what each type of leaf of the gov log changes in them."""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.catalog.server import HttpTransport, Server, Tool
from gatelodge.core.errors import Invalid
from gatelodge.core.ids import (
    AgentId,
    GrantId,
    GroupId,
    GuardrailId,
    Instant,
    MemberId,
    PrincipalId,
    ServerId,
    WorkspaceId,
)
from gatelodge.core.instant import parse_rfc3339
from gatelodge.core.people import Agent, Group, GroupMember, Member, Workspace
from gatelodge.core.policy.rules import Grant, Guardrail

_UNKNOWN: Final = HttpTransport(url="http://unknown.invalid/")
"""How a server is reached stands in no leaf but as a digest."""


class GovLeaf(Struct, frozen=True):
    """One leaf of the gov log, read. `at` is when its node wrote it, in RFC 3339."""

    t: str
    at: str
    by: str
    subject: dict[str, Any]
    workspace: str = ""
    why: str = ""

    @property
    def home(self) -> WorkspaceId:
        """The workspace that it is about."""
        return WorkspaceId(self.workspace)

    @property
    def server(self) -> ServerId:
        """The server that it is about."""
        return ServerId(self.subject["server"])


_decode = msgspec.json.Decoder(GovLeaf).decode


def read_gov_leaf(body: bytes) -> GovLeaf:
    """The leaf in these bytes. Raises Invalid."""
    try:
        leaf = _decode(body)
        parse_rfc3339(leaf.at)
        return leaf
    except (msgspec.MsgspecError, ValueError) as fault:
        raise Invalid(f"a leaf of the gov log cannot be read: {fault}") from fault


class FoldedRows:
    """The rows of each noun by id, as the leaves so far have them, and the time of the latest.

    `tools` are by server and name; `uses` say of a definition's digest, by server, which use it is
    of, where that digest is another one (decision 0018).
    """

    def __init__(self) -> None:
        self.at = Instant(0)
        self.workspaces: dict[str, Workspace] = {}
        self.members: dict[str, Member] = {}
        self.agents: dict[str, Agent] = {}
        self.groups: dict[str, Group] = {}
        self.places: dict[tuple[str, str], GroupMember] = {}
        self.servers: dict[str, Server] = {}
        self.tools: dict[str, dict[str, Tool]] = {}
        self.uses: dict[str, dict[str, str]] = {}
        self.grants: dict[str, Grant] = {}
        self.guardrails: dict[str, Guardrail] = {}

    def copy(self) -> "FoldedRows":
        """The same rows, which stay as they are when these change; rows themselves are shared."""
        made = FoldedRows()
        made.at = self.at
        made.workspaces, made.members = dict(self.workspaces), dict(self.members)
        made.agents, made.groups = dict(self.agents), dict(self.groups)
        made.places, made.servers = dict(self.places), dict(self.servers)
        made.tools = {server: dict(its) for server, its in self.tools.items()}
        made.uses = {server: dict(its) for server, its in self.uses.items()}
        made.grants, made.guardrails = dict(self.grants), dict(self.guardrails)
        return made

    def count(self) -> int:
        """How many rows there are."""
        people = len(self.members) + len(self.agents) + len(self.groups) + len(self.places)
        tools = sum(map(len, self.tools.values())) + sum(map(len, self.uses.values()))
        return people + tools + len(self.servers) + len(self.grants) + len(self.guardrails)


def _workspace_created(rows: FoldedRows, leaf: GovLeaf) -> None:
    slug = leaf.subject["slug"]
    rows.workspaces[leaf.home] = Workspace(id=leaf.home, slug=slug, name=slug, created_at=rows.at)


def _member_added(rows: FoldedRows, leaf: GovLeaf) -> None:
    ident = MemberId(leaf.subject["member"])
    rows.members[ident] = Member(
        id=ident,
        workspace=leaf.home,
        email=ident,
        role=leaf.subject["role"],
        created_at=rows.at,
    )


def _member_changed(rows: FoldedRows, leaf: GovLeaf) -> None:
    was = rows.members[leaf.subject["member"]]
    if leaf.t == "member.role_changed":
        rows.members[was.id] = replace(was, role=leaf.subject["role"])
    else:
        rows.members[was.id] = replace(was, **_standing_after(leaf))


def _agent_added(rows: FoldedRows, leaf: GovLeaf) -> None:
    ident = AgentId(leaf.subject["agent"])
    rows.agents[ident] = Agent(
        id=ident,
        workspace=leaf.home,
        name=ident,
        owner=MemberId(leaf.subject["owner"]),
        created_at=rows.at,
    )


def _agent_changed(rows: FoldedRows, leaf: GovLeaf) -> None:
    was = rows.agents[leaf.subject["agent"]]
    if leaf.t == "agent.owner_changed":
        rows.agents[was.id] = replace(was, owner=MemberId(leaf.subject["owner"]))
    else:
        rows.agents[was.id] = replace(was, **_standing_after(leaf))


def _standing_after(leaf: GovLeaf) -> dict[str, Any]:
    """What a suspension, its end or a revocation changes of whom it is about."""
    if leaf.t.endswith(".revoked"):
        return {"status": "revoked", "generation": leaf.subject["generation"]}
    return {"status": _STATUS[leaf.t.partition(".")[2]]}


def _group_created(rows: FoldedRows, leaf: GovLeaf) -> None:
    ident = GroupId(leaf.subject["group"])
    rows.groups[ident] = Group(id=ident, workspace=leaf.home, name=ident, created_at=rows.at)


def _group_removed(rows: FoldedRows, leaf: GovLeaf) -> None:
    del rows.groups[leaf.subject["group"]]


def _place_taken(rows: FoldedRows, leaf: GovLeaf) -> None:
    group, principal = GroupId(leaf.subject["group"]), PrincipalId(leaf.subject["principal"])
    place = GroupMember(workspace=leaf.home, group=group, principal=principal)
    rows.places[group, principal] = place


def _place_left(rows: FoldedRows, leaf: GovLeaf) -> None:
    rows.places.pop((leaf.subject["group"], leaf.subject["principal"]), None)


def _server_registered(rows: FoldedRows, leaf: GovLeaf) -> None:
    was = rows.servers.get(leaf.server)
    rows.servers[leaf.server] = Server(
        id=leaf.server,
        workspace=leaf.home,
        alias=leaf.subject["alias"],
        transport=_UNKNOWN,
        tags=tuple(leaf.subject["tags"]),
        created_at=rows.at if was is None else was.created_at,
    )


def _server_approved(rows: FoldedRows, leaf: GovLeaf) -> None:
    rows.servers[leaf.server] = replace(rows.servers[leaf.server], status="approved")


def _server_disabled(rows: FoldedRows, leaf: GovLeaf) -> None:
    rows.servers[leaf.server] = replace(rows.servers[leaf.server], status="disabled")


def _server_removed(rows: FoldedRows, leaf: GovLeaf) -> None:
    del rows.servers[leaf.server]
    rows.tools.pop(leaf.server, None)
    rows.uses.pop(leaf.server, None)


def _catalog_observed(rows: FoldedRows, leaf: GovLeaf) -> None:
    its = rows.tools.setdefault(leaf.server, {})
    uses = rows.uses.setdefault(leaf.server, {})
    told = leaf.subject.get("uses", {})
    for name, digest in leaf.subject["tools"].items():
        uses[digest] = told.get(name, digest)
        was = its.get(name) or _new_tool(leaf, name, len(its))
        its[name] = replace(was, observed=digest, observed_use=uses[digest], present=True)
    for name in leaf.subject["gone"]:
        if name in its:
            its[name] = replace(its[name], present=False)


def _tool_judged(rows: FoldedRows, leaf: GovLeaf) -> None:
    its = rows.tools.setdefault(leaf.server, {})
    name = leaf.subject["tool"]
    was = its.get(name) or _new_tool(leaf, name, len(its))
    digest = leaf.subject.get("def_sha256", "")
    use = rows.uses.get(leaf.server, {}).get(digest, digest)
    match leaf.t:
        case "tool.approved" | "tool.repinned":
            was = replace(was, approved=digest, approved_use=use, blocked=was.blocked)
        case "tool.blocked" | "tool.unblocked":
            was = replace(was, blocked=leaf.t == "tool.blocked")
        case _:
            was = replace(
                was,
                reviewed=True,
                reviewed_use=use,
                read_only=leaf.subject["read_only"],
                destructive=leaf.subject["destructive"],
                open_world=leaf.subject["open_world"],
            )
    its[name] = was


def _grant_created(rows: FoldedRows, leaf: GovLeaf) -> None:
    told = leaf.subject
    ident, expires = GrantId(told["grant"]), told["expires_at"]
    rows.grants[ident] = Grant(
        id=ident,
        workspace=leaf.home,
        grantee_kind=told["grantee_kind"],
        grantee=told["grantee"],
        server=leaf.server,
        tool=told["tool"],
        level=told["level"],
        expires_at=None if expires is None else parse_rfc3339(expires),
        ticket=told["ticket"],
        created_by=leaf.by,
        created_at=parse_rfc3339(leaf.at),
    )


def _grant_revoked(rows: FoldedRows, leaf: GovLeaf) -> None:
    rows.grants.pop(leaf.subject["grant"], None)


def _guardrail_published(rows: FoldedRows, leaf: GovLeaf) -> None:
    told = leaf.subject
    ident = GuardrailId(told["guardrail"])
    was = rows.guardrails.get(ident)
    rows.guardrails[ident] = Guardrail(
        id=ident,
        workspace=leaf.home,
        name=ident,
        text=told["text"],
        written=told["text"],
        digest=told["digest"],
        mode=told["mode"],
        created_by=leaf.by,
        created_at=parse_rfc3339(leaf.at) if was is None else was.created_at,
    )


def _guardrail_retired(rows: FoldedRows, leaf: GovLeaf) -> None:
    was = rows.guardrails[leaf.subject["guardrail"]]
    rows.guardrails[was.id] = replace(was, mode="retired")


def _new_tool(leaf: GovLeaf, name: str, position: int) -> Tool:
    definition = msgspec.json.encode({"name": name, "inputSchema": {"type": "object"}}).decode()
    return Tool(
        workspace=leaf.home,
        server=leaf.server,
        name=name,
        definition=definition,
        observed="",
        position=position,
        present=False,
    )


_STATUS: Final = {"suspended": "suspended", "resumed": "active"}

CHANGES: Final[dict[str, Callable[[FoldedRows, GovLeaf], None]]] = {
    "workspace.created": _workspace_created,
    "member.added": _member_added,
    "member.role_changed": _member_changed,
    "member.suspended": _member_changed,
    "member.resumed": _member_changed,
    "member.revoked": _member_changed,
    "agent.added": _agent_added,
    "agent.suspended": _agent_changed,
    "agent.resumed": _agent_changed,
    "agent.revoked": _agent_changed,
    "agent.owner_changed": _agent_changed,
    "group.created": _group_created,
    "group.removed": _group_removed,
    "group.member_added": _place_taken,
    "group.member_removed": _place_left,
    "server.registered": _server_registered,
    "server.approved": _server_approved,
    "server.disabled": _server_disabled,
    "server.removed": _server_removed,
    "catalog.observed": _catalog_observed,
    "tool.approved": _tool_judged,
    "tool.repinned": _tool_judged,
    "tool.blocked": _tool_judged,
    "tool.unblocked": _tool_judged,
    "tool.reviewed": _tool_judged,
    "grant.created": _grant_created,
    "grant.revoked": _grant_revoked,
    "guardrail.published": _guardrail_published,
    "guardrail.retired": _guardrail_retired,
}
"""What a leaf of each type changes; each raises KeyError or TypeError for a leaf of nothing."""
