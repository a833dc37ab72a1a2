"""A log of calls as a busy year leaves it, written past the gate straight into the ledger.

Leaves, tree and bundles are real, in the very form and through the very functions that the gate
writes them with. Synthetic is that nobody called: openings bear the id of a real data key, and
random bytes for what would be encrypted with it.
"""

import os
import random
from collections.abc import Iterator

import msgspec

from gatelodge.adapters.ledger import logs, tables
from gatelodge.adapters.ledger.edge import PendingAppend
from gatelodge.adapters.ledger.seal import HeadSeal
from gatelodge.adapters.store.database import Database
from gatelodge.core.ids import Instant
from gatelodge.core.instant import rfc3339
from gatelodge.ports.journal import SealedOpening

LOG, ORIGIN = "calls:wsp_bench", "localhost/calls/wsp_bench"
SEAL = HeadSeal(b"k" * 32)
MEMBERS, SERVERS, TOOLS, RULES = 200, 60, 10, 300
BEGINS = 1_767_225_600_000_000
YEAR = 365 * 86_400 * 1_000_000
SELDOM = 10
"""Records in the whole log of the tool that is seldom used."""
_PORTION = 16_384
_INTENT = (
    b'{"actor_c":"%b","at":"%b","bytes_in":%d,"call":"c_%b","decision":"allow","gov":812,'
    b'"method":"tools/call","node":"nod_0123456789abcdefghijkl","policy":"%b","proto":"2025-06-18",'
    b'"rule":"%b","server":"%b","t":"call.intent","tool":"%b","tool_def":"%b","v":2}'
)
_OUTCOME = (
    b'{"at":"%b","bytes_out":%d,"call":"c_%b","ms":%d,"node":"nod_0123456789abcdefghijkl",'
    b'"outcome":"%b","t":"call.outcome","v":1}'
)
_DENIED = (
    b'{"actor_c":"%b","at":"%b","bytes_in":%d,"call":"c_%b","decision":"deny","gov":812,'
    b'"method":"tools/call","node":"nod_0123456789abcdefghijkl","policy":"%b","proto":"2025-06-18",'
    b'"reason":"no_grant","server":"%b","t":"call.denied","tool":"%b","v":2}'
)
_ANSWERED = (
    b'{"actor_c":"%b","at":"%b","bytes_in":%d,"bytes_out":%d,"gov":812,"method":"tools/list",'
    b'"ms":%d,"node":"nod_0123456789abcdefghijkl","outcome":"ok","proto":"2025-06-18",'
    b'"t":"request.answered","v":2}'
)
_ENDS = (b"ok",) * 960 + (b"tool_error",) * 30 + (b"timeout",) * 9 + (b"revoked",)
_DIGEST = b"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def key_of(member: int, quarter: int) -> str:
    """The id of a member's data key in that quarter."""
    return f"dek_{member:04d}{quarter}00000000000000000"


class WrittenLog:
    """So many records: six of ten are calls with their ends, one is a denial, three are lists."""

    def __init__(self, records: int) -> None:
        self.records = records
        self._dice = random.Random(7)
        self._every = max(1, records // SELDOM)

    def write(self, database: Database) -> int:
        """Write it into an empty database; how many leaves there are."""
        with database.write() as connection:
            logs.open_log(connection, LOG, ORIGIN)
            keys = [
                {"id": key_of(m, q), "member": f"mem_{m:04d}", "period": f"2026-{q}"}
                for m in range(MEMBERS)
                for q in range(1, 5)
            ]
            connection.execute(tables.dek.insert(), keys)
            growth = PendingAppend(LOG, logs.edge(connection, SEAL, LOG))
        bodies: list[bytes] = []
        openings: list[bytes] = []
        for body, opening in self._leaves():
            bodies.append(body)
            openings.append(opening)
            if len(bodies) == _PORTION:
                growth = _appended(database, growth, bodies, openings)
                bodies, openings = [], []
        growth = _appended(database, growth, bodies, openings)
        return growth.edge.size

    def _leaves(self) -> Iterator[tuple[bytes, bytes]]:
        draw, below, pack = self._dice.random, self._dice.randrange, msgspec.msgpack.encode
        running: list[tuple[bytes, int]] = []
        secret = os.urandom(1 << 16)
        for number in range(self.records):
            moment = BEGINS + YEAR * number // self.records
            at = rfc3339(Instant(moment)).encode()
            quarter = 1 + 4 * number // self.records
            # A few do much, and one has left: after the first hundredth there is nothing of theirs.
            member = (
                int(draw() ** 2 * (MEMBERS - 1)) if number * 100 > self.records else MEMBERS - 1
            )
            call = b"%022d" % number
            server = below(SERVERS)
            name = b"srv_%022d" % server
            tool = (
                b"seldom" if number % self._every == 5 else b"tool_%d" % (int(draw() ** 2 * TOOLS))
            )
            place = below(1 << 15)
            opening = SealedOpening(
                key_of(member, quarter), secret[place : place + 12], secret[place : place + 150]
            )
            sealed, commitment = pack(opening), b"%044d" % (number * 7919)
            kind = draw()
            if kind < 0.1:
                yield _DENIED % (commitment, at, 900, call, _DIGEST, name, tool), sealed
                continue
            if kind < 0.4:
                yield _ANSWERED % (commitment, at, 200, 9_000, 2), sealed
                continue
            # Each server has rules of its own: a rule of one and another server never meet.
            rule = b"grn_%022d" % (server + SERVERS * below(RULES // SERVERS))
            yield (
                _INTENT % (commitment, at, 900, call, _DIGEST, rule, name, tool, _DIGEST),
                sealed,
            )
            running.append((call, number))
            # Some hundred are under way; now and then one takes long.
            if len(running) > 100:
                ended, _ = running.pop(below(40) if draw() < 0.999 else -1)
                yield _OUTCOME % (at, 2_000, ended, 40, _ENDS[below(1_000)]), b""


def _appended(
    database: Database, growth: PendingAppend, bodies: list[bytes], openings: list[bytes]
) -> PendingAppend:
    if bodies:
        growth.take(bodies, openings)
    with database.write() as connection:
        logs.write(connection, SEAL, [growth])
    return PendingAppend(LOG, growth.edge)
