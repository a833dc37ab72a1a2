"""Servers: proposed, approved, disabled, removed. Nothing is reached or started before approval.

A server is proposed, edited, looked at and approved by routes and commands of their own: they hold
how it is reached, and what was shown of what it offers.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.catalog.server import (
    HttpTransport,
    Server,
    ServerTiming,
    StdioTransport,
    Tool,
    Transport,
)
from gatelodge.core.catalog.transport import check_transport
from gatelodge.core.errors import Conflict, Forbidden, Invalid
from gatelodge.core.ids import ServerId, WorkspaceId
from gatelodge.core.people import folded
from gatelodge.core.policy.rules import Grant
from gatelodge.core.protocol.shown.names import alias_for, is_alias
from gatelodge.core.vault.injections import exposure, injections
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.admin import guardrails
from gatelodge.flows.admin.definitions.proposals import (
    ServerProposal,
    allowed,
    description_digest,
    fingerprint,
    tags_of,
)
from gatelodge.flows.admin.definitions.standing import (
    for_tasks,
    instructions_standing,
    standing,
    unfit,
)
from gatelodge.flows.admin.definitions.stars import starred
from gatelodge.flows.identity.ending import EndedAccess
from gatelodge.flows.nouns import lookup
from gatelodge.flows.nouns.noun import Noun, ShowContext
from gatelodge.flows.nouns.shown import shown_as
from gatelodge.flows.trust.cards import approved_evidence
from gatelodge.flows.vault.usage import check_modes
from gatelodge.ports.store import StoreTx
from gatelodge.ports.upstream import ServerHealth

server = Noun(
    Server,
    plural="servers",
    find=lookup.server,
    called="ALIAS",
    about="The MCP servers behind the gate.",
    columns=(
        "alias",
        "status",
        "health",
        "isolation",
        "kind",
        "target",
        "tools",
        "changed",
        "new",
        "unfit",
        "instructions",
        "id",
    ),
    empty="No servers yet. Add one: gatelodge server add NAME --url URL, or -- CMD ARGS...",
)


class ServerShape(Struct, frozen=True, kw_only=True):
    """A server. `health` is how it is doing, `detail` why; `tools` counts its present ones.

    `digest` is that of its description, by which it is approved. `changed` counts the approved
    tools that are not as they were approved, `new` those that nobody approved, `unfit` the pinned
    ones that stand in no list of some clients, `for_tasks` those of its tools that the gate leaves
    out, since they can be called as tasks only; `instructions` is none, approved, changed or new.

    `secrets` names those that it is given (`NAME:HOW:SOURCE`), `exposure` says who else can read
    them.

    `said` are the last words of a stdio server that was not met, for whoever may register servers.
    """

    id: str
    alias: str
    status: str
    kind: str
    target: str
    transport: Transport
    era: str
    tags: tuple[str, ...]
    hidden_capabilities: tuple[str, ...]
    digest: str
    timing: ServerTiming
    tools: int
    changed: int
    new: int
    unfit: int
    for_tasks: int
    instructions: str
    health: str
    detail: str
    version: str
    isolation: str
    secrets: tuple[str, ...]
    exposure: tuple[str, ...]
    created_at: str
    said: tuple[str, ...] = ()


@server.shown
def shapes(tx: StoreTx, rows: Sequence[Server], context: ShowContext) -> list[ServerShape]:
    """Servers, each with its health and what is new in it."""
    return [shape_of(tx, row, context) for row in rows]


def shape_of(tx: StoreTx, row: Server, context: ShowContext) -> ServerShape:
    """A server with its health at this node, and how its present tools stand."""
    tools = tx.find(Tool, workspace=row.workspace, server=row.id, present=True)
    health = health_of(row, context)
    # Every role that reads sees this, also those that may not give a server a value.
    transport = starred(row.transport)
    if isinstance(transport, StdioTransport):
        kind, target = "stdio", " ".join(transport.command)
    elif isinstance(transport, HttpTransport):
        kind, target = "http", transport.url
    else:
        kind, target = "artifact", transport.source
    return shown_as(
        ServerShape,
        row,
        kind=kind,
        target=target,
        transport=transport,
        era=health.era or row.era,
        digest=description_digest(row),
        tools=len(tools),
        changed=sum(standing(each) == "changed" for each in tools),
        new=sum(standing(each) == "new" for each in tools),
        unfit=sum(each.pinned and bool(unfit(each)) for each in tools),
        for_tasks=sum(map(for_tasks, tools)),
        instructions=instructions_standing(row),
        health=health.state,
        detail=health.detail,
        version=health.version,
        isolation=health.isolation,
        secrets=injections(row.transport),
        exposure=exposure(row.transport),
        said=health.said,
    )


def health_of(row: Server, context: ShowContext) -> ServerHealth:
    """How a server is doing; its last words are for those who may register one."""
    found = context.health(row.id)
    return replace(
        found,
        isolation=found.isolation or row.transport.isolation,
        said=found.said if context.may("server.register") else (),
    )


def listed(tx: StoreTx, workspace: WorkspaceId) -> list[Server]:
    """All servers, oldest first."""
    return tx.find(Server, workspace=workspace)


def register(
    act: GovernanceAct, workspace: WorkspaceId, alias: str, proposal: ServerProposal
) -> Server:
    """Propose a server under an alias that it keeps for good.

    Raises Invalid (a word of the proposal), Conflict (the alias is taken).
    """
    if not is_alias(alias):
        raise Invalid(
            "a server's alias is a lower-case letter and up to 19 letters, digits and hyphens",
            remedy=f"It becomes the first part of each tool's name. Take {alias_for(alias)}.",
        )
    if act.tx.find(Server, workspace=workspace, alias=alias):
        raise Conflict(
            f"there is a server {alias!r} already",
            remedy=f"Choose another alias, or change that one: gatelodge server edit {alias}",
        )
    # Before `allowed`, which reads references: what only looks like one has to be refused first.
    check_transport(proposal.transport)
    check_modes(act.tx, workspace, proposal.transport)
    server = Server(
        id=ServerId(act.ids.new("srv")),
        workspace=workspace,
        alias=alias,
        transport=allowed(act, workspace, proposal.transport),
        era=proposal.era,
        tags=tags_of(proposal.tags),
        hidden_capabilities=tuple(sorted(set(proposal.hidden_capabilities))),
        timing=proposal.timing,
        created_at=act.at,
    )
    made = _store_proposed_server(act, server)
    if made.timing != ServerTiming():
        _record_time_limits(act, made)
    return made


def revise(
    act: GovernanceAct, workspace: WorkspaceId, server: ServerId, proposal: ServerProposal
) -> Server:
    """Change how a server is reached; it has to be approved again before anything is reached.

    How long it may take is changed at once. Its tools and grants stay. Raises NotFound, Invalid,
    Forbidden.
    """
    row = act.the(Server, workspace=workspace, id=server)
    transport = proposal.transport
    check_transport(transport)
    check_modes(act.tx, workspace, transport)
    # An admin may change the tags of what the operator described: another way to it is judged
    # by what an admin may say, the old one is not.
    if transport != row.transport:
        allowed(act, workspace, transport)
    changed = replace(
        row,
        transport=transport,
        era=proposal.era,
        tags=tags_of(proposal.tags),
        hidden_capabilities=tuple(sorted(set(proposal.hidden_capabilities))),
        timing=proposal.timing,
    )
    if changed == row:
        return row
    if changed.timing != row.timing:
        _record_time_limits(act, changed)
    if replace(changed, timing=row.timing) == row:  # it is reached as it was approved
        act.tx.put(changed)
        return changed
    # No digest covers values that may be secret: by its revision alone a description in which one
    # changed differs from the one that an admin was shown.
    changed = replace(changed, revision=row.revision + 1)
    if row.status == "approved":
        act.record("server.disabled", workspace, server=server)  # what runs is cut at once
    return _store_proposed_server(act, replace(changed, status="proposed"))


def approve(act: GovernanceAct, workspace: WorkspaceId, server: ServerId) -> Server:
    """Let the gate reach (or start) the server as it stands now. Raises NotFound."""
    row = act.the(Server, workspace=workspace, id=server)
    if row.status == "approved":
        return row
    changed = replace(row, status="approved")
    act.tx.put(changed)
    act.record(
        "server.approved",
        workspace,
        server=server,
        transport_sha256=fingerprint(row.transport),
        **approved_evidence(act.tx, row),
    )
    return changed


def look_at(act: GovernanceAct, workspace: WorkspaceId, server: ServerId) -> Server:
    """Let the gate reach a server for one look; a process that this starts stands in the log first.

    Starting what nobody approved takes an owner. Raises NotFound, Forbidden.
    """
    row = act.the(Server, workspace=workspace, id=server)
    if row.status == "approved" or isinstance(row.transport, HttpTransport):
        return row
    if act.role(workspace) != "owner":
        raise Forbidden(
            f"{row.alias} is not approved, and to look at it starts its command",
            remedy="An owner, or the operator on the gate's own machine, looks at it first.",
        )
    act.record(
        # The leaf is there before the process: a crash in between leaves one too many, not too few.
        "server.process_started",
        workspace,
        server=server,
        purpose="look",
        transport_sha256=fingerprint(row.transport),
    )
    return row


@server.verb(
    "{alias} is {status}.",
    act="server.approve",
    asks="Let {name} serve again, with the pins it had?",
    look="gatelodge server show {name}",
)
def enable(act: GovernanceAct, server: Server) -> Server:
    """Let a disabled server serve again, with the pins it had.

    Raises Conflict (nobody approved it yet).
    """
    if server.status == "proposed":
        raise Conflict(
            f"{server.alias} waits for its approval",
            remedy=f"See its tools, then: gatelodge server approve {server.alias}",
        )
    return approve(act, server.workspace, server.id)


@server.verb(ends="server", foreseen=True)
def disable(act: GovernanceAct, server: Server) -> EndedAccess:
    """Stop a server at once, running calls included; `server enable` brings it back.

    Its tools and grants stay. One that is disabled already stays so, without a second leaf.

    Raises Conflict (nobody approved it yet).
    """
    if server.status == "proposed":
        # Else `enable` would approve it, though no admin was shown what they have to see first.
        raise Conflict(
            f"{server.alias} waits for its approval: no call reaches it",
            remedy=f"Leave it so, or: gatelodge server remove {server.alias}",
        )
    if server.status != "disabled":
        act.tx.put(replace(server, status="disabled"))
        act.record("server.disabled", server.workspace, server=server.id)
    return EndedAccess()


@server.verb(
    ends="server",
    asks="Remove {name}, its pins and its grants?",
    look="gatelodge server remove {name} --dry-run",
)
def remove(act: GovernanceAct, server: Server) -> EndedAccess:
    """Remove a server with its pins and grants, cutting what runs."""
    workspace = server.workspace
    grants = act.tx.find(Grant, workspace=workspace, server=server.id)
    for grant in grants:
        act.tx.remove(grant)
        act.record("grant.revoked", workspace, grant=grant.id)
    # The pins go with their server: one that takes the alias later has to be approved anew.
    for tool in act.tx.find(Tool, workspace=workspace, server=server.id):
        act.tx.remove(tool)
    act.tx.remove(server)
    act.record("server.removed", workspace, server=server.id)
    return EndedAccess(grants=tuple(grant.id for grant in grants))


def _record_time_limits(act: GovernanceAct, server: Server) -> None:
    timing = server.timing
    act.record(
        "server.time_limits_changed",
        server.workspace,
        server=server.id,
        call_ms=round(timing.call_seconds * 1000),
        longest_ms=round(timing.longest_seconds * 1000),
        start_ms=round(timing.start_seconds * 1000),
    )


def _scripts_that_ran(server: Server) -> dict[str, list[str]]:
    """Names of packages, on record where they are an exception: most servers have none."""
    ran = getattr(server.transport, "run_scripts", ())
    return {"run_scripts": list(ran)} if ran else {}


def _spelled_as_others(act: GovernanceAct, server: Server) -> None:
    """Raise Invalid for a tag that another server has in another spelling.

    A guardrail names one of them, and would silently not hold for the other.
    """
    others = act.tx.find(Server, workspace=server.workspace)
    known = {folded(tag): tag for row in others if row.id != server.id for tag in row.tags}
    for tag in server.tags:
        other = known.setdefault(folded(tag), tag)
        if other != tag:
            raise Invalid(f"the tag {tag!r} is spelled {other!r} already", remedy="Take that one.")


def _store_proposed_server(act: GovernanceAct, server: Server) -> Server:
    _spelled_as_others(act, server)
    act.tx.put(server)
    act.record(
        "server.registered",
        server.workspace,
        server=server.id,
        alias=server.alias,
        tags=list(server.tags),
        transport_sha256=fingerprint(server.transport),
        hidden_capabilities=list(server.hidden_capabilities),
        **_scripts_that_ran(server),
    )
    # A guardrail that speaks of the alias has to hold before anybody can approve the server.
    guardrails.rebind(act, server.workspace, server.alias)
    return server
