"""A workspace as the outside sees it, and the reason that changes are given."""

from msgspec import Struct

from gatelodge.core.instant import rfc3339
from gatelodge.core.people import Workspace


class ActReason(Struct, frozen=True, forbid_unknown_fields=True):
    """A ticket or a reason code; it stands in the log for good."""

    why: str = ""


class WorkspaceShape(Struct, frozen=True, kw_only=True):
    """A workspace; `path` is where clients find its endpoint."""

    id: str
    slug: str
    name: str
    path: str
    created_at: str


def workspace_shape(row: Workspace) -> WorkspaceShape:
    """The outer shape of a workspace."""
    return WorkspaceShape(
        id=row.id,
        slug=row.slug,
        name=row.name,
        path=f"/k/{row.slug}/mcp",
        created_at=rfc3339(row.created_at),
    )
