"""Guardrails and grants in the file: what they may hold, and what makes them so."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from msgspec import Meta
from msgspec.structs import replace

from gatelodge.core.errors import Invalid
from gatelodge.core.ids import GuardrailId, Instant, WorkspaceId
from gatelodge.core.instant import parse_rfc3339
from gatelodge.core.policy.guardrails import validate
from gatelodge.core.policy.naming import bind
from gatelodge.core.policy.rules import Grant, Guardrail, Level
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.admin import grants, guardrails
from gatelodge.flows.admin.declared.spelling import GranteeReference, name, principal
from gatelodge.flows.nouns.file_table import (
    FileEntry,
    FileNames,
    FilePlan,
    FileTable,
    NounChange,
    WorkspaceRows,
    folded_reference,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class WantedGrant(FileEntry, frozen=True, kw_only=True):
    """Who may use which tools; an empty `tool` means each tool of the server."""

    to: GranteeReference
    server: str
    tool: str = ""
    level: Level = "use"
    expires: Annotated[datetime, Meta(tz=True)] | None = None
    ticket: str = ""

    @property
    def ends(self) -> Instant | None:
        """When it ends. Raises Invalid."""
        try:
            return None if self.expires is None else parse_rfc3339(self.expires.isoformat())
        except ValueError as fault:
            raise Invalid(f"grants: expires: {fault}", remedy="Name an earlier one.") from None

    @property
    def given(self) -> dict[str, Any]:
        """What the verb is given."""
        kind, _, called = self.to.partition(":")
        # A name that came to nothing must never become a grant to all.
        if kind != "everyone" and not called:
            raise Invalid(f"grants: to: {self.to!r} names nobody", remedy="Name who it is for.")
        to = {kind: called} if called else {"everyone": True}
        ends = {} if self.expires is None else {"until": self.expires.isoformat()}
        about = {"server": self.server, "tool": self.tool, "level": self.level}
        return {**to, **about, **ends, "ticket": self.ticket}

    def __str__(self) -> str:
        until = f" until {self.expires.isoformat()}" if self.expires else ""
        return f"{self.to} may {self.level} {self.server}/{self.tool or '*'}{until}"


class WantedGuardrail(FileEntry, frozen=True, kw_only=True):
    """A forbid in Cedar."""

    name: str
    text: str
    mode: Literal["enforce", "observe"] = "enforce"


class GuardrailTable(FileTable[WantedGuardrail]):
    """`[[guardrails]]`. Pruned are those of the workspace that the file does not name."""

    kind, entry, reads = "guardrail", WantedGuardrail, (Guardrail,)

    def key(self, entry: WantedGuardrail) -> str:
        """The name."""
        return entry.name

    def kept(self, entry: WantedGuardrail) -> WantedGuardrail:
        """With its name as it is kept."""
        return replace(entry, name=name("guardrails", entry.name))

    def exported(self, rows: WorkspaceRows, _names: FileNames) -> Iterator[WantedGuardrail]:
        """Each that stands, as it was written."""
        for row in rows.of(Guardrail):
            if row.mode != "retired":
                yield WantedGuardrail(name=row.name, text=row.written, mode=row.mode)

    def changes(self, plan: FilePlan) -> Iterator[NounChange]:
        """What is published, and what is retired when it is pruned."""
        standing = {row.name: row for row in plan.rows.of(Guardrail) if row.mode != "retired"}
        for each in self.entries_of(plan.file):
            # Its length first: the transaction in which it is read is everybody's.
            guardrails.check_length(each.text)
            row, bound = standing.pop(each.name, None), bind(each.text, plan.rows.bearers)
            # Of a name that is there no more the rule keeps the id: nothing else can be published.
            as_is = row is not None and (
                row.text == bound.text or (bool(bound.unmatched) and row.written == each.text)
            )
            if row is None or not as_is or row.mode != each.mode:
                line = f"+ guardrail {each.name} ({each.mode})"
                yield self.change("publish", line, name=each.name, text=each.text, mode=each.mode)
        for row in standing.values() if plan.prune else ():
            yield self.change("retire", f"- guardrail {row.name}", row.id)

    def make(self, act: GovernanceAct, workspace: WorkspaceId, change: NounChange) -> None:
        """Publish or retire one, as its own routes do. Raises what those raise."""
        if change.verb == "guardrail.publish":
            draft = guardrails.GuardrailDraft(**change.given)
            guardrails.publish(act, workspace, draft, validate)
        else:
            guardrails.retire(act, workspace, GuardrailId(change.name))


class GrantTable(FileTable[WantedGrant]):
    """`[[grants]]`. Pruned are those that the file does not name, of whom it could name."""

    noun, entry, reads = grants.grant, WantedGrant, (Grant,)

    def key(self, entry: WantedGrant) -> str:
        """To whom, on what, at which level."""
        return f"{folded_reference(entry.to)} on {entry.server}/{entry.tool} ({entry.level})"

    def kept(self, entry: WantedGrant) -> WantedGrant:
        """With the grantee's name as it is kept. Raises Invalid, also for no time there is."""
        # Asked for its fault alone, while all faults of the file are still being gathered.
        _ = entry.ends
        return replace(entry, to=principal("grants", entry.to))

    def named(self, entry: WantedGrant) -> Iterable[str]:
        """To whom, and on which server."""
        return entry.to, f"server {entry.server}"

    def exported(self, rows: WorkspaceRows, names: FileNames) -> Iterator[WantedGrant]:
        """The grants that hold now, of whom an export names."""
        for row in rows.of(Grant):
            if _is_live(row, rows.at) and (
                row.grantee_kind == "everyone" or names.exported(row.grantee)
            ):
                yield _wanted_grant(row, names)

    def changes(self, plan: FilePlan) -> Iterator[NounChange]:
        """What is granted; what is taken back, since it ends at another time or is pruned."""
        live = [row for row in plan.rows.of(Grant) if _is_live(row, plan.rows.at)]
        standing = {self.key(_wanted_grant(row, plan.names)): row for row in live}
        for each in self.entries_of(plan.file):
            ends = each.ends
            # A file outlives the grants in it: what is over must not make the whole file fail.
            if ends is not None and ends <= plan.rows.at:
                continue
            row = standing.pop(self.key(each), None)
            if row is not None and row.expires_at == ends:
                continue
            if row is not None:
                # No grant is changed in place: the log tells each as given once and ended once.
                yield self._revocation(row, plan.names)
            yield self.change("add", f"+ grant {each}", **each.given)
        for row in standing.values() if plan.prune else ():
            # Whom no export names cannot stand in the file: what is theirs is not pruned for that.
            if row.grantee_kind == "everyone" or plan.names.exported(row.grantee):
                yield self._revocation(row, plan.names)

    def _revocation(self, row: Grant, names: FileNames) -> NounChange:
        about = replace(_wanted_grant(row, names), expires=None)
        return self.change("revoke", f"- grant {about}", row.id)


def _is_live(row: Grant, at: Instant) -> bool:
    return row.expires_at is None or row.expires_at > at


def _wanted_grant(row: Grant, names: FileNames) -> WantedGrant:
    ends = row.expires_at
    return WantedGrant(
        to="everyone"
        if row.grantee_kind == "everyone"
        else names.by_id.get(row.grantee, row.grantee),
        server=names.by_id.get(row.server, row.server).removeprefix("server "),
        tool=row.tool,
        level=row.level,
        expires=None if ends is None else _EPOCH + timedelta(microseconds=ends),
        ticket=row.ticket,
    )
