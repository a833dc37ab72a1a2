"""Servers: proposed, approved, disabled, removed. Nothing is reached or started before approval."""

from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.catalog.server import (
    Server,
    StdioTransport,
    Timing,
    Tool,
)
from gatelodge.core.errors import Conflict, Forbidden, Invalid
from gatelodge.core.ids import GrantId, ServerId, WorkspaceId
from gatelodge.core.people import folded
from gatelodge.core.policy.rules import Grant
from gatelodge.core.protocol.shown.names import alias_for, is_alias
from gatelodge.flows.act import Act
from gatelodge.flows.admin import guardrails
from gatelodge.flows.admin.definitions.proposals import (
    Proposal,
    allowed,
    checked,
    fingerprint,
    tags_of,
)
from gatelodge.ports.store import Tx


class Removed(Struct, frozen=True):
    """A server that is no more, and the grants that went with it."""

    server: Server
    grants: tuple[GrantId, ...]


def listed(tx: Tx, workspace: WorkspaceId) -> list[Server]:
    """All servers, oldest first."""
    return tx.find(Server, workspace=workspace)


def register(act: Act, workspace: WorkspaceId, alias: str, proposal: Proposal) -> Server:
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
    server = Server(
        id=ServerId(act.ids.new("srv")),
        workspace=workspace,
        alias=alias,
        transport=allowed(act, workspace, checked(proposal.transport)),
        era=proposal.era,
        tags=tags_of(proposal.tags),
        withheld=tuple(sorted(set(proposal.withheld))),
        timing=proposal.timing,
        created_at=act.at,
    )
    made = _proposed(act, server)
    if made.timing != Timing():
        _timed(act, made)
    return made


def revise(act: Act, workspace: WorkspaceId, server: ServerId, proposal: Proposal) -> Server:
    """Change how a server is reached; it has to be approved again before anything is reached.

    How long it may take is changed at once. Its tools and grants stay. Raises NotFound, Invalid,
    Forbidden.
    """
    row = act.the(Server, workspace=workspace, id=server)
    transport = checked(proposal.transport)
    if transport != row.transport:
        allowed(act, workspace, transport)
    changed = replace(
        row,
        transport=transport,
        era=proposal.era,
        tags=tags_of(proposal.tags),
        withheld=tuple(sorted(set(proposal.withheld))),
        timing=proposal.timing,
    )
    if changed == row:
        return row
    if changed.timing != row.timing:
        _timed(act, changed)
    if replace(changed, timing=row.timing) == row:  # it is reached as it was approved
        act.tx.put(changed)
        return changed
    changed = replace(changed, revision=row.revision + 1)
    if row.status == "approved":
        act.record("server.disabled", workspace, server=server)  # what runs is cut at once
    return _proposed(act, replace(changed, status="proposed"))


def approve(act: Act, workspace: WorkspaceId, server: ServerId) -> Server:
    """Let the gate reach (or start) the server as it stands now. Raises NotFound."""
    row = act.the(Server, workspace=workspace, id=server)
    if row.status == "approved":
        return row
    changed = replace(row, status="approved")
    act.tx.put(changed)
    act.record(
        "server.approved", workspace, server=server, transport_sha256=fingerprint(row.transport)
    )
    return changed


def look_at(act: Act, workspace: WorkspaceId, server: ServerId) -> Server:
    """Let the gate reach a server for one look; a process that this starts stands in the log first.

    Starting what nobody approved takes an owner. Raises NotFound, Forbidden.
    """
    row = act.the(Server, workspace=workspace, id=server)
    if row.status == "approved" or not isinstance(row.transport, StdioTransport):
        return row
    if act.role(workspace) != "owner":
        raise Forbidden(
            f"{row.alias} is not approved, and to look at it starts its command",
            remedy="An owner, or the operator on the gate's own machine, looks at it first.",
        )
    act.record(
        "server.started",
        workspace,
        server=server,
        purpose="look",
        transport_sha256=fingerprint(row.transport),
    )
    return row


def disable(act: Act, workspace: WorkspaceId, server: ServerId) -> Server:
    """Stop the server; its tools and grants stay for a later approval. Raises NotFound."""
    row = act.the(Server, workspace=workspace, id=server)
    if row.status == "disabled":
        return row
    changed = replace(row, status="disabled")
    act.tx.put(changed)
    act.record("server.disabled", workspace, server=server)
    return changed


def remove(act: Act, workspace: WorkspaceId, server: ServerId) -> Removed:
    """Remove a server with its tools and the grants on it. Raises NotFound."""
    row = act.the(Server, workspace=workspace, id=server)
    grants = act.tx.find(Grant, workspace=workspace, server=server)
    for grant in grants:
        act.tx.remove(grant)
        act.record("grant.revoked", workspace, grant=grant.id)
    for tool in act.tx.find(Tool, workspace=workspace, server=server):
        act.tx.remove(tool)
    act.tx.remove(row)
    act.record("server.removed", workspace, server=server)
    return Removed(row, tuple(grant.id for grant in grants))


def _timed(act: Act, server: Server) -> None:
    timing = server.timing
    act.record(
        "server.timed",
        server.workspace,
        server=server.id,
        call_ms=round(timing.call_seconds * 1000),
        longest_ms=round(timing.longest_seconds * 1000),
        start_ms=round(timing.start_seconds * 1000),
    )


def _spelled_as_others(act: Act, server: Server) -> None:
    """Raise Invalid for a tag that another server has in another spelling.

    A guardrail names one of them, and would silently not hold for the other.
    """
    others = act.tx.find(Server, workspace=server.workspace)
    known = {folded(tag): tag for row in others if row.id != server.id for tag in row.tags}
    for tag in server.tags:
        other = known.setdefault(folded(tag), tag)
        if other != tag:
            raise Invalid(f"the tag {tag!r} is spelled {other!r} already", remedy="Take that one.")


def _proposed(act: Act, server: Server) -> Server:
    _spelled_as_others(act, server)
    act.tx.put(server)
    act.record(
        "server.registered",
        server.workspace,
        server=server.id,
        alias=server.alias,
        tags=list(server.tags),
        transport_sha256=fingerprint(server.transport),
        withheld=list(server.withheld),
    )
    guardrails.rebind(act, server.workspace, server.alias)
    return server
