"""The first start: keys enrolled, the workspace `main`, its owner and their token, all at once."""

import msgspec
from msgspec import Struct, field

from gatelodge.adapters.keys.disk import DiskKeys
from gatelodge.adapters.keys.peppers import HmacPeppers
from gatelodge.adapters.keys.system import SystemClock, SystemIds
from gatelodge.adapters.ledger.ledger import SqlLedger
from gatelodge.adapters.store.store import SqlStore
from gatelodge.core.errors import Conflict
from gatelodge.core.records.governance import GovFact
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.admin import workspaces
from gatelodge.flows.identity.keys import enrol, enrolled
from gatelodge.ports.store import StoreTx
from gatelodge.ports.world import Clock, FreshIds

OWNER = "owner@localhost"
UNSEEN = (
    "the owner's token of a first start was not shown; make another: "
    f"gatelodge token create --member {OWNER}"
)
_ENROLLED = '"t":"key.enrolled"'
_DURABILITY = '"t":"settings.durability_changed"'
_EVER = 10_000
_WHOLE = (0, 1 << 55)


class HouseWorld(Struct, frozen=True, kw_only=True):
    """The time and the ids of a house, and how its first workspace is called once it is founded."""

    clock: Clock = field(default_factory=SystemClock)
    ids: FreshIds = field(default_factory=SystemIds)
    called: str = "Main"


class OnceShown:
    """A secret that is shown once and printed never."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def put(self, secret: str) -> None:
        """Have another one shown."""
        self._secret = secret

    def take(self) -> str:
        """The secret the first time, empty from then on."""
        secret, self._secret = self._secret, ""
        return secret

    def __repr__(self) -> str:
        return "OnceShown(***)" if self._secret else "OnceShown()"


async def first_start(
    store: SqlStore, keys: DiskKeys, peppers: HmacPeppers, world: HouseWorld
) -> str:
    """Found the organization; returns the owner's token, empty when another node was first."""

    def found(tx: StoreTx) -> str:
        act = GovernanceAct(tx=tx, by="system", at=world.clock.now(), ids=world.ids)
        house = (OWNER, "Owner", world.called)
        return workspaces.start(act, peppers, keys.fingerprints(), *house).token

    try:
        token, _ = await store.change(found)
    except Conflict:
        return ""
    return token


async def tell_durability(ledger: SqlLedger, store: SqlStore, mode: str) -> None:
    """Record how records become durable, whenever that differs from what was recorded last."""
    told = await ledger.containing("gov", _DURABILITY, _WHOLE, _EVER)
    last = msgspec.json.decode(told[-1].body, type=_Told).subject.mode if told else "strict"
    if last != mode:
        fact = GovFact(t="settings.durability_changed", by="system", subject={"mode": mode})
        await store.change(lambda tx: tx.record(fact))


class _Mode(msgspec.Struct):
    mode: str


class _Told(msgspec.Struct):
    subject: _Mode


async def check_keys(
    ledger: SqlLedger, store: SqlStore, keys: DiskKeys, clock: Clock, ids: FreshIds
) -> None:
    """Raise KeyMismatch unless every key that the gov log enrolled is on disk; enrol new ones."""
    # Keys that this start made are looked at too: on PostgreSQL another node may have founded the
    # house first, with keys of its own.
    known = await _enrolled_keys(ledger)
    keys.check(known)
    new = {name: each for name, each in keys.fingerprints().items() if name not in known}
    if new:
        await store.change(
            lambda tx: enrol(GovernanceAct(tx=tx, by="system", at=clock.now(), ids=ids), new)
        )
        # Another node may have enrolled other keys under these names since.
        keys.check(await _enrolled_keys(ledger))


async def _enrolled_keys(ledger: SqlLedger) -> dict[str, str]:
    # JSON escapes the quotes in a text of somebody's, so no name and no reason passes for this
    # member; the reader looks at the type of each leaf again.
    leaves = await ledger.containing("gov", _ENROLLED, _WHOLE, _EVER)
    return enrolled(leaf.body for leaf in leaves)
