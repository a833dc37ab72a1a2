"""Tokens as admins see them: whose they are, how they stand, and how one is revoked.

A token is issued by a route and a command of their own: it is shown in one answer only.
"""

from collections.abc import Sequence

from msgspec import Struct

from gatelodge.core.ids import Instant
from gatelodge.core.people import Agent, Credential, Member
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.identity import tokens
from gatelodge.flows.identity.ending import EndedAccess
from gatelodge.flows.nouns import lookup
from gatelodge.flows.nouns.noun import Noun, ShowContext
from gatelodge.flows.nouns.shown import shown_as
from gatelodge.ports.store import StoreTx

token = Noun(
    Credential,
    name="token",
    plural="tokens",
    find=lookup.credential,
    called="ID",
    about="The tokens of members and agents.",
    columns=("id", "principal", "label", "last4", "status", "expires_at"),
    empty="No tokens yet. Issue one: gatelodge token create --member ada@example.com",
)


class TokenShape(Struct, frozen=True, kw_only=True):
    """A token without the token. `status`: active, expired, revoked, or ended with its holder.

    `parent` is the token it was issued with and ends with; empty on the gate's own machine.
    """

    id: str
    principal: str
    kind: str
    label: str
    last4: str
    status: str
    created_at: str
    expires_at: str
    revoked_at: str | None = None
    parent: str = ""


@token.shown
def shapes(tx: StoreTx, rows: Sequence[Credential], context: ShowContext) -> list[TokenShape]:
    """Tokens, ended ones too, with the names of who holds them."""
    here = rows[0].workspace
    holders: dict[str, Member | Agent] = {row.id: row for row in tx.find(Member, workspace=here)}
    holders |= {row.id: row for row in tx.find(Agent, workspace=here)}
    made = []
    for row in rows:
        holder = holders.get(row.principal)
        made.append(
            shown_as(
                TokenShape,
                row,
                principal=principal_name(holder) if holder else row.principal,
                status=_standing(row, holder, context.at),
            )
        )
    return made


@token.owned
def own(tx: StoreTx, rows: Sequence[Credential], by: str) -> list[Credential]:
    """Those of them that are a member's, or of an agent that the member answers for."""
    agents = tx.find(Agent, workspace=rows[0].workspace, owner=by)
    # Whoever answers for an agent has to find its tokens, or could not end one that leaked.
    holders = {by, *(agent.id for agent in agents)}
    return [row for row in rows if row.principal in holders]


def principal_name(row: Member | Agent) -> str:
    """What people call a principal."""
    return row.email if isinstance(row, Member) else row.name


@token.verb(ends="credential")
def revoke(act: GovernanceAct, token: Credential) -> EndedAccess:
    """End one token, and those issued with it, at once; its holder's other tokens stay good.

    One that was revoked before stays as it is, without a second leaf. Raises Forbidden.
    """
    _, owner = tokens.holder_of(act, token.workspace, token.principal)
    # Ending what is one's own, a leaked token say, needs no role.
    if act.by != owner.id:
        act.must_end(token.workspace, owner.role)
    return EndedAccess(credentials=tuple(each.id for each in tokens.end(act, token)))


def _standing(row: Credential, holder: Member | Agent | None, now: Instant) -> str:
    if row.revoked_at is not None:
        return "revoked"
    if row.expires_at <= now:
        return "expired"
    # The rule by which the view leaves it out: a list must not call active what lets nobody in.
    if holder is None or holder.status == "revoked" or holder.generation != row.generation:
        return "ended"
    return "suspended" if holder.status == "suspended" else "active"
