"""The access matrix: each principal of a workspace with each tool, and the rule that says so.

Or with the prompts, or the resources, of each server.
"""

from collections.abc import Collection, Iterator
from typing import Literal

from msgspec import Struct

from gatelodge.core.access.explain import depends
from gatelodge.core.ids import Instant, PrincipalId, ServerId
from gatelodge.core.policy.decision import Decision
from gatelodge.core.view import PolicyView, decide
from gatelodge.core.view_entry import Entry, PrincipalEntry, ReadKind, ToolEntry, WorkspaceView

Kind = Literal["tools"] | ReadKind


class MatrixCell(Struct, frozen=True, kw_only=True, gc=False):
    """One principal and one tool: the decision at that moment, by the usual kind of credential.

    `conditional` says that time or circumstances alone can change it. `tool` is empty when the
    cell is about all prompts, or all resources, of the server.
    """

    principal: PrincipalId
    server: ServerId
    tool: str
    decision: Decision
    conditional: bool


def matrix(
    view: PolicyView,
    workspace: WorkspaceView,
    at: Instant,
    *,
    principals: Collection[PrincipalId] | None = None,
    servers: Collection[ServerId] | None = None,
    kind: Kind = "tools",
) -> Iterator[MatrixCell]:
    """The cells by principal id, then alias and position.

    Of these principals and servers only, where they are given. Lazily, since a large workspace
    has a million cells.
    """
    chosen = [
        view.principals[ident]
        for ident in sorted(view.principals)
        if view.principals[ident].workspace == workspace.id
        and (principals is None or ident in principals)
    ]
    columns = [
        found for found in workspace.servers.values() if servers is None or found.id in servers
    ]
    # The view stays the one that was given: a matrix of two states would be true of neither.
    for principal in chosen:
        for server in columns:
            if kind == "tools":
                for tool in server.tools.values():
                    yield _matrix_cell(view, principal, tool, at)
            else:
                yield _matrix_cell(view, principal, server.reading(kind), at)


def _matrix_cell(
    view: PolicyView, principal: PrincipalEntry, entry: Entry, at: Instant
) -> MatrixCell:
    return MatrixCell(
        principal=principal.id,
        server=entry.server,
        tool=entry.name if isinstance(entry, ToolEntry) else "",
        # The call path's own decision, and one moment for all cells: an expiry splits no matrix.
        decision=decide(view, principal, entry, at, principal.context),
        conditional=depends(view, principal, entry),
    )
