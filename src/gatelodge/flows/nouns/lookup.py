"""Rows by the names that people use: e-mail addresses, names, and aliases of servers.

An id is always taken as well. Each function raises NotFound, with where to look.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeVar

from gatelodge.core.catalog.server import Server, Tool
from gatelodge.core.errors import NotFound
from gatelodge.core.ids import WorkspaceId
from gatelodge.core.people import Agent, Credential, Group, Member, folded
from gatelodge.core.policy.rules import Grant, Guardrail
from gatelodge.core.state import Row
from gatelodge.core.trust.card import TrustCard
from gatelodge.core.vault.secret import VaultSecret
from gatelodge.ports.store import StoreTx

R = TypeVar("R", bound=Row)

_CALLED: dict[type[Row], str] = {
    Member: "email",
    Agent: "name",
    Group: "name",
    Server: "alias",
    Guardrail: "name",
    VaultSecret: "name",
}
"""The field by which people call a row."""


def member(tx: StoreTx, workspace: WorkspaceId, text: str) -> Member:
    """The member of that e-mail address; of two, the one that is not revoked."""
    return members(tx, workspace, text)[0]


def members(tx: StoreTx, workspace: WorkspaceId, text: str) -> list[Member]:
    """Every member that had that e-mail address: who came back is there once for each time."""
    # An id comes first and shadows nobody: no name may be written as an id is (`act.a_name`).
    found = tx.find(Member, workspace=workspace, id=text)
    if not found:
        found = tx.find(Member, workspace=workspace, email=folded(text))
    found.sort(key=_is_revoked)
    _first_or_not_found(found, f"no member is called {text!r}", "member list")
    return found


def agent(tx: StoreTx, workspace: WorkspaceId, text: str) -> Agent:
    """The agent of that name; of two, the one that is not revoked."""
    found = tx.find(Agent, workspace=workspace, id=text)
    if not found:
        # Names are kept as they were written and the store compares exactly: folding is done here.
        rows, wanted = tx.find(Agent, workspace=workspace), folded(text)
        found = [each for each in rows if folded(each.name) == wanted]
    return _first_or_not_found(
        sorted(found, key=_is_revoked), f"no agent is called {text!r}", "agent list"
    )


def principal(tx: StoreTx, workspace: WorkspaceId, text: str) -> Member | Agent:
    """A member by e-mail or an agent by name; also as `member:EMAIL` or `agent:NAME`."""
    kind, _, name = text.partition(":")
    if kind in {"member", "agent"} and name:
        return (member if kind == "member" else agent)(tx, workspace, name)
    # Every address has an @ and no agent's name has: the order decides for nobody.
    for find in (member, agent):
        try:
            return find(tx, workspace, text)
        except NotFound:
            continue
    raise NotFound(
        f"no member or agent is called {text!r}",
        remedy="See `gatelodge member list` and `gatelodge agent list`.",
    )


def group(tx: StoreTx, workspace: WorkspaceId, text: str) -> Group:
    """The group of that name."""
    found = tx.find(Group, workspace=workspace, id=text)
    if not found:
        rows, wanted = tx.find(Group, workspace=workspace), folded(text)
        found = [each for each in rows if folded(each.name) == wanted]
    return _first_or_not_found(found, f"no group is called {text!r}", "group list")


def server(tx: StoreTx, workspace: WorkspaceId, text: str) -> Server:
    """The server of that alias."""
    found = tx.find(Server, workspace=workspace, id=text)
    # Not folded: an alias has lower-case letters only, and is the same text in every tool's name.
    found = found or tx.find(Server, workspace=workspace, alias=text)
    return _first_or_not_found(found, f"no server is called {text!r}", "server list")


def tool(tx: StoreTx, workspace: WorkspaceId, text: str) -> Tool:
    """The tool of SERVER/TOOL; of the two only a tool's name may hold a slash."""
    alias, _, name = text.partition("/")
    return tool_of(tx, server(tx, workspace, alias), name)


def tool_of(tx: StoreTx, server: Server, name: str) -> Tool:
    """The tool of that name, also one that is gone."""
    found = tx.find(Tool, workspace=server.workspace, server=server.id, name=name)
    missing = f"the server {server.alias} has no tool {name!r}"
    return _first_or_not_found(found, missing, "tool list")


def grant(tx: StoreTx, workspace: WorkspaceId, text: str) -> Grant:
    """The grant of that id."""
    found = tx.find(Grant, workspace=workspace, id=text)
    return _first_or_not_found(found, f"no grant has the id {text!r}", "grant list")


def guardrail(tx: StoreTx, workspace: WorkspaceId, text: str) -> Guardrail:
    """The guardrail of that name, of the workspace or of the whole house; retired ones last."""
    rows = [*tx.find(Guardrail, workspace=workspace), *tx.find(Guardrail, workspace="")]
    found = [each for each in rows if text in {each.id, each.name}]
    found.sort(key=lambda each: each.mode == "retired")
    return _first_or_not_found(found, f"no guardrail is called {text!r}", "policy list")


def credential(tx: StoreTx, workspace: WorkspaceId, text: str) -> Credential:
    """The credential of that id; a token itself names nothing here."""
    found = tx.find(Credential, workspace=workspace, id=text)
    # The text is not said back: it may be a token that somebody pasted here.
    return _first_or_not_found(found, "no token has this id", "token list")


def secret(tx: StoreTx, workspace: WorkspaceId, text: str) -> VaultSecret:
    """The secret of that name."""
    found = tx.find(VaultSecret, workspace=workspace, id=text)
    found = found or tx.find(VaultSecret, workspace=workspace, name=text)
    return _first_or_not_found(found, f"no secret is called {text!r}", "secret list")


def card(tx: StoreTx, workspace: WorkspaceId, text: str) -> TrustCard:
    """The card of that id, or the newest of an image or a source."""
    every = tx.find(TrustCard, workspace=workspace)
    found = [each for each in every if text in (each.id, each.image, each.source)]
    return _first_or_not_found(found[-1:], f"there is no card {text[:80]!r}", "card list")


def names(tx: StoreTx, workspace: WorkspaceId | Literal[""], *kinds: type[Row]) -> dict[str, str]:
    """What all rows of these kinds are called, by id; of those revoked too."""
    found: dict[str, str] = {}
    for kind in kinds:
        rows: Sequence[Any] = tx.find(kind, workspace=workspace)
        found |= {row.id: getattr(row, _CALLED[kind]) for row in rows}
    return found


def called(tx: StoreTx, workspace: WorkspaceId, ids: Iterable[str]) -> dict[str, str]:
    """What people call each of these, as far as it has a name; of an agent, who answers for it."""
    found: dict[str, str] = {}
    for each in ids:
        if each.startswith("agt_"):
            found |= {
                row.id: _agent_description(tx, row)
                for row in tx.find(Agent, workspace=workspace, id=each)
            }
        elif each.startswith("grp_"):
            found |= {row.id: row.name for row in tx.find(Group, workspace=workspace, id=each)}
        elif each.startswith("crd_"):
            rows = tx.find(Credential, workspace=workspace, id=each)
            found |= {row.id: row.label for row in rows if row.label}
    return found


def _agent_description(tx: StoreTx, row: Agent) -> str:
    if row.status != "active":
        return f"{row.name} ({row.status})"
    owner = tx.find(Member, workspace=row.workspace, id=row.owner)
    return f"{row.name} (answered for by {owner[0].email})" if owner else row.name


def _is_revoked(row: Member | Agent) -> bool:
    return row.status == "revoked"


def _first_or_not_found(found: list[R], missing: str, where: str) -> R:
    if not found:
        raise NotFound(missing, remedy=f"See `gatelodge {where}`.")
    return found[0]
