"""Secrets as people see them: their names, whose values they have, which servers use them.

A value is set by a route and a command of their own: it is sealed before the transaction begins.
"""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Struct

from gatelodge.core.catalog.references import SECRET_NAME
from gatelodge.core.catalog.server import Server
from gatelodge.core.errors import Conflict, Forbidden, Invalid
from gatelodge.core.ids import SecretId, WorkspaceId
from gatelodge.core.instant import rfc3339
from gatelodge.core.people import Agent, Member
from gatelodge.core.roles import may
from gatelodge.core.vault.secret import SealedValue, SecretMode, VaultSecret
from gatelodge.flows.act import GovernanceAct, a_line
from gatelodge.flows.nouns import lookup
from gatelodge.flows.nouns.noun import Noun, ShowContext, Wording
from gatelodge.flows.nouns.shown import shown_as
from gatelodge.flows.vault.usage import check_mode, uses_secret
from gatelodge.ports.store import StoreTx

secret = Noun(
    VaultSecret,
    name="secret",
    plural="secrets",
    find=lookup.secret,
    called="NAME",
    about="The vault: secrets that servers are given, named vault:NAME in their definitions.",
    columns=("name", "mode", "values", "size", "rotated_at", "servers", "id"),
    empty="No secrets yet. Set one: gatelodge secret set NAME --from-file FILE",
)


class SecretShape(Struct, frozen=True, kw_only=True):
    """A secret without any value. `mode` says whose value it has: everybody's, or each one's own.

    `values` counts them; `size` (bytes) and `rotated_at` are those of the newest. `servers` name it
    in their definitions, and `holders` are those who have a value of their own; both are empty for
    whoever may not see them.
    """

    id: str
    name: str
    mode: SecretMode
    description: str
    values: int
    size: int
    servers: tuple[str, ...]
    holders: tuple[str, ...]
    created_at: str
    rotated_at: str | None = None


@secret.shown
def shapes(tx: StoreTx, rows: Sequence[VaultSecret], context: ShowContext) -> list[SecretShape]:
    """Secrets, with what there is of each and who uses it."""
    here = rows[0].workspace
    servers = tx.find(Server, workspace=here) if context.may("server.read") else []
    names = lookup.names(tx, here, Member, Agent) if context.may("secret.read") else {}
    made = []
    for row in rows:
        values = tx.find(SealedValue, workspace=here, secret=row.id)
        newest = max(values, key=lambda each: each.set_at, default=None)
        made.append(
            shown_as(
                SecretShape,
                row,
                values=len(values),
                size=newest.size if newest else 0,
                servers=tuple(each.alias for each in servers if uses_secret(each, row.name)),
                holders=tuple(sorted(names[e.holder] for e in values if e.holder in names)),
                rotated_at=rfc3339(newest.set_at) if newest else None,
            )
        )
    return made


@secret.owned
def own(tx: StoreTx, rows: Sequence[VaultSecret], by: str) -> list[VaultSecret]:
    """Those of them of which a member has a value of their own, or could, or an agent of theirs."""
    agents = tx.find(Agent, workspace=rows[0].workspace, owner=by)
    return [row for row in rows if row.mode == "member" or (row.mode == "agent" and agents)]


@secret.verb(
    "{name} is in the vault.\nNext: gatelodge secret set {name} --from-file FILE", act="secret.set"
)
def declare(
    act: GovernanceAct,
    workspace: WorkspaceId,
    name: str,
    mode: SecretMode = "shared",
    description: Annotated[str, Wording("What it is for.")] = "",
) -> VaultSecret:
    """Name a secret before it has a value; of a mode other than shared each sets their own.

    Raises Invalid, Conflict (the name is in use).
    """
    if SECRET_NAME.fullmatch(name) is None:
        raise Invalid(
            "a secret's name is a letter and up to 63 letters, digits and _.-",
            remedy="It stands in the definitions of servers, as vault:NAME.",
        )
    if act.tx.find(VaultSecret, workspace=workspace, name=name):
        raise Conflict(
            f"there is a secret {name!r} already",
            remedy=f"Give it a value: gatelodge secret set {name}",
        )
    made = VaultSecret(
        id=SecretId(act.ids.new("sec")),
        workspace=workspace,
        name=name,
        mode=mode,
        description=a_line("a secret's description", description) if description else "",
        created_at=act.at,
    )
    for each in act.tx.find(Server, workspace=workspace):
        if uses_secret(each, name):
            check_mode(made, each.transport)
    act.tx.put(made)
    act.record("secret.declared", workspace, secret=made.id, name=name, mode=mode)
    return made


@secret.verb(
    "{name} is gone, with every value of it.",
    removes=True,
    asks="Remove {name} with every value of it?",
    look="gatelodge secret remove {name} --dry-run",
)
def remove(act: GovernanceAct, secret: VaultSecret) -> VaultSecret:
    """Remove a secret with every value; what was started with one ends, and starts no more.

    Its leaf names the servers that use it. Raises Forbidden.
    """
    # The door opened for whoever has a value of their own too, and this takes everybody's.
    if not may(act.role(secret.workspace), "secret.remove"):
        raise Forbidden(
            "this role removes values of its own only",
            remedy=f"Take yours away: gatelodge secret unset {secret.name} --mine",
        )
    workspace = secret.workspace
    for value in act.tx.find(SealedValue, workspace=workspace, secret=secret.id):
        act.tx.remove(value)
    servers = act.tx.find(Server, workspace=workspace)
    act.tx.remove(secret)
    act.record(
        "secret.removed",
        workspace,
        secret=secret.id,
        name=secret.name,
        servers=[str(each.id) for each in servers if uses_secret(each, secret.name)],
    )
    return secret
