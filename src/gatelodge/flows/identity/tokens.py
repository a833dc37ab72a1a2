"""Tokens of members and agents: issued once in clear, kept as a keyed digest, ended at once."""

from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core import tokens
from gatelodge.core.errors import Conflict, Invalid, LimitReached
from gatelodge.core.ids import CredentialId, Instant, MemberId, PrincipalId, WorkspaceId, is_agent
from gatelodge.core.instant import rfc3339
from gatelodge.core.people import Agent, Credential, CredentialKind, Member
from gatelodge.flows.act import Act, a_line
from gatelodge.ports.store import Tx
from gatelodge.ports.world import Peppers

LIFE_DAYS: dict[CredentialKind, int] = {"personal": 90, "agent": 365}
"""How long a token lives when nothing is said, and at most."""

MOST_ACTIVE: dict[CredentialKind, int] = {"personal": 50, "agent": 2}
"""Good tokens of one principal; an agent's second one is for changing over."""

_DAY = 86_400_000_000


class Issued(Struct, frozen=True):
    """A new token. `token` is shown once and is nowhere kept."""

    credential: Credential
    token: str


def issue(
    act: Act,
    peppers: Peppers,
    workspace: WorkspaceId,
    principal: PrincipalId,
    label: str,
    days: int | None = None,
) -> Issued:
    """A token for an active member or agent, good for `days` (default and cap: `LIFE_DAYS`).

    Members issue for themselves and their agents; an admin for those whose role an admin may give.
    Raises NotFound, Conflict (not active), Forbidden, Invalid, LimitReached.
    """
    kind: CredentialKind = "agent" if is_agent(principal) else "personal"
    days = LIFE_DAYS[kind] if days is None else days
    if not 1 <= days <= LIFE_DAYS[kind]:
        raise Invalid(f"a token of this kind lives 1 to {LIFE_DAYS[kind]} days")
    holder, owner = _holder(act, workspace, principal)
    if owner.status != "active" and holder is not owner:
        remedy = "Hand the agent to an active member: `gatelodge agent owner`."
        raise Conflict(f"{owner.id}, who answers for it, is not active", remedy=remedy)
    if holder.status != "active":
        raise Conflict(f"{principal} is not active", remedy=_let_in(holder))
    if act.by != owner.id:
        act.must_give(workspace, owner.role)
    active = [each for each in of(act.tx, workspace, principal) if each.expires_at > act.at]
    if len(active) >= MOST_ACTIVE[kind]:
        raise LimitReached(
            f"{principal} has {len(active)} good tokens already",
            remedy="Revoke one of them with `gatelodge token revoke`.",
        )
    token = tokens.mint(kind, act.ids.random(tokens.SECRET_BYTES))
    credential = Credential(
        id=CredentialId(act.ids.new("crd")),
        workspace=workspace,
        principal=principal,
        kind=kind,
        label=a_line("a token's label", label),
        digest=peppers.digest(token),
        pepper=peppers.current,
        last4=token[-4:],
        generation=holder.generation,
        created_at=act.at,
        expires_at=Instant(act.at + days * _DAY),
    )
    act.tx.put(credential)
    act.record(
        "cred.issued",
        workspace,
        cred=credential.id,
        principal=principal,
        kind=kind,
        generation=credential.generation,
        expires_at=rfc3339(credential.expires_at),
    )
    return Issued(credential, token)


def of(
    tx: Tx, workspace: WorkspaceId, principal: PrincipalId | None = None, *, ended: bool = False
) -> list[Credential]:
    """The credentials of a principal, or of the whole workspace; with `ended` the revoked too."""
    wanted: dict[str, object] = {} if ended else {"revoked_at": None}
    if principal is not None:
        wanted["principal"] = principal
    return tx.find(Credential, workspace=workspace, **wanted)


def revoke(act: Act, workspace: WorkspaceId, credential: CredentialId) -> Credential:
    """End one credential; one that was revoked before stays as it is, without a second leaf.

    Raises NotFound, Forbidden.
    """
    row = act.the(Credential, workspace=workspace, id=credential)
    _, owner = _holder(act, workspace, row.principal)
    if act.by != owner.id:
        act.must_end(workspace, owner.role)
    return row if row.revoked_at is not None else end(act, row)


def end(act: Act, row: Credential) -> Credential:
    """Mark a credential revoked, and record it."""
    ended = replace(row, revoked_at=act.at)
    act.tx.put(ended)
    act.record("cred.revoked", row.workspace, cred=row.id, principal=row.principal)
    return ended


def _let_in(holder: Member | Agent) -> str:
    kind = "member" if isinstance(holder, Member) else "agent"
    verb = "add" if holder.status == "left" else "resume"
    return f"Let them in again: `gatelodge {kind} {verb}`."


def _holder(
    act: Act, workspace: WorkspaceId, principal: PrincipalId
) -> tuple[Member | Agent, Member]:
    """Whose token it is, and the member who answers for it."""
    if not is_agent(principal):
        member = act.the(Member, workspace=workspace, id=principal)
        return member, member
    agent = act.the(Agent, workspace=workspace, id=principal)
    return agent, act.the(Member, workspace=workspace, id=MemberId(agent.owner))
