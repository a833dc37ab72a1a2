"""Builds the house from its settings: the one place that names concrete parts.

The order is the order of trust: the directory's lock, the schema, the keys that belong to it, the
logs checked against what was signed, and only then anything that serves.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from anyio import Lock
from msgspec import Struct, field

from gatelodge.adapters.aside import opened_aside
from gatelodge.adapters.journal.file import FileJournal
from gatelodge.adapters.keys.disk import DiskKeys
from gatelodge.adapters.keys.peppers import HmacPeppers
from gatelodge.adapters.keys.sealing import AesSealer, DiskKeyWrap
from gatelodge.adapters.keys.secret_refs import SecretRefs
from gatelodge.adapters.keys.signer import LogSigner
from gatelodge.adapters.keys.sources import open_keys
from gatelodge.adapters.keys.vault.resolver import ServerSecrets
from gatelodge.adapters.ledger import logs
from gatelodge.adapters.ledger.deks import SqlDeks
from gatelodge.adapters.ledger.guard import FileGuard
from gatelodge.adapters.ledger.inventory import SqlInventory
from gatelodge.adapters.ledger.leader import OnlyNode
from gatelodge.adapters.ledger.ledger import SqlLedger
from gatelodge.adapters.ledger.seal import HeadSeal
from gatelodge.adapters.store.database import Database, open_database
from gatelodge.adapters.store.migrate import brought_up
from gatelodge.adapters.store.place.room import DiskRoom
from gatelodge.adapters.store.shared.ephemeral import SqlEphemeral
from gatelodge.adapters.store.shared.jobs import SqlJobs
from gatelodge.adapters.store.shared.nodes import SqlNodes
from gatelodge.adapters.store.store import GovLog, SqlStore
from gatelodge.app.first_start import (
    HouseWorld,
    OnceShown,
    check_keys,
    first_start,
    tell_durability,
)
from gatelodge.app.keeping.closing import ClosingStep, closed_if_it_fails, each_in_turn
from gatelodge.app.keeping.vault import open_vault
from gatelodge.config.schema import Settings
from gatelodge.core.errors import LogForked, StoreDown
from gatelodge.core.records.origin import GOV, LogOrigins
from gatelodge.flows.audit.check.fsck import LedgerFsck
from gatelodge.flows.audit.recorder import AuditRecorder
from gatelodge.flows.audit.sequencer import LogSequencer, SequencerPorts
from gatelodge.flows.health import NodeHealth
from gatelodge.flows.jobs.kinds import FSCK, JobKind, JobWork
from gatelodge.flows.jobs.ledger_check import LedgerCheck
from gatelodge.flows.jobs.runner import JobPorts, JobRunner
from gatelodge.flows.rates import PersonRates
from gatelodge.ports.journal import HeadGuard, Journal, LeaderElection, LedgerHead
from gatelodge.ports.world import CheckpointSigner, Clock, FreshIds

GUARD = Path("guard", "signed.json")
_Opened = Callable[[ClosingStep], None]
_Place = tuple[Path, Database, SecretRefs]
LIVE_MS = 5_000
"""A node not seen for this long is gone."""


class OpenResources(Struct, frozen=True, kw_only=True):
    """What everything stands on: keys, store and logs of one data directory, open."""

    settings: Settings
    directory: Path
    node: str
    clock: Clock
    ids: FreshIds
    secrets: ServerSecrets
    keys: DiskKeys
    signer: CheckpointSigner
    peppers: HmacPeppers
    sealer: AesSealer
    database: Database
    ledger: SqlLedger
    store: SqlStore
    nodes: SqlNodes
    ephemeral: SqlEphemeral
    journal: Journal
    deks: SqlDeks
    guard: HeadGuard
    leader: LeaderElection
    recorder: AuditRecorder
    sequencer: LogSequencer
    health: NodeHealth
    origins: Mapping[str, str] = {}
    """Where each setting was found, by its key; nothing where nobody said it."""
    turn: Lock = field(default_factory=Lock)
    """Held while a step of a large question to the logs is read: they take turns."""
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
        """Make the logs whole (`LogSequencer.recover`). Raises LogForked, and says where it is."""
        try:
            with _name_failing_database(self.settings, self.directory):
                await self.sequencer.recover(await self.others())
        except LogForked as fault:
            database = (
                "the database" if self.settings.store.url else self.directory / "gatelodge.db"
            )
            where = f"looked at: {database} and {self.directory / GUARD}"
            raise LogForked(f"{fault.detail} ({where})", remedy=fault.remedy) from fault

    def job_runner(self, others: Mapping[JobKind, JobWork]) -> JobRunner:
        """Make what runs the jobs: each kind with the parts that do its work."""

        async def live() -> frozenset[str]:
            return frozenset(each.node for each in await self.nodes.live(LIVE_MS))

        fsck = LedgerFsck(self.ledger, self.sequencer.checkpoints, self.guard, self.deks, self.turn)
        ports = JobPorts(
            table=SqlJobs(self.database),
            sealer=self.sealer,
            clock=self.clock,
            ids=self.ids,
            node=self.node,
            sequencer=self.sequencer,
        )
        return JobRunner(ports, {FSCK: LedgerCheck(fsck, self.sequencer, live).run, **others})

    async def close(self) -> None:
        """Tell the others, make everything durable and let go, in the reverse order of the opening.

        Every part is let go of, whatever the others raise. Raises StoreDown, LedgerDown, LogForked.
        """
        await each_in_turn(
            # Whoever ends access on another node waits for this one until it has left.
            partial(self.nodes.leave, self.node),
            self.recorder.close,
            self.journal.close,
            # Behind the journal, when no record can come any more: what is signed then is the
            # whole.
            self.sequencer.settle,
            self.store.close,
            partial(asyncio.to_thread, self.database.close),
        )


async def lay(
    settings: Settings, *, upgrade: bool = False, world: HouseWorld | None = None
) -> OpenResources:
    """Open the data directory. Raises whatever is wrong with it, each with its remedy.

    A database of an older version is changed with `upgrade` only, after a copy of it was made.

    A crash in the middle of a first start leaves either no keys or no organization; both are made
    by the next start.
    """
    directory = await asyncio.to_thread(Path(settings.data_dir).absolute)
    secrets = SecretRefs()
    url = secrets.resolve(settings.store.url) if settings.store.url else ""
    with _name_failing_database(settings, directory):
        database = await opened_aside(partial(open_database, url, directory), Database.close)
        async with closed_if_it_fails(partial(asyncio.to_thread, database.close)) as opened:
            if not url:
                database.room = DiskRoom(directory, settings.audit.free_bytes)
                await asyncio.to_thread(database.room.tend)
            await asyncio.to_thread(lambda: brought_up(database, directory, upgrade=upgrade))
            place = (directory, database, secrets)
            return await _build_ground(settings, world or HouseWorld(), place, opened)


@contextmanager
def _name_failing_database(settings: Settings, directory: Path) -> Iterator[None]:
    """Say which database it is that fails: whoever starts the gate may know, its clients not."""
    try:
        yield
    except StoreDown as fault:
        path = directory / "gatelodge.db"
        if settings.store.url or str(directory) in fault.detail:
            raise
        raise StoreDown(f"{fault.detail}: {path}", remedy=fault.remedy) from fault


async def _build_ground(
    settings: Settings, world: HouseWorld, place: _Place, opened: _Opened
) -> OpenResources:
    """The rest of the ground; `opened` is told how each part is closed, in their order."""
    directory, database, secrets = place
    clock, ids, gate, node = world.clock, world.ids, settings.audit.origin, world.ids.new("nod")
    gov, origins = await asyncio.to_thread(_open_gov, database, gate)
    keys = await asyncio.to_thread(open_keys, f"file:{directory}/keys", create=gov.size == 0)
    seal = HeadSeal(keys.journal)
    ledger = SqlLedger(database.write, database.read, seal)
    store = _make_store(settings, database, seal, clock, node)
    opened(store.close)
    peppers = HmacPeppers(keys.peppers)
    token = await first_start(store, keys, peppers, world) if gov.size == 0 else ""
    await check_keys(ledger, store, keys, clock, ids)
    await tell_durability(ledger, store, settings.audit.durability)
    journal, leader = await _open_journal_and_leader(
        settings, directory, ledger, keys, database, node=node, secrets=secrets
    )
    opened(journal.close)
    deks = SqlDeks((database.write, database.read), DiskKeyWrap(keys.kek), clock, ids)
    nodes, health = SqlNodes(database), NodeHealth(clock.boottime)
    recorder = AuditRecorder(journal, clock, ids, deks, node, origins)
    recorder.rates = PersonRates(settings.limits, clock.boottime)
    surroundings = SequencerPorts(
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
    return OpenResources(
        settings=settings,
        directory=directory,
        node=node,
        clock=clock,
        ids=ids,
        secrets=ServerSecrets(store, open_vault(settings, keys, secrets)),
        keys=keys,
        peppers=peppers,
        sealer=AesSealer(keys.seal),
        database=database,
        ledger=ledger,
        store=store,
        nodes=nodes,
        ephemeral=SqlEphemeral(database, clock),
        journal=journal,
        deks=deks,
        leader=leader,
        recorder=recorder,
        sequencer=LogSequencer(surroundings, settings.audit, node),
        signer=surroundings.signer,
        guard=surroundings.guard,
        health=health,
        owner_token=OnceShown(token),
    )


def _make_store(
    settings: Settings, database: Database, seal: HeadSeal, clock: Clock, node: str
) -> SqlStore:
    notify, pause = settings.store.notify, settings.store.poll_ms / 1000
    return SqlStore(database, _gov_log(seal), clock, node, notify=notify, poll_seconds=pause)


async def _open_journal_and_leader(
    settings: Settings,
    directory: Path,
    ledger: SqlLedger,
    keys: DiskKeys,
    database: Database,
    *,
    node: str,
    secrets: SecretRefs,
) -> tuple[Journal, LeaderElection]:
    """The journal of one node on disk, or the one that several nodes share in PostgreSQL."""
    if settings.store.url:
        from gatelodge.adapters.journal.postgres import PostgresJournal
        from gatelodge.adapters.ledger.lock import PostgresLeader

        url = secrets.resolve(settings.store.url)
        return await PostgresJournal.open(url, node), PostgresLeader(url)
    used, inventory = await ledger.journal_end(), SqlInventory(database.write, database.read)
    place, size = directory / "journal", settings.audit.segment_bytes
    journal = await FileJournal.open(
        place, keys.journal, used, segment_bytes=size, inventory=inventory
    )
    return journal, OnlyNode()


def _open_gov(database: Database, gate: str) -> tuple[LedgerHead, LogOrigins]:
    with database.write() as connection:
        origins = LogOrigins(gate, logs.shard(connection))
        return logs.open_log(connection, GOV, origins(GOV)), origins


def _gov_log(seal: HeadSeal) -> GovLog:
    return GovLog(
        append=lambda connection, bodies: logs.append_leaves(connection, seal, GOV, bodies).size,
        read=lambda connection, start, stop: [
            leaf.body for leaf in logs.read_leaves(connection, GOV, start, stop)
        ],
        head=lambda connection: logs.head(connection, GOV).size,
    )
