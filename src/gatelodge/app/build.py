"""Builds the house from its settings: the one place that names concrete parts.

The order is the order of trust: the directory's lock, the schema, the keys that belong to it, the
logs checked against what was signed, and only then anything that serves.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from gatelodge.adapters.journal.file import FileJournal
from gatelodge.adapters.keys.disk import DiskKeys
from gatelodge.adapters.keys.peppers import HmacPeppers
from gatelodge.adapters.keys.sealing import AesSealer, DiskKeyWrap
from gatelodge.adapters.keys.secret_refs import SecretRefs
from gatelodge.adapters.keys.signer import LogSigner
from gatelodge.adapters.keys.sources import open_keys
from gatelodge.adapters.keys.system import SystemClock, SystemIds
from gatelodge.adapters.ledger import logs
from gatelodge.adapters.ledger.deks import SqlDeks
from gatelodge.adapters.ledger.guard import FileGuard
from gatelodge.adapters.ledger.inventory import SqlInventory
from gatelodge.adapters.ledger.leader import OnlyNode
from gatelodge.adapters.ledger.ledger import SqlLedger
from gatelodge.adapters.ledger.seal import HeadSeal
from gatelodge.adapters.store.database import Database, open_database
from gatelodge.adapters.store.migrate import brought_up
from gatelodge.adapters.store.nodes import SqlNodes
from gatelodge.adapters.store.place.room import Room
from gatelodge.adapters.store.store import GovLog, SqlStore
from gatelodge.app.first_start import OnceShown, check_keys, first_start, tell_durability
from gatelodge.config.schema import Settings
from gatelodge.core.errors import LogForked, StoreDown
from gatelodge.core.records.origin import GOV, Origins
from gatelodge.flows.audit.recorder import Recorder
from gatelodge.flows.audit.sequencer import Sequencer, Surroundings
from gatelodge.flows.health import Health
from gatelodge.flows.rates import Rates
from gatelodge.ports.journal import Guard, Head, Journal, Leader
from gatelodge.ports.world import Signer

GUARD = Path("guard", "signed.json")
LIVE_MS = 5_000
"""A node not seen for this long is gone."""


class Ground(Struct, frozen=True, kw_only=True):
    """What everything stands on: keys, store and logs of one data directory, open."""

    settings: Settings
    directory: Path
    node: str
    clock: SystemClock
    ids: SystemIds
    secrets: SecretRefs
    keys: DiskKeys
    signer: Signer
    peppers: HmacPeppers
    sealer: AesSealer
    database: Database
    ledger: SqlLedger
    store: SqlStore
    nodes: SqlNodes
    journal: Journal
    deks: SqlDeks
    guard: Guard
    leader: Leader
    recorder: Recorder
    sequencer: Sequencer
    health: Health
    owner_token: OnceShown
    """The owner's token when this was the first start, else empty."""

    async def others(self) -> frozenset[str]:
        """Nodes beside this one that may be running. Raises StoreDown.

        On SQLite there is none: this process holds the directory, so who was seen a moment ago is
        dead, and what they left open is closed now.
        """
        if not self.settings.store.url:
            return frozenset()
        return frozenset(each.node for each in await self.nodes.live(LIVE_MS))

    async def recover(self) -> None:
        """Make the logs whole; see `Sequencer.recover`. Raises LogForked, and says where it is."""
        try:
            with _naming(self.settings, self.directory):
                await self.sequencer.recover(await self.others())
        except LogForked as fault:
            database = (
                "the database" if self.settings.store.url else self.directory / "gatelodge.db"
            )
            where = f"looked at: {database} and {self.directory / GUARD}"
            raise LogForked(f"{fault.detail} ({where})", remedy=fault.remedy) from fault

    async def close(self) -> None:
        """Make everything durable and let go, in the reverse order of the opening."""
        self.recorder.close()
        await self.journal.close()
        await self.sequencer.settle()
        await self.store.close()
        await asyncio.to_thread(self.database.close)


async def lay(settings: Settings, *, upgrade: bool = False) -> Ground:
    """Open the data directory. Raises whatever is wrong with it, each with its remedy.

    A database of an older version is changed with `upgrade` only, after a copy of it was made.

    A crash in the middle of a first start leaves either no keys or no organization; both are made
    by the next start.
    """
    directory = await asyncio.to_thread(Path(settings.data_dir).absolute)
    secrets = SecretRefs()
    url = secrets.resolve(settings.store.url) if settings.store.url else ""
    with _naming(settings, directory):
        database = await asyncio.to_thread(open_database, url, directory)
        try:
            if not url:
                database.room = Room(directory, settings.audit.free_bytes)
                await asyncio.to_thread(database.room.tend)
            await asyncio.to_thread(lambda: brought_up(database, directory, upgrade=upgrade))
            return await _lay(settings, directory, database, secrets)
        except BaseException:
            database.close()
            raise


@contextmanager
def _naming(settings: Settings, directory: Path) -> Iterator[None]:
    """Say which database it is that fails: whoever starts the gate may know, its clients not."""
    try:
        yield
    except StoreDown as fault:
        path = directory / "gatelodge.db"
        if settings.store.url or str(directory) in fault.detail:
            raise
        raise StoreDown(f"{fault.detail}: {path}", remedy=fault.remedy) from fault


async def _lay(
    settings: Settings, directory: Path, database: Database, secrets: SecretRefs
) -> Ground:
    clock, ids = SystemClock(), SystemIds()
    node = ids.new("nod")
    gate = settings.audit.origin
    gov, origins = await asyncio.to_thread(_open_gov, database, gate)
    keys = await asyncio.to_thread(open_keys, f"file:{directory}/keys", create=gov.size == 0)
    seal = HeadSeal(keys.journal)
    ledger = SqlLedger(database.write, database.read, seal)
    notify, pause = settings.store.notify, settings.store.poll_ms / 1000
    store = SqlStore(database, _gov_log(seal), clock, node, notify=notify, poll_seconds=pause)
    peppers = HmacPeppers(keys.peppers)
    token = ""
    if gov.size == 0:
        token = await first_start(store, keys, peppers, clock, ids)
    await check_keys(ledger, keys)
    await tell_durability(ledger, store, settings.audit.durability)
    inventory = SqlInventory(database.write, database.read)
    journal, leader = await _journal(settings, directory, (ledger, keys, inventory, node), secrets)
    deks = SqlDeks((database.write, database.read), DiskKeyWrap(keys.kek), clock, ids)
    nodes = SqlNodes(database)
    health = Health(clock.boottime)
    recorder = Recorder(journal, clock, ids, deks, node, origins)
    recorder.rates = Rates(settings.limits, clock.boottime)
    surroundings = Surroundings(
        journal=journal,
        ledger=ledger,
        signer=LogSigner(keys.log, gate or "localhost"),
        guard=FileGuard(directory / GUARD),
        leader=leader,
        clock=clock,
        nodes=nodes if settings.store.url else None,
        origin=origins,
        health=health,
    )
    return Ground(
        settings=settings,
        directory=directory,
        node=node,
        clock=clock,
        ids=ids,
        secrets=secrets,
        keys=keys,
        peppers=peppers,
        sealer=AesSealer(keys.seal),
        database=database,
        ledger=ledger,
        store=store,
        nodes=nodes,
        journal=journal,
        deks=deks,
        leader=leader,
        recorder=recorder,
        sequencer=Sequencer(surroundings, settings.audit, node),
        signer=surroundings.signer,
        guard=surroundings.guard,
        health=health,
        owner_token=OnceShown(token),
    )


async def _journal(
    settings: Settings,
    directory: Path,
    of: tuple[SqlLedger, DiskKeys, SqlInventory, str],
    secrets: SecretRefs,
) -> tuple[Journal, Leader]:
    """The journal of one node on disk, or the one that several nodes share in PostgreSQL."""
    ledger, keys, inventory, node = of
    if settings.store.url:
        from gatelodge.adapters.journal.postgres import PostgresJournal
        from gatelodge.adapters.ledger.lock import PostgresLeader

        url = secrets.resolve(settings.store.url)
        return await PostgresJournal.open(url, node), PostgresLeader(url)
    used = await ledger.journal_end()
    place, size = directory / "journal", settings.audit.segment_bytes
    journal = await FileJournal.open(
        place, keys.journal, used, segment_bytes=size, inventory=inventory
    )
    return journal, OnlyNode()


def _open_gov(database: Database, gate: str) -> tuple[Head, Origins]:
    with database.write() as connection:
        origins = Origins(gate, logs.shard(connection))
        return logs.open_log(connection, GOV, origins(GOV)), origins


def _gov_log(seal: HeadSeal) -> GovLog:
    return GovLog(
        append=lambda connection, bodies: logs.append_leaves(connection, seal, GOV, bodies).size,
        read=lambda connection, start, stop: [
            leaf.body for leaf in logs.read_leaves(connection, GOV, start, stop)
        ],
        head=lambda connection: logs.head(connection, GOV).size,
    )
