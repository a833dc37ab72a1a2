"""References in the definitions of servers, `vault:NAME` among them, read when they are needed.

A value is read from the store and opened for whoever starts a server; nothing of it is kept here.
What is kept is which version of each value there is, from the view, so that a server begins anew
when a secret that it is given is another one.
"""

from collections.abc import Callable, Collection, Hashable, Mapping

from msgspec import Struct

from gatelodge.adapters.keys.secret_refs import SecretRefs
from gatelodge.core.catalog.references import half_reference, reference
from gatelodge.core.catalog.server import Transport
from gatelodge.core.errors import KeyMismatch, KeyUnreachable, OwnSecretMissing
from gatelodge.core.ids import Instant, WorkspaceId, is_agent
from gatelodge.core.state import GovernanceState
from gatelodge.core.vault.injections import vault_names
from gatelodge.core.vault.secret import SealedValue, VaultSecret, sealing_context
from gatelodge.core.view import PolicyView
from gatelodge.ports.store import Store, StoreTx
from gatelodge.ports.vault import SealedParts, ValueSealer

_Edition = tuple[int, Instant]


class _ValuePlace(Struct, frozen=True):
    """Where a value is: the name of its secret, and whose it is."""

    workspace: str
    name: str
    holder: str


class ServerSecrets(SecretRefs):
    """The port `SecretResolver`, with a vault. Shared; changed on the event loop only."""

    def __init__(self, store: Store, sealer: ValueSealer) -> None:
        self._store = store
        self.sealer = sealer
        self._editions: dict[_ValuePlace, _Edition] | None = None
        self._seen: tuple[SealedValue, ...] | None = None

    async def resolve_all(
        self, values: Mapping[str, str], workspace: str, owner: str
    ) -> dict[str, str]:
        """Values by name, with what their references lead to. Raises KeyUnreachable.

        For nobody (a look of the gate's own) what each one has of their own is left out, unless a
        value was set for looks.
        """
        found = {}
        for name, value in values.items():
            at = reference(value)
            if at is None or at.scheme != "vault" or half_reference(value):
                found[name] = self.resolve(value)
            else:
                secret = await self._read_vault(at.place, workspace, owner)
                if secret is not None:
                    found[name] = at.before + secret
        return found

    def edition(self, transport: Transport, workspace: str) -> Hashable:
        """Which values everybody shares of those that a definition names."""
        known = self._editions or {}
        names = vault_names(transport)
        return tuple(known.get(_ValuePlace(workspace, name, "")) for name in names)

    def watcher(
        self, leave: Callable[[str, Collection[str]], None]
    ) -> Callable[[PolicyView], None]:
        """What hears each new view: it has `leave(principal, servers)` end what is of the past.

        That is what was started with a value of somebody's own which is another now, or is gone.
        """

        def on_view(view: PolicyView) -> None:
            for principal, servers in self._follow(view.state).items():
                leave(principal, servers)

        return on_view

    def _follow(self, state: GovernanceState) -> dict[str, frozenset[str]]:
        """Take what a new view says; the servers to leave, by whose values are others or gone."""
        # Most changes are about something else, and leave the very rows of before.
        if state.secret_values is self._seen:
            return {}
        self._seen = state.secret_values
        names = {(each.workspace, each.id): each.name for each in state.secrets}
        now = {
            _ValuePlace(each.workspace, names[each.workspace, each.secret], each.holder): (
                each.version,
                each.set_at,
            )
            for each in state.secret_values
        }
        before, self._editions = self._editions, now
        # A value that is new ends the session that could not begin without one.
        places = frozenset() if before is None else before.keys() | now.keys()
        left: dict[str, frozenset[str]] = {}
        for place in places:
            if place.holder and before is not None and before.get(place) != now.get(place):
                using = frozenset(
                    each.id
                    for each in state.servers
                    if each.workspace == place.workspace
                    and place.name in vault_names(each.transport)
                )
                left[place.holder] = left.get(place.holder, frozenset()) | using
        return left

    async def _read_vault(self, name: str, workspace: str, owner: str) -> str | None:
        def look(tx: StoreTx) -> SealedValue | None:
            return _value_for_owner(tx, WorkspaceId(workspace), name, owner)

        row = await self._store.read(look)
        if row is None:
            return None
        context = sealing_context(workspace, name, row.holder, row.version)
        parts = SealedParts(root=row.root, wrapped=row.wrapped, sealed=row.sealed)
        try:
            return await self.sealer.open(parts, context)
        except KeyMismatch as fault:
            raise KeyUnreachable(
                f"secret vault:{name} cannot be opened: {fault.detail}",
                remedy=f"See keys.vault_root, or set it anew: gatelodge secret set {name}",
            ) from None


def _value_for_owner(
    tx: StoreTx, workspace: WorkspaceId, name: str, owner: str
) -> SealedValue | None:
    """The value of that secret for whoever an instance is for; None where nobody has none.

    Raises KeyUnreachable for what an admin has to set, OwnSecretMissing for what its owner has to.
    """
    secrets = tx.find(VaultSecret, workspace=workspace, name=name)
    if not secrets:
        raise KeyUnreachable(
            f"secret vault:{name} is not in the vault of this workspace",
            remedy=f"An admin sets it: gatelodge secret set {name}",
        )
    mode = secrets[0].mode
    own = mode != "shared" and bool(owner)
    if own and is_agent(owner) != (mode == "agent"):
        kind = "an agent" if is_agent(owner) else "a member"
        raise OwnSecretMissing(
            f"secret vault:{name} is each {mode}'s own, and {kind} has none",
            remedy="Use this server as one who has a value of it.",
        )
    holder = owner if own else ""
    values = tx.find(SealedValue, workspace=workspace, secret=secrets[0].id, holder=holder)
    if values:
        return values[0]
    if mode != "shared" and not own:
        return None
    if own:
        how = "--mine" if mode == "member" else "--agent NAME"
        raise OwnSecretMissing(
            f"secret vault:{name} has no value for you yet",
            remedy=f"Set it: gatelodge secret set {name} {how}",
        )
    raise KeyUnreachable(
        f"secret vault:{name} has no value yet", remedy=f"Set it: gatelodge secret set {name}"
    )
