"""The access matrix: each principal of a workspace with each tool, and the rule that says so."""

from collections.abc import Collection, Iterator

from msgspec import Struct

from gatelodge.core.access.explain import depends
from gatelodge.core.ids import Instant, PrincipalId, ServerId
from gatelodge.core.policy.decision import Decision
from gatelodge.core.view import View, decide
from gatelodge.core.view_entry import PrincipalEntry, ServerView, WorkspaceView


class MatrixCell(Struct, frozen=True, kw_only=True, gc=False):
    """One principal and one tool: the decision at that moment, by the usual kind of credential.

    `conditional` says that time or circumstances alone can change it.
    """

    principal: PrincipalId
    server: ServerId
    tool: str
    decision: Decision
    conditional: bool


def matrix(
    view: View,
    workspace: WorkspaceView,
    at: Instant,
    *,
    principals: Collection[PrincipalId] | None = None,
    servers: Collection[ServerId] | None = None,
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
    for principal in chosen:
        for server in columns:
            yield from _row(view, principal, server, at)


def _row(
    view: View, principal: PrincipalEntry, server: ServerView, at: Instant
) -> Iterator[MatrixCell]:
    for tool in server.tools.values():
        yield MatrixCell(
            principal=principal.id,
            server=server.id,
            tool=tool.name,
            decision=decide(view, principal, tool, at, principal.context),
            conditional=depends(view, principal, tool),
        )
