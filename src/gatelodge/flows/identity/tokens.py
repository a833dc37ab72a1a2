"""Tokens of members and agents: issued once in clear, kept as a keyed digest, ended at once.

What was issued with a token ends with it and lives no longer, whoever it is for: whoever found a
token keeps nothing when it is revoked. What an operator issues on the gate's own machine stands on
its own.
"""

from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core import tokens
from gatelodge.core.errors import Conflict, Invalid, LimitReached
from gatelodge.core.ids import CredentialId, Instant, MemberId, PrincipalId, WorkspaceId, is_agent
from gatelodge.core.instant import rfc3339
from gatelodge.core.people import Agent, Credential, CredentialKind, Member
from gatelodge.flows.act import GovernanceAct, a_line
from gatelodge.ports.store import StoreTx
from gatelodge.ports.world import TokenPeppers

LIFE_DAYS: dict[CredentialKind, int] = {"personal": 90, "agent": 365}
"""How long a token lives when nothing is said, and at most."""

MOST_ACTIVE: dict[CredentialKind, int] = {"personal": 50, "agent": 2}
"""Good tokens of one principal; an agent's second one is for changing over."""

_DAY = 86_400_000_000


class IssuedCredential(Struct, frozen=True):
    """A new token. `token` is shown once and is nowhere kept."""

    credential: Credential
    token: str


def issue(
    act: GovernanceAct,
    peppers: TokenPeppers,
    workspace: WorkspaceId,
    principal: PrincipalId,
    label: str,
    days: int | None = None,
    *,
    seconds: int | None = None,
) -> IssuedCredential:
    """A token for an active member or agent, good for `days` (default and cap: `LIFE_DAYS`).

    `seconds` is a shorter life. Without `days` it ends with the token that it is issued with, if
    that is sooner. Members issue for themselves and their agents; an admin for those whose role an
    admin may give. Raises NotFound, Conflict (not active), Forbidden, Invalid, LimitReached.
    """
    kind: CredentialKind = "agent" if is_agent(principal) else "personal"
    expires_at = min(
        _expiry_of_token(act, workspace, kind, days),
        Instant(act.at + (seconds or LIFE_DAYS[kind] * 86_400) * 1_000_000),
    )
    holder, owner = holder_of(act, workspace, principal)
    if owner.status != "active" and holder is not owner:
        remedy = "Transfer the agent to an active member: `gatelodge agent transfer`."
        raise Conflict(f"{owner.id}, who answers for it, is not active", remedy=remedy)
    if holder.status != "active":
        raise Conflict(f"{principal} is not active", remedy=_let_in(holder))
    # Whoever holds the token acts in that role, so issuing it is giving the role.
    if act.by != owner.id:
        act.must_give(workspace, owner.role)
    _refuse_too_many(act, workspace, principal, kind)
    token = tokens.mint(kind, act.ids.random(tokens.SECRET_BYTES))
    credential = Credential(
        id=CredentialId(act.ids.new("crd")),
        workspace=workspace,
        principal=principal,
        kind=kind,
        label=a_line("a token's label", label),
        # A thief of the database finds no token, nor the pepper to plant one (decision 0009).
        digest=peppers.digest(token),
        pepper=peppers.current,
        last4=token[-4:],
        generation=holder.generation,
        created_at=act.at,
        expires_at=expires_at,
        parent=act.credential,
    )
    act.tx.put(credential)
    act.record(
        "token.issued",
        workspace,
        token=credential.id,
        principal=principal,
        kind=kind,
        generation=credential.generation,
        expires_at=rfc3339(credential.expires_at),
    )
    return IssuedCredential(credential, token)


def of(
    tx: StoreTx,
    workspace: WorkspaceId,
    principal: PrincipalId | None = None,
    *,
    ended: bool = False,
) -> list[Credential]:
    """The credentials of a principal, or of the whole workspace; with `ended` the revoked too."""
    wanted: dict[str, object] = {} if ended else {"revoked_at": None}
    if principal is not None:
        wanted["principal"] = principal
    return tx.find(Credential, workspace=workspace, **wanted)


def end(act: GovernanceAct, *rows: Credential) -> tuple[Credential, ...]:
    """Mark credentials revoked with all that was issued with them; one leaf for each that ended."""
    ended: list[Credential] = []
    waiting = list(reversed(rows))
    seen = set()
    while waiting:
        row = waiting.pop()
        # A token comes twice where one of a person's tokens was issued with another of theirs.
        if row.id in seen:
            continue
        seen.add(row.id)
        waiting += act.tx.find(Credential, workspace=row.workspace, parent=row.id)
        # One that ended before is walked through all the same: what it issued ends here too.
        if row.revoked_at is None:
            ended.append(replace(row, revoked_at=act.at))
            act.tx.put(ended[-1])
            act.record("token.revoked", row.workspace, token=row.id, principal=row.principal)
    return tuple(ended)


def _refuse_too_many(
    act: GovernanceAct, workspace: WorkspaceId, principal: PrincipalId, kind: CredentialKind
) -> None:
    active = [each for each in of(act.tx, workspace, principal) if each.expires_at > act.at]
    if len(active) >= MOST_ACTIVE[kind]:
        raise LimitReached(
            f"{principal} has {len(active)} good tokens already",
            remedy="Revoke one of them with `gatelodge token revoke`.",
        )


def holder_of(
    act: GovernanceAct, workspace: WorkspaceId, principal: PrincipalId
) -> tuple[Member | Agent, Member]:
    """Whose token it is, and the member who answers for it. Raises NotFound."""
    if not is_agent(principal):
        member = act.the(Member, workspace=workspace, id=principal)
        return member, member
    agent = act.the(Agent, workspace=workspace, id=principal)
    return agent, act.the(Member, workspace=workspace, id=MemberId(agent.owner))


def _expiry_of_token(
    act: GovernanceAct, workspace: WorkspaceId, kind: CredentialKind, days: int | None
) -> Instant:
    """When a token issued now ends: never later than the one it is issued with. Raises Invalid."""
    most = LIFE_DAYS[kind]
    if days is not None and not 1 <= days <= most:
        raise Invalid(f"a token of this kind lives 1 to {most} days")
    expires_at = Instant(act.at + (most if days is None else days) * _DAY)
    if not act.credential:
        return expires_at
    # A token that somebody found could else issue itself a longer life.
    latest = act.the(Credential, workspace=workspace, id=act.credential).expires_at
    if days is not None and expires_at > latest:
        raise Invalid(
            f"a token lives no longer than the one it is issued with (until {rfc3339(latest)})",
            remedy="Leave the days out, or issue it on the gate's own machine.",
        )
    return min(expires_at, latest)


def _let_in(holder: Member | Agent) -> str:
    kind = "member" if isinstance(holder, Member) else "agent"
    verb = "add" if holder.status == "revoked" else "resume"
    return f"Let them in again: `gatelodge {kind} {verb}`."
