"""A whole logbook of one gate, from recorder to fsck, on real files or a real PostgreSQL.

`Logbook.open` is a process start, `crash` its end without a word, `close` an orderly end.
"""

import asyncio
import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tests.fakes.world import CountedIds, StillClock
from tests.ledgers import SEAL, Sessions

from gatelodge.adapters.journal.file import FileJournal
from gatelodge.adapters.journal.postgres import PostgresJournal
from gatelodge.adapters.ledger import logs
from gatelodge.adapters.ledger.deks import SqlDeks
from gatelodge.adapters.ledger.guard import FileGuard
from gatelodge.adapters.ledger.leader import OnlyNode
from gatelodge.adapters.ledger.lock import PostgresLeader
from gatelodge.config.schema import AuditSettings
from gatelodge.core.instant import rfc3339
from gatelodge.core.records.governance import GovFact, gov_leaf
from gatelodge.core.records.leaves import CallDenied, CallIntent, CallOutcome
from gatelodge.core.records.origin import GOV, LogOrigins, calls_log
from gatelodge.flows.audit.check.fsck import LedgerExamination, LedgerFsck
from gatelodge.flows.audit.prove import ProofMaker
from gatelodge.flows.audit.recorder import AuditRecorder, RecordedCaller
from gatelodge.flows.audit.search import AuditSearch
from gatelodge.flows.audit.sequencer import LogSequencer, SequencerPorts
from gatelodge.flows.health import NodeHealth

LOG = calls_log("wsp_1")
ANN = RecordedCaller("mem_ann", "mem_ann", credential="crd_1", client="claude-code 2.1")
CI = RecordedCaller("agt_ci", "mem_bob", agent="agt_ci", credential="crd_2", client="ci")
ORIGINS = LogOrigins("gate.example.com")
SETTINGS = AuditSettings(origin="gate.example.com", sequence_ms=20, checkpoint_ms=100)


class SeededSigner:
    """The log key of a test."""

    def __init__(self, seed: int = 1, name: str = "gate.example.com") -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        self.name = name
        form = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.public = self._key.public_key().public_bytes(*form)

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


class PlainWrap:
    """A key-encryption key of a test."""

    def __init__(self) -> None:
        self._key = AESGCM(b"w" * 32)

    def wrap(self, key: bytes, context: bytes) -> bytes:
        nonce = os.urandom(12)
        return nonce + self._key.encrypt(nonce, key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        return self._key.decrypt(wrapped[:12], wrapped[12:], context)


class TimedIds(CountedIds):
    """Call ids as the real ones are made: the clock's milliseconds, then a count."""

    def __init__(self, clock: StillClock) -> None:
        super().__init__()
        self._clock = clock

    def call(self) -> str:
        from base64 import urlsafe_b64encode

        octets = (self._clock.now() // 1000).to_bytes(6, "big") + os.urandom(10)
        return "c_" + urlsafe_b64encode(octets).rstrip(b"=").decode()

    def random(self, size: int) -> bytes:
        return os.urandom(size)


class Logbook:
    """The parts, wired as the app wires them."""

    def __init__(self, place: Path, sessions: Sessions, node: str, url: str = "") -> None:
        self.place, self.sessions, self.node, self.url = place, sessions, node, url
        self.clock = StillClock()
        self.ids = TimedIds(self.clock)
        self.ledger = sessions.ledger()
        self.guard = FileGuard(place / "guard.json")
        wrap = PlainWrap()
        self.deks = SqlDeks((sessions.write, sessions.read), wrap, self.clock, self.ids)
        self.search = AuditSearch(self.ledger, self.deks)
        self.signer = SeededSigner()
        self.journal: FileJournal | PostgresJournal
        self.recorder: AuditRecorder
        self.sequencer: LogSequencer
        self.prover: ProofMaker

    @classmethod
    async def open(
        cls,
        place: Path,
        sessions: Sessions,
        node: str = "nod_1",
        url: str = "",
        *,
        disk=None,
        ledger=None,
        nodes=None,
    ) -> "Logbook":
        book = cls(place, sessions, node, url)
        book.ledger = ledger or book.ledger
        if url:
            book.journal = await PostgresJournal.open(url, node)
            leader = PostgresLeader(url)
        else:
            start = await book.ledger.journal_end()
            book.journal = await FileJournal.open(
                place / "journal", b"k" * 32, start, segment_bytes=1, disk=disk
            )
            leader = OnlyNode()
        ports = SequencerPorts(
            journal=book.journal,
            ledger=book.ledger,
            signer=book.signer,
            guard=book.guard,
            leader=leader,
            clock=book.clock,
            nodes=nodes,
            origin=ORIGINS,
            health=NodeHealth(book.clock.boottime),
        )
        book.sequencer = LogSequencer(ports, SETTINGS, node)
        book.recorder = AuditRecorder(book.journal, book.clock, book.ids, book.deks, node, ORIGINS)
        book.search = AuditSearch(book.ledger, book.deks)
        book.prover = ProofMaker(book.ledger, book.deks, book.sequencer)
        for who in (ANN, CI):
            await book.deks.ensure(who.member)
        return book

    async def crash(self) -> None:
        """The process is gone: what the journal has not made durable is lost."""
        await self.journal.close()
        await self.sequencer._ports.leader.resign()

    async def close(self) -> None:
        self.recorder.close()
        await self.journal.close()
        await self.sequencer.settle()

    async def begun(self, who: RecordedCaller = ANN, tool: str = "read", log: str = LOG) -> str:
        """A durable intent; returns the call's id."""
        durable = asyncio.get_running_loop().create_future()
        call = self.recorder.intent(log, who, intent(tool), durable)
        await asyncio.wait_for(durable, 10)
        return call

    async def ended(self, call: str, outcome: str = "ok", log: str = LOG) -> None:
        durable = asyncio.get_running_loop().create_future()
        ending = CallOutcome(call=call, bytes_out=10, ms=5, outcome=outcome)
        self.recorder.outcome(log, "srv_1", ending, durable)
        await asyncio.wait_for(durable, 10)

    async def called(
        self, who: RecordedCaller = ANN, tool: str = "read", outcome: str = "ok"
    ) -> str:
        call = await self.begun(who, tool)
        await self.ended(call, outcome)
        return call

    async def denied(self, who: RecordedCaller = ANN, tool: str = "drop") -> str:
        durable = asyncio.get_running_loop().create_future()
        denial = CallDenied(
            bytes_in=9,
            gov=3,
            method="tools/call",
            policy="p1",
            proto="2025-06-18",
            reason="no_grant",
            server="srv_1",
            tool=tool,
        )
        call = self.recorder.denied(LOG, who, denial, durable)
        await asyncio.wait_for(durable, 10)
        return call

    async def governed(self, **fact) -> None:
        """A leaf in the gov log, as a change of who may do what leaves one."""
        fact = GovFact(by="mem_ann", **fact)
        leaf = gov_leaf(fact, rfc3339(self.clock.now()), self.node)
        with self.sessions.write() as connection:
            logs.open_log(connection, GOV, ORIGINS(GOV))
            logs.append_leaves(connection, SEAL, GOV, [leaf])

    async def bodies(self, log: str = LOG) -> list[bytes]:
        return [leaf.body for leaf in await self.ledger.leaves(log, 0, 1 << 40)]

    async def examined(self, live: frozenset[str] | None = None) -> LedgerExamination:
        fsck = LedgerFsck(self.ledger, self.sequencer.checkpoints, self.guard, self.deks)
        nodes = frozenset({self.node}) if live is None else live

        async def living() -> frozenset[str]:
            return nodes

        return await fsck.examine(living)


def intent(tool: str = "read") -> CallIntent:
    return CallIntent(
        bytes_in=9,
        gov=3,
        method="tools/call",
        policy="p1",
        proto="2025-06-18",
        rule="grn_1",
        server="srv_1",
        tool=tool,
        tool_def="d" * 64,
    )
