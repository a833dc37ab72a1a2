"""Entries with a time to live on either engine: one table, judged by the database's own clock.

The clock is the database's, because it is the only one that all nodes share. It can be set back, so
it is held against two others. An entry made later than "now" is not there. And at each sweep a node
compares how far that clock went with its own boottime, which never steps: what lives by time that
passed already is removed with all the rest. So an entry outlives its time by two seconds and the
pause of two sweeps at most. Where the clock was set back while no node ran, it does so by less than
the age of the newest entry, else the first sweep sees that too.
"""

import logging
from collections.abc import Callable
from hashlib import sha256
from typing import Any, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from msgspec import Struct
from sqlalchemy import TextClause, text

from gatelodge.adapters.store.database import Database
from gatelodge.core.errors import Invalid, LimitReached
from gatelodge.ports.ephemeral import LONGEST_SECONDS, EphemeralKind
from gatelodge.ports.world import Clock

T = TypeVar("T")

log = logging.getLogger(__name__)

_SECOND = 1_000_000
_TOLERANCE = 2 * _SECOND
"""Clocks are slewed, and answers are late: less than this is no step."""

_PRESENT = "expires_at > {now} AND made_at <= {now} + {tolerance}"
_GET = "SELECT value FROM ephemeral WHERE kind = :kind AND digest = :digest AND {present}"
_TAKE = """
    DELETE FROM ephemeral WHERE kind = :kind AND digest = :digest AND {present} RETURNING value
"""
_ROOM = """
    SELECT count(*), coalesce(sum(CASE WHEN principal = :principal THEN 1 ELSE 0 END), 0)
    FROM ephemeral WHERE kind = :kind AND digest <> :digest AND {present}
"""
_PUT = """
    INSERT INTO ephemeral (kind, digest, principal, made_at, expires_at, value)
    VALUES (:kind, :digest, :principal, {now}, {now} + :micros, :value)
    ON CONFLICT (kind, digest) DO UPDATE SET principal = excluded.principal,
        made_at = excluded.made_at, expires_at = excluded.expires_at, value = excluded.value
"""
_COUNTS = "SELECT kind, count(*) FROM ephemeral WHERE {present} GROUP BY kind ORDER BY kind"
_LOOK = """
    SELECT {now}, (SELECT max(made_at) FROM ephemeral),
        EXISTS (SELECT 1 FROM ephemeral WHERE expires_at <= {now})
"""
_REMOVE = """
    DELETE FROM ephemeral WHERE (kind, digest) IN
        (WITH gone AS (SELECT kind, digest FROM ephemeral WHERE {which})
        SELECT kind, digest FROM gone)
"""
_ALL = "1 = 1 ORDER BY kind, digest {locked}"
_OF = "principal = :principal ORDER BY kind, digest {locked}"
_EXPIRED = "expires_at <= {now} ORDER BY expires_at LIMIT :at_most {skipped}"
# On PostgreSQL several nodes remove the same rows at once: they lock them in one order, or leave to
# another what it removes already.
_LOCKS = {"sqlite": ("", ""), "postgresql": ("FOR UPDATE", "FOR UPDATE SKIP LOCKED")}
_ONE_PUT = text("SELECT pg_advisory_xact_lock(744621, hashtext(:kind))")  # of a kind, at a time
_SOME_OF = text("SELECT 1 FROM ephemeral WHERE principal = :principal LIMIT 1")
_DROP = text("DELETE FROM ephemeral WHERE kind = :kind AND digest = :digest")


class _ClockReading(Struct, frozen=True):
    """The database's clock (microseconds), and this node's before and after it was asked."""

    now: int
    newest: int
    before: float
    after: float
    expired: bool


class SqlEphemeral:
    """The port `Ephemeral` on either engine.

    Shared and mutable: `_last`, of the one task that sweeps.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._last: _ClockReading | None = None
        self._asked = CapacityLimiter(2)
        self._upkeep = CapacityLimiter(1)  # an end of access waits behind no stranger
        self._get, self._take, self._room, self._put, self._counts, self._look = (
            _bound_statement(each, database) for each in (_GET, _TAKE, _ROOM, _PUT, _COUNTS, _LOOK)
        )
        self._all, self._of, self._expired = (
            _bound_statement(_REMOVE.replace("{which}", which), database)
            for which in (_ALL, _OF, _EXPIRED)
        )

    async def put(
        self, kind: EphemeralKind, key: str, value: bytes, *, seconds: float, principal: str
    ) -> None:
        """Keep the value for that time. Raises LimitReached, Invalid, StoreDown."""
        if not 0 < seconds <= LONGEST_SECONDS:
            raise Invalid(f"{kind.name} lives between 0 and {LONGEST_SECONDS} seconds")
        if len(value) > kind.value_bytes:
            raise LimitReached(f"a value of {kind.name} has at most {kind.value_bytes} bytes")
        given = {**_named(kind, key), "principal": principal}
        row = {**given, "value": value, "micros": int(seconds * _SECOND)}

        def write() -> None:
            with self._database.write("last") as connection:
                # At READ COMMITTED two puts count without each other's row, and pass the bound.
                if self._database.dialect == "postgresql":
                    connection.execute(_ONE_PUT, {"kind": kind.name})
                total, own = connection.execute(self._room, given).one()
                _check(kind, principal, total, own)
                connection.execute(self._put, row)

        await self._run_in_thread(write)

    async def take(self, kind: EphemeralKind, key: str) -> bytes | None:
        """Read and remove; of all who ask, exactly one gets the value.

        Only a key that is there costs a write: strangers who guess keys stand in nobody's way.
        """
        given = _named(kind, key)

        def taken() -> bytes | None:
            if self._found(given) is None:
                return None
            with self._database.write("last") as connection:
                return _value(connection.execute(self._take, given).scalar_one_or_none())

        return await self._run_in_thread(taken)

    async def get(self, kind: EphemeralKind, key: str) -> bytes | None:
        """The value, which stays; None when there is none."""
        given = _named(kind, key)
        return await self._run_in_thread(lambda: self._found(given))

    async def drop(self, kind: EphemeralKind, key: str) -> None:
        """Remove the entry, if there is one."""
        given = _named(kind, key)

        def write() -> None:
            with self._database.write("last") as connection:
                connection.execute(_DROP, given)

        await self._run_in_thread(write)

    async def drop_of(self, principal: str) -> int:
        """Remove every entry of that principal; how many there were."""
        given = {"principal": principal}

        def write() -> int:
            with self._database.read() as connection:
                # Few have an entry, so an end of access seldom takes a turn as writer here.
                if connection.execute(_SOME_OF, given).first() is None:
                    return 0
            # Not last as the other writes here are: this belongs to an end of access.
            with self._database.write() as connection:
                return connection.execute(self._of, given).rowcount

        return await self._run_in_thread(write, self._upkeep)

    async def sweep(self, at_most: int) -> int:
        """Remove expired entries, or all of them when the database's clock was set back."""

        def write() -> int:
            look, last = self._looked(), self._last
            lost = _set_back(look, last)
            if lost > _TOLERANCE and look.newest:
                with self._database.write("last") as connection:
                    gone = connection.execute(self._all).rowcount
                said = "the database's clock was set back by %d s: %d short-lived entries dropped"
                log.warning(said, lost // _SECOND, gone)
            elif look.expired:
                with self._database.write("last") as connection:
                    gone = connection.execute(self._expired, {"at_most": at_most}).rowcount
            else:
                gone = 0
            # Kept last: what could not be removed is seen again at the next sweep.
            self._last = look
            return gone

        return await self._run_in_thread(write, self._upkeep)

    async def counts(self) -> dict[str, int]:
        """How many entries there are, by the name of their kind."""

        def count() -> dict[str, int]:
            with self._database.read() as connection:
                return {row[0]: row[1] for row in connection.execute(self._counts)}

        return await self._run_in_thread(count, self._upkeep)

    def _found(self, given: dict[str, str]) -> bytes | None:
        with self._database.read() as connection:
            return _value(connection.execute(self._get, given).scalar_one_or_none())

    def _looked(self) -> _ClockReading:
        with self._database.read() as connection:
            # The answer lies between two moments; `_set_back` takes those that blame it least.
            before = self._clock.boottime()
            now, newest, expired = connection.execute(self._look).one()
            return _ClockReading(now, newest or 0, before, self._clock.boottime(), bool(expired))

    async def _run_in_thread(
        self, work: Callable[[], T], limiter: CapacityLimiter | None = None
    ) -> T:
        return await anyio.to_thread.run_sync(work, limiter=limiter or self._asked)


def _bound_statement(template: str, database: Database) -> TextClause:
    """The statement in the words of the engine."""
    locked, skipped = _LOCKS[database.dialect]
    words = {"present": _PRESENT, "now": database.now, "tolerance": str(_TOLERANCE)}
    words |= {"locked": locked, "skipped": skipped}
    for word, sql in words.items():
        template = template.replace(f"{{{word}}}", sql)
    return text(template)


def _named(kind: EphemeralKind, key: str) -> dict[str, str]:
    # Keys come from outsiders too: a lone surrogate must not raise here.
    return {"kind": kind.name, "digest": sha256(key.encode("utf-8", "surrogatepass")).hexdigest()}


def _value(found: Any) -> bytes | None:
    return None if found is None else bytes(found)


def _check(kind: EphemeralKind, principal: str, total: int, own: int) -> None:
    """Raise LimitReached when there is no room for one more."""
    most = kind.per_principal if principal else kind.of_strangers
    if own < most and total < kind.total:
        return
    whose = "of one principal" if principal else "of strangers"
    held = f"{most} {whose}" if own >= most else f"{kind.total}"
    raise LimitReached(
        f"there are at most {held} entries of {kind.name} at a time",
        remedy="Use one that is open, or wait until one has expired.",
    )


def _set_back(look: _ClockReading, last: _ClockReading | None) -> int:
    """By how much the database's clock was set back at least, as far as can be told (microseconds).

    An entry from the future tells, and so does a clock that went less far than this node's.
    """
    ahead = look.newest - look.now
    if last is None:
        return ahead
    passed = int((look.before - last.after) * _SECOND)
    return max(ahead, passed - (look.now - last.now))
