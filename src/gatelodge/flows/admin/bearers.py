"""Who and what bears which name in a workspace, or in all of them, for guardrails."""

from typing import Literal, TypeVar

from gatelodge.core.catalog.server import Server, Tool
from gatelodge.core.ids import WorkspaceId
from gatelodge.core.people import Agent, Group, Member, Workspace, folded
from gatelodge.core.policy.naming import Bearers
from gatelodge.ports.store import Tx

M = TypeVar("M", Member, Agent)


def bearers(tx: Tx, scope: WorkspaceId | Literal[""]) -> Bearers:
    """The names of a workspace; for the whole organization those of all, each after its slug."""
    every = tx.find(Workspace)
    homes = [each for each in every if not scope or each.id == scope]
    ids: dict[tuple[str, str], str] = {("Workspace", each.slug): each.id for each in homes}
    names: dict[tuple[str, str], str] = {("Workspace", each.id): each.slug for each in homes}
    servers: list[Server] = []
    tools: list[Tool] = []
    for home in homes:
        before = "" if scope else f"{home.slug}/"
        here = tx.find(Server, workspace=home.id)
        servers += here
        tools += tx.find(Tool, workspace=home.id)
        for kind, ident, name in (
            *(("Server", row.id, row.alias) for row in here),
            *(("Group", row.id, row.name) for row in tx.find(Group, workspace=home.id)),
            *(("Member", row.id, row.email) for row in _latest(tx.find(Member, workspace=home.id))),
            *(("Agent", row.id, row.name) for row in _latest(tx.find(Agent, workspace=home.id))),
        ):
            ids[kind, folded(before + name)] = ident
            names[kind, ident] = before + name
    return Bearers(
        ids=ids,
        names=names,
        tools=frozenset((row.server, row.name) for row in tools),
        observed=frozenset(row.server for row in tools),
        tags=frozenset(tag for row in servers for tag in row.tags),
        everywhere=not scope,
    )


def _latest(rows: list[M]) -> list[M]:
    """Who left stands before who is here: of two with one name the one who is here bears it."""
    return sorted(rows, key=lambda row: row.status != "left")
