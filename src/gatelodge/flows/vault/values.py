"""The values of secrets: set, replaced, erased. A value itself is never in the hands of these.

Who sets one asks for a place first (`place_of`), seals the value for it, and then puts it there;
a place that somebody else filled meanwhile is refused, so that no version is ever sealed twice.
"""

from typing import Literal

from msgspec import Struct

from gatelodge.core.errors import Conflict, Forbidden, Invalid, NotFound
from gatelodge.core.ids import PrincipalId, WorkspaceId
from gatelodge.core.people import Agent, Member
from gatelodge.core.vault.secret import SealedValue, SecretMode, VaultSecret, sealing_context
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.nouns import lookup
from gatelodge.flows.vault.secrets import declare
from gatelodge.ports.store import StoreTx
from gatelodge.ports.vault import SealedParts


class ValueHolder(Struct, frozen=True, kw_only=True):
    """Whose value is meant: `member` by e-mail, `agent` by name, one's `own`, or everybody's.

    `looks` = that with which the gate itself looks at servers, of a secret of each one's own.
    """

    member: str = ""
    agent: str = ""
    own: bool = False
    looks: bool = False


class SecretCaller(Struct, frozen=True, kw_only=True):
    """Who asks: their member id ("" for the operator), and whether others' values are theirs."""

    member: str
    every: bool


class ValuePlace(Struct, frozen=True, kw_only=True):
    """Where a value belongs, and its version there."""

    workspace: WorkspaceId
    name: str
    mode: SecretMode
    holder: PrincipalId | Literal[""]
    version: int

    @property
    def context(self) -> bytes:
        """What the value is bound to."""
        return sealing_context(self.workspace, self.name, self.holder, self.version)


def place_of(
    tx: StoreTx, workspace: WorkspaceId, name: str, whose: ValueHolder, caller: SecretCaller
) -> ValuePlace:
    """The place of a new value; a secret that is not there is made with it.

    Raises Invalid, NotFound, Forbidden (it is not theirs to set), Conflict (not of that mode).
    """
    found = tx.find(VaultSecret, workspace=workspace, name=name)
    holder, wanted = _holder_of_value(tx, workspace, whose, caller)
    if not found and not caller.every:
        raise NotFound(
            f"no secret is called {name!r}",
            remedy=f"An admin names it first: gatelodge secret declare {name} --mode member",
        )
    mode = found[0].mode if found else wanted
    _check_holder_mode(name, mode, wanted, looks=whose.looks)
    before = _value_rows(tx, workspace, found, holder)
    version = before[0].version + 1 if before else 1
    return ValuePlace(workspace=workspace, name=name, mode=mode, holder=holder, version=version)


def check_place(sealed_for: ValuePlace, now: ValuePlace) -> None:
    """Raise Conflict when a value was sealed for a place that is another one by now."""
    if sealed_for != now:
        raise Conflict(f"{now.name} was set by somebody else just now", remedy="Try again.")


def check_new(tx: StoreTx, workspace: WorkspaceId, name: str) -> None:
    """Raise Conflict for a secret that is there: replaced, it would change under every user."""
    if tx.find(VaultSecret, workspace=workspace, name=name):
        raise Conflict(
            f"there is a secret {name!r} already",
            remedy=f"Write vault:{name} in the definition, or take another name for this one.",
        )


def put_value(
    act: GovernanceAct, place: ValuePlace, parts: SealedParts, size: int, *, known: bool = False
) -> VaultSecret:
    """Put a sealed value in its place; with `known` only where one stands already.

    Raises NotFound, and what `declare` raises.
    """
    here = place.workspace
    found = act.tx.find(VaultSecret, workspace=here, name=place.name)
    before = _value_rows(act.tx, here, found, place.holder)
    if known and not before:
        raise NotFound(
            f"{place.name} has no such value to replace",
            remedy=f"Set it: gatelodge secret set {place.name}",
        )
    secret = found[0] if found else declare(act, here, place.name, place.mode)
    act.tx.put(
        SealedValue(
            workspace=here,
            secret=secret.id,
            holder=place.holder,
            version=place.version,
            root=parts.root,
            wrapped=parts.wrapped,
            sealed=parts.sealed,
            size=size,
            set_at=act.at,
        )
    )
    act.record(
        "secret.rotated" if before else "secret.set",
        here,
        secret=secret.id,
        name=secret.name,
        holder=str(place.holder),
        version=place.version,
    )
    return secret


def erase_value(
    act: GovernanceAct, secret: VaultSecret, whose: ValueHolder, caller: SecretCaller
) -> VaultSecret:
    """Erase one value; its secret stays. Raises NotFound, Forbidden, Invalid, Conflict."""
    holder, wanted = _holder_of_value(act.tx, secret.workspace, whose, caller)
    _check_holder_mode(secret.name, secret.mode, wanted, looks=whose.looks)
    before = _value_rows(act.tx, secret.workspace, [secret], holder)
    if not before:
        raise NotFound(f"{secret.name} has no such value")
    _erase_row(act, secret, before[0])
    return secret


def erase_values_of(
    act: GovernanceAct, workspace: WorkspaceId, principal: PrincipalId
) -> tuple[str, ...]:
    """Erase every value of a principal whose access ended; the ids of their secrets."""
    erased = []
    for value in act.tx.find(SealedValue, workspace=workspace, holder=principal):
        secret = act.the(VaultSecret, workspace=workspace, id=value.secret)
        _erase_row(act, secret, value)
        erased.append(str(secret.id))
    return tuple(erased)


def _erase_row(act: GovernanceAct, secret: VaultSecret, value: SealedValue) -> None:
    act.tx.remove(value)
    act.record(
        "secret.erased",
        secret.workspace,
        secret=secret.id,
        name=secret.name,
        holder=str(value.holder),
    )


def _value_rows(
    tx: StoreTx, workspace: WorkspaceId, found: list[VaultSecret], holder: str
) -> list[SealedValue]:
    if not found:
        return []
    return tx.find(SealedValue, workspace=workspace, secret=found[0].id, holder=holder)


def _holder_of_value(
    tx: StoreTx, workspace: WorkspaceId, whose: ValueHolder, caller: SecretCaller
) -> tuple[PrincipalId | Literal[""], SecretMode]:
    """Whose value it is, and of which mode its secret has to be."""
    if bool(whose.member) + bool(whose.agent) + whose.own + whose.looks > 1:
        raise Invalid("give at most one of member, agent, own and looks")
    if whose.own:
        if not caller.member:
            raise Invalid(
                "the operator of the machine has no values of their own",
                remedy="Say whose it is: --member EMAIL or --agent NAME.",
            )
        return PrincipalId(caller.member), "member"
    if not whose.member and not whose.agent:
        if not caller.every:
            raise Forbidden("this role sets values of its own only", remedy="Say --mine.")
        return "", "shared"
    row = _active_holder(tx, workspace, whose, caller)
    return PrincipalId(row.id), "agent" if isinstance(row, Agent) else "member"


def _active_holder(
    tx: StoreTx, workspace: WorkspaceId, whose: ValueHolder, caller: SecretCaller
) -> Member | Agent:
    find = lookup.member if whose.member else lookup.agent
    row: Member | Agent | None = None
    try:
        row = find(tx, workspace, whose.member or whose.agent)
    except NotFound:
        if caller.every:
            raise
    # Nobody and somebody else end in the same words, or they would tell who is here.
    theirs = row is not None and caller.member in {row.id, getattr(row, "owner", "")}
    if row is None or not (caller.every or theirs):
        raise Forbidden("this role sets values of its own and of its own agents only")
    if row.status == "revoked":
        raise Conflict(f"{row.id} is revoked", remedy="Set the value of somebody who is here.")
    return row


def _check_holder_mode(name: str, mode: SecretMode, wanted: SecretMode, *, looks: bool) -> None:
    """Raise Conflict where a secret of that mode has no such value."""
    if looks and mode == "shared":
        raise Conflict(
            f"the secret {name} is shared, so the gate looks with everybody's value",
            remedy="Set it without --for-looks.",
        )
    if mode == wanted or looks:
        return
    how = {"shared": "without --member and --agent", "member": "with --mine or --member EMAIL"}
    raise Conflict(
        f"the secret {name} has the mode {mode}",
        remedy=f"Set it {how.get(mode, 'with --agent NAME')}; a secret keeps its mode for good.",
    )
