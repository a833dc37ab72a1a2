"""Values put under another root, some at a time: whoever is interrupted asks again and goes on."""

from msgspec.structs import replace

from gatelodge.core.errors import HouseError
from gatelodge.core.ids import WorkspaceId
from gatelodge.core.vault.secret import SealedValue, VaultSecret, sealing_context
from gatelodge.flows.act import GovernanceAct
from gatelodge.ports.store import StoreTx
from gatelodge.ports.vault import SealedParts, ValueSealer

AT_ONCE = 32
"""Values of one transaction."""

NamedValue = tuple[str, SealedValue]
"""A value, after the name of its secret."""


def values_left(tx: StoreTx, workspace: WorkspaceId, root: str) -> list[NamedValue]:
    """Some of the values that are under another root than this one; none when all is done."""
    rows = [each for each in tx.find(SealedValue, workspace=workspace) if each.root != root]
    names = {each.id: each.name for each in tx.find(VaultSecret, workspace=workspace)}
    return [(names[each.secret], each) for each in rows[:AT_ONCE]]


async def rewrapped(named: NamedValue, sealer: ValueSealer) -> tuple[SealedValue, SealedValue]:
    """A value as it was, and under the present root. Raises KeyUnreachable, KeyMismatch."""
    name, row = named
    context = sealing_context(row.workspace, name, row.holder, row.version)
    parts = SealedParts(root=row.root, wrapped=row.wrapped, sealed=row.sealed)
    made = await sealer.rewrap(parts, context)
    return row, replace(row, root=made.root, wrapped=made.wrapped)


async def root_fault(sealer: ValueSealer, workspace: WorkspaceId) -> HouseError | None:
    """Why the root cannot be used now; None when a value that is no secret went through it."""
    context = sealing_context(workspace, "", "", 0)
    try:
        await sealer.open(await sealer.seal("probe", context), context)
    except HouseError as fault:
        return fault
    return None


def keep_rewrapped(act: GovernanceAct, moved: tuple[tuple[SealedValue, SealedValue], ...]) -> int:
    """Keep those that are still what they were; how many are under the present root now.

    A value that was set meanwhile is under it already, and is left alone.
    """
    for before, after in moved:
        key = {"workspace": before.workspace, "secret": before.secret, "holder": before.holder}
        if act.tx.find(SealedValue, **key) == [before]:
            act.tx.put(after)
    if moved:
        act.record("secret.rewrapped", moved[0][0].workspace, values=len(moved))
    return len(moved)
