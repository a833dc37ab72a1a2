"""What has to change so that a workspace is as its file says. Pure: rows in, changes out.

What the file does not name is left alone, unless it is pruned: then grants, places in the file's
groups and guardrails that it does not name end. People and servers never end by a file, who was
revoked never comes back by one, and what was disabled or suspended by hand stays so.
"""

from gatelodge.flows.admin.declared import tables
from gatelodge.flows.nouns.file_table import FilePlan, NounChange, WorkspaceFile, WorkspaceRows


def plan(
    wanted: WorkspaceFile, present: WorkspaceRows, *, prune: bool = False
) -> tuple[NounChange, ...]:
    """The changes in the order in which they can be made; none when all is as the file says.

    `wanted` is a file as `reading.parse` returns it, its names as they are kept.
    Raises Invalid with every name that is neither in the file nor in the workspace, and everyone
    in the file who was revoked.
    """
    return tuple(FilePlan(tables.TABLES, wanted, present, prune=prune).changes())
