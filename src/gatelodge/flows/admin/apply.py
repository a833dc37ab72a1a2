"""Makes a workspace as its file says, in one transaction; a second time nothing is left to do.

What the file does not name is left alone, unless it is pruned: then grants, places in the file's
groups and guardrails that it does not name end. People and servers never end by a file, who was
revoked never comes back by one, and what was disabled or suspended by hand stays so.
"""

from gatelodge.core.errors import Conflict, Invalid
from gatelodge.core.ids import Instant, WorkspaceId
from gatelodge.core.people import Workspace
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.admin.bearers import bearers
from gatelodge.flows.admin.declared import tables
from gatelodge.flows.nouns.file_table import FilePlan, NounChange, WorkspaceFile, WorkspaceRows
from gatelodge.ports.store import StoreTx

MOST_CHANGES = 500
"""Changes of one transaction: about two seconds in which nobody else changes anything."""


def present(tx: StoreTx, workspace: WorkspaceId, at: Instant) -> WorkspaceRows:
    """The rows that a plan is made against."""
    kinds = {kind for table in tables.TABLES for kind in table.reads}
    rows = {kind: tuple(tx.find(kind, workspace=workspace)) for kind in kinds}
    return WorkspaceRows(at=at, rows=rows, bearers=bearers(tx, workspace))


def planned(
    tx: StoreTx, workspace: WorkspaceId, wanted: WorkspaceFile, at: Instant, *, prune: bool = False
) -> tuple[NounChange, ...]:
    """The dry run: what `apply` would do now.

    `wanted` is a file as `reading.parse` returns it, its names as they are kept. Raises Conflict
    when it was written for another workspace, Invalid with every name that is neither in it nor in
    the workspace, and everyone in it who was revoked.
    """
    # Two workspaces may use the same names: a file that is meant for one would change the other.
    if not tx.find(Workspace, id=workspace, slug=wanted.workspace):
        raise Conflict(
            f"this file is for the workspace {wanted.workspace!r}",
            remedy="Choose that workspace, or mend the file's first line.",
        )
    plan = FilePlan(tables.TABLES, wanted, present(tx, workspace, at), prune=prune)
    return tuple(plan.changes())


def apply(
    act: GovernanceAct, workspace: WorkspaceId, wanted: WorkspaceFile, *, prune: bool = False
) -> tuple[NounChange, ...]:
    """Make every change of the plan, or none; returns what was done.

    Raises what the changes raise (Invalid, Conflict, NotFound, Forbidden), then nothing is kept.
    """
    changes = planned(act.tx, workspace, wanted, act.at, prune=prune)
    # Judged before the first change: given up half way, the others would have waited for nothing.
    if len(changes) > MOST_CHANGES:
        raise Invalid(
            f"the file makes {len(changes)} changes; at most {MOST_CHANGES} are made at once, "
            "because whoever ends access waits meanwhile",
            remedy="Bring it in part by part: leave some of its new tables out at first.",
        )
    # The plan was made in this transaction, so no other change comes between it and its doing.
    kinds = {table.kind: table for table in tables.TABLES}
    for change in changes:
        kinds[change.verb.partition(".")[0]].make(act, workspace, change)
    return changes


def redacted(changes: tuple[NounChange, ...]) -> tuple[NounChange, ...]:
    """The changes as the outside sees them, without what may be secret."""
    kinds = {table.kind: table for table in tables.TABLES}
    # The plan holds the secrets that stood behind the stars of the file; the answer must not.
    return tuple(kinds[each.verb.partition(".")[0]].redacted(each) for each in changes)
