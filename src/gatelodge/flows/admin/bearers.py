"""Who and what bears which name in a workspace, or in all of them, for guardrails."""

from typing import Literal, TypeVar

from gatelodge.core.catalog.server import Server, Tool
from gatelodge.core.ids import WorkspaceId
from gatelodge.core.people import Agent, Group, Member, Workspace, folded
from gatelodge.core.policy.naming import NamedEntities
from gatelodge.ports.store import StoreTx

M = TypeVar("M", Member, Agent)


def bearers(tx: StoreTx, scope: WorkspaceId | Literal[""]) -> NamedEntities:
    """The names of a workspace; for the whole organization those of all, each after its slug."""
    every = tx.find(Workspace)
    homes = [each for each in every if not scope or each.id == scope]
    ids: dict[tuple[str, str], str] = {("Workspace", each.slug): each.id for each in homes}
    names: dict[tuple[str, str], str] = {("Workspace", each.id): each.slug for each in homes}
    servers: list[Server] = []
    tools: list[Tool] = []
    for home in homes:
        # Two workspaces may have a server of one alias: a rule for all of them has to say whose.
        before = "" if scope else f"{home.slug}/"
        here = tx.find(Server, workspace=home.id)
        servers += here
        tools += tx.find(Tool, workspace=home.id)
        for kind, ident, name in (
            *(("Server", row.id, row.alias) for row in here),
            *(("Group", row.id, row.name) for row in tx.find(Group, workspace=home.id)),
            *(
                ("Member", row.id, row.email)
                for row in _sorted_revoked_first(tx.find(Member, workspace=home.id))
            ),
            *(
                ("Agent", row.id, row.name)
                for row in _sorted_revoked_first(tx.find(Agent, workspace=home.id))
            ),
        ):
            # Rules are looked up folded: no other spelling of a name gets around a guardrail.
            # A later row of one name wins, so the order of the rows above decides who bears it.
            ids[kind, folded(before + name)] = ident
            names[kind, ident] = before + name
    return NamedEntities(
        ids=ids,
        names=names,
        tools=frozenset((row.server, row.name) for row in tools),
        # A tool of a server whose tools nobody has read yet must not count as misspelled.
        observed=frozenset(row.server for row in tools),
        tags=frozenset(tag for row in servers for tag in row.tags),
        everywhere=not scope,
    )


def _sorted_revoked_first(rows: list[M]) -> list[M]:
    """Who was revoked stands first: of two with one name the one who has access bears it."""
    return sorted(rows, key=lambda row: row.status != "revoked")
