"""Servers in the file: how they are reached, and what makes them so. None ends by a file."""

from collections.abc import Iterator

from msgspec.structs import replace

from gatelodge.core.catalog.server import Server
from gatelodge.core.catalog.transport import PARTS, check_parts, check_transport
from gatelodge.core.errors import Invalid
from gatelodge.core.ids import WorkspaceId
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.admin import servers
from gatelodge.flows.admin.definitions.proposals import ServerProposal, ServerWords, tags_of
from gatelodge.flows.admin.definitions.stars import starred, unstarred
from gatelodge.flows.nouns.file_table import (
    FileNames,
    FilePlan,
    FileTable,
    NounChange,
    WorkspaceRows,
)


class WantedServer(ServerWords, frozen=True, kw_only=True):
    """A server by `command` or by `url`. `approved` approves it when it is new or has changed.

    A value `***`, as `export` writes what may be secret, stands for what is there already, as long
    as nothing else is changed in how the server is reached.
    """

    approved: bool = False


class ServerTable(FileTable[WantedServer]):
    """`[[servers]]`. One that was disabled by hand stays so."""

    noun, entry, reads = servers.server, WantedServer, (Server,)

    def key(self, entry: WantedServer) -> str:
        """The alias."""
        return entry.alias

    def kept(self, entry: WantedServer) -> WantedServer:
        """With its tags as they are kept. Raises Invalid for one that says no one way to it."""
        blank = WantedServer(alias=entry.alias)
        try:
            tags = tags_of(entry.tags)
        except Invalid as fault:
            raise Invalid(f"servers: tags: {fault.detail}") from None
        try:
            # A value that is as ever counts as not given: an export leaves it out.
            check_parts({part for part in PARTS if getattr(entry, part) != getattr(blank, part)})
            check_transport(entry.proposal.transport)
        except Invalid as fault:
            why = f"{fault.detail}. {fault.remedy}".rstrip(". ")
            raise Invalid(f"servers: {entry.alias}: {why}") from None
        return replace(entry, tags=tags)

    def reference(self, entry: WantedServer) -> str:
        """`server ALIAS`."""
        return f"server {entry.alias}"

    def names(self, rows: WorkspaceRows) -> dict[str, str]:
        """Each of them."""
        return {row.id: f"server {row.alias}" for row in rows.of(Server)}

    def exported(self, rows: WorkspaceRows, _names: FileNames) -> Iterator[WantedServer]:
        """Each of them, with stars for what may be secret."""
        for row in rows.of(Server):
            words = WantedServer.of(row, starred(row.transport))
            yield replace(words, approved=row.status == "approved")

    def changes(self, plan: FilePlan) -> Iterator[NounChange]:
        """What is added, reached otherwise, and approved."""
        known = {row.alias: row for row in plan.rows.of(Server)}
        for each in self.entries_of(plan.file):
            alias, row = each.alias, known.get(each.alias)
            proposal = unstarred(each.proposal, alias, row)
            differing = {
                name
                for name in ServerProposal.__struct_fields__
                if row is not None and getattr(row, name) != getattr(proposal, name)
            }
            # Times take no new approval, as in `servers.revise`.
            changed = bool(differing - {"timing"})
            # The edit would make it a proposal, and the file approve that: what an admin stopped
            # would run again without anybody having said so.
            if row is not None and row.status == "disabled" and changed and each.approved:
                raise Invalid(
                    f"server {alias} was disabled by hand, and the file would have it otherwise",
                    remedy=f"Approve it by hand (gatelodge server approve {alias}), or leave "
                    "`approved` out of the file.",
                )
            if row is None:
                yield self.change("add", f"+ server {alias}", alias, proposal=proposal)
            elif differing:
                line = f"~ server {alias} may take another time"
                if changed:
                    line = (
                        f"~ server {alias} is reached in another way, so it waits for approval "
                        "again"
                    )
                yield self.change("edit", line, alias, proposal=proposal)
            if each.approved and (row is None or changed or row.status == "proposed"):
                yield self.change("approve", f"~ server {alias} is approved", alias)

    def make(self, act: GovernanceAct, workspace: WorkspaceId, change: NounChange) -> None:
        """Add, edit or approve one, as its own routes do. Raises what those raise."""
        if change.verb == "server.add":
            servers.register(act, workspace, change.name, change.given["proposal"])
            return
        # Looked up now: an earlier change of this plan may have brought the server.
        ident = act.the(Server, workspace=workspace, alias=change.name).id
        if change.verb == "server.edit":
            servers.revise(act, workspace, ident, change.given["proposal"])
        else:
            servers.approve(act, workspace, ident)

    def redacted(self, change: NounChange) -> NounChange:
        """With stars for what may be secret: what those of its file stand for stays stars."""
        proposal = change.given.get("proposal")
        if proposal is None:
            return change
        seen = replace(proposal, transport=starred(proposal.transport))
        return replace(change, given={"proposal": seen})
