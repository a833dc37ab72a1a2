"""The search index on SQLite or PostgreSQL: rows of one term and one chunk each."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from sqlalchemy import Connection, Table, bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gatelodge.adapters.ledger.ledger import Session
from gatelodge.adapters.ledger.search import tables
from gatelodge.core.errors import Conflict
from gatelodge.core.searching.places import CHUNK, bits_of, end_behind, packed_bits, with_end
from gatelodge.ports.search_index import (
    EndedLater,
    IndexedChunk,
    IndexReach,
    IndexWindow,
    Terms,
)

T = TypeVar("T")

_ENDS = "ends"
"""Where ends are kept: all other terms have a colon."""
_OPEN = "outcome:open"
_BOUND = 500
"""An engine limits how many values one statement may bind."""
_FEW = 32
"""Terms of a group whose newest chunk is asked for each by itself, to skip what holds none."""

_log, _term = tables.index_log, tables.index_term
_posting, _open = tables.index_posting, tables.index_open

_LIVE = select(_log).where(_log.c.dropped == 0)
_STILL = select(_log.c.position).where(_log.c.id == bindparam("of"), _log.c.dropped == 0)
_MOVE = (
    update(_log)
    .where(
        _log.c.id == bindparam("which"),
        _log.c.position == bindparam("before"),
        _log.c.dropped == 0,
    )
    .values(position=bindparam("position"), root=bindparam("root"))
)
_IDS = select(_term.c.id, _term.c.term).where(
    _term.c.of == bindparam("of"), _term.c.term.in_(bindparam("terms", expanding=True))
)
_NEWEST = select(func.max(_posting.c.chunk)).where(
    _posting.c.term == bindparam("term"), _posting.c.chunk <= bindparam("top")
)
_WITHIN = select(_posting.c.chunk, _posting.c.places).where(
    _posting.c.term.in_(bindparam("terms", expanding=True)),
    _posting.c.chunk.between(bindparam("bottom"), bindparam("top")),
)
_ONE = select(_posting.c.places).where(
    _posting.c.term == bindparam("term"), _posting.c.chunk == bindparam("chunk")
)
_WAITING = select(_open.c.pair, _open.c.place).where(
    _open.c.of == bindparam("of"), _open.c.pair.in_(bindparam("pairs", expanding=True))
)
_ENDED = delete(_open).where(
    _open.c.of == bindparam("of"), _open.c.pair.in_(bindparam("pairs", expanding=True))
)
_OF_CHUNK = (
    select(_term.c.term, _posting.c.places)
    .join(_posting, _posting.c.term == _term.c.id)
    .where(_term.c.of == bindparam("of"), _posting.c.chunk == bindparam("chunk"))
)


def _inserts_unless_there(table: Table) -> dict[str, Any]:
    return {
        "sqlite": sqlite.insert(table).on_conflict_do_nothing(),
        "postgresql": postgresql.insert(table).on_conflict_do_nothing(),
    }


def _upserts(table: Table, key: tuple[str, ...]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql)):
        given = dialect.insert(table)
        rest = {each.name: given.excluded[each.name] for each in table.c if each.name not in key}
        made[name] = given.on_conflict_do_update(index_elements=key, set_=rest)
    return made


_NEW_TERMS = _inserts_unless_there(_term)
_PUT_POSTING = _upserts(_posting, ("term", "chunk"))
_PUT_OPEN = _upserts(_open, ("of", "pair"))


class SqlSearchIndex:
    """The port `SearchIndex`. Work runs in worker threads, one writer at a time.

    `write` is a transaction that others go before: nobody waits for the index. `_ids` are the terms
    known to stand in the database, of one index; guarded by the one writer.
    """

    def __init__(self, write: Session, read: Session) -> None:
        self._write, self._read = write, read
        self._filling, self._reading = CapacityLimiter(1), CapacityLimiter(2)

    async def reaches(self) -> tuple[IndexReach, ...]:
        """How far each log's index has got."""
        return await self._reads(lambda c: tuple(map(_reach, c.execute(_LIVE))))

    async def make(self, log: str, origin: str) -> IndexReach:
        """Begin the index of a log; the one that was begun, if there is one."""

        def put(connection: Connection) -> IndexReach:
            there = _LIVE.where(_log.c.log == log)
            row = connection.execute(there).one_or_none()
            if row is None:
                fresh = {"origin": origin, "position": 0, "root": b"", "dropped": 0}
                connection.execute(_log.insert(), {"log": log, **fresh})
                row = connection.execute(there).one()
            return _reach(row)

        return await self._writes(put)

    async def append(self, reach: IndexReach, chunk: IndexedChunk) -> IndexReach:
        """Take up the next chunk, all of it or nothing. Raises Conflict: it is at another place."""
        return await self._writes(lambda c: _append(c, reach, chunk))

    async def window(
        self, reach: IndexReach, groups: Sequence[Terms], chunks: tuple[int, int], width: int
    ) -> IndexWindow | None:
        """The newest places within these chunks, first and last, where each group has a term."""
        return await self._reads(lambda c: _window(c, reach.id, groups, chunks, width))

    async def ends(self, reach: IndexReach, openers: Sequence[int]) -> Mapping[int, int]:
        """How many leaves behind these openers their ends stand, 0 = not yet; as far as known."""
        return await self._reads(lambda c: _ends_of(c, reach.id, openers))

    async def chunk(self, reach: IndexReach, chunk: int) -> Mapping[str, bytes]:
        """The postings of a chunk, as they are kept."""
        given = {"of": reach.id, "chunk": chunk}
        rows = await self._reads(lambda c: c.execute(_OF_CHUNK, given).all())
        return {row.term: bytes(row.places) for row in rows if row.term != _ENDS}

    async def drop(self, reach: IndexReach) -> None:
        """Forget it: from now on it is not found; its rows go with `sweep`."""
        gone = update(_log).where(_log.c.id == reach.id).values(dropped=1)
        await self._writes(lambda c: c.execute(gone))

    async def sweep(self, limit: int) -> int:
        """Remove so many rows of what was dropped; how many there were."""
        dropped = select(_log.c.id).where(_log.c.dropped == 1).order_by(_log.c.id).limit(1)
        # Asked by a reader first: mostly there is nothing, and no writer's turn is taken for that.
        of = await self._reads(lambda c: c.execute(dropped).scalar_one_or_none())
        return 0 if of is None else await self._writes(lambda c: _sweep(c, of, limit))

    async def _writes(self, work: Callable[[Connection], T]) -> T:
        def inside() -> T:
            with self._write() as connection:
                return work(connection)

        # What was committed must be known as such by whoever is cancelled.
        with anyio.CancelScope(shield=True):
            made = await anyio.to_thread.run_sync(inside, limiter=self._filling)
        return made  # noqa: RET504 - a cancel scope may swallow, so mypy wants it here

    async def _reads(self, work: Callable[[Connection], T]) -> T:
        def inside() -> T:
            with self._read() as connection:
                return work(connection)

        return await anyio.to_thread.run_sync(inside, limiter=self._reading)


def _reach(row: Any) -> IndexReach:
    return IndexReach(row.id, row.log, row.origin, row.position, bytes(row.root))


def _append(connection: Connection, reach: IndexReach, chunk: IndexedChunk) -> IndexReach:
    position = (chunk.number + 1) * CHUNK
    move = {"which": reach.id, "before": chunk.number * CHUNK}
    moved = connection.execute(_MOVE, {**move, "position": position, "root": chunk.root})
    if moved.rowcount != 1:
        raise Conflict(f"the index of {reach.log} is at another place")
    dialect, at = connection.dialect.name, chunk.number
    later = _settled(connection, reach.id, chunk.ended)
    named = {**chunk.postings, _ENDS: chunk.ends}
    every = {*named, *(term for each in later for term in (*each.terms, _OPEN))}
    ids = _made_ids(connection, reach.id, every)
    rows = [{"term": ids[name], "chunk": at, "places": kept} for name, kept in named.items()]
    connection.execute(_PUT_POSTING[dialect], rows)
    if later:
        connection.execute(_PUT_POSTING[dialect], _changed_rows(connection, ids, later))
    if chunk.opened:
        waiting = [{"of": reach.id, "pair": p, "place": n} for p, n in chunk.opened.items()]
        connection.execute(_PUT_OPEN[dialect], waiting)
    return IndexReach(reach.id, reach.log, reach.origin, position, chunk.root)


class _Settled:
    """An opener of an earlier chunk whose end was found: its place, the end's, and the terms."""

    def __init__(self, place: int, end: EndedLater) -> None:
        self.chunk, self.offset = divmod(place, CHUNK)
        self.behind = end.place - place
        self.terms = end.terms


def _settled(connection: Connection, of: int, ended: Mapping[str, EndedLater]) -> list[_Settled]:
    found: list[_Settled] = []
    for some in _portions(ended):
        given = {"of": of, "pairs": some}
        rows = connection.execute(_WAITING, given).all()
        found += [_Settled(row.place, ended[row.pair]) for row in rows]
        connection.execute(_ENDED, given)
    return found


def _changed_rows(
    connection: Connection, ids: Mapping[str, int], later: Iterable[_Settled]
) -> list[dict[str, Any]]:
    """The rows of earlier chunks with what ended since: open no more, and ended as it did."""
    bits: dict[tuple[str, int], int] = {}
    ends: dict[int, bytes] = {}

    def change(term: str, each: _Settled, *, there: bool) -> None:
        key = (term, each.chunk)
        if key not in bits:
            bits[key] = bits_of(_places(connection, ids[term], each.chunk))
        one = 1 << each.offset
        bits[key] = bits[key] | one if there else bits[key] & ~one

    for each in later:
        change(_OPEN, each, there=False)
        for term in each.terms:
            change(term, each, there=True)
        kept = ends.get(each.chunk) or _places(connection, ids[_ENDS], each.chunk)
        ends[each.chunk] = with_end(kept, each.offset, each.behind)
    rows = [
        {"term": ids[term], "chunk": chunk, "places": packed_bits(value)}
        for (term, chunk), value in bits.items()
    ]
    return rows + [
        {"term": ids[_ENDS], "chunk": chunk, "places": kept} for chunk, kept in ends.items()
    ]


def _window(
    connection: Connection,
    of: int,
    groups: Sequence[Terms],
    chunks: tuple[int, int],
    width: int,
) -> IndexWindow | None:
    # In the snapshot of the rows below: an index that is dropped meanwhile is not half found.
    if connection.execute(_STILL, {"of": of}).one_or_none() is None:
        return None
    first, last = chunks
    known = [[*_ids(connection, of, group).values()] for group in groups]
    top: int | None = last
    for ids in known:
        top = None if top is None else _newest(connection, ids, top)
    if top is None or top < first:
        return IndexWindow(first, ())
    bottom = max(first, top - width + 1)
    both: dict[int, int] | None = None
    for ids in sorted(known, key=len):
        here: dict[int, int] = {}
        for some in _portions(ids):
            given = {"terms": some, "bottom": bottom, "top": top}
            for chunk, places in connection.execute(_WITHIN, given):
                if both is None or chunk in both:
                    here[chunk] = here.get(chunk, 0) | bits_of(bytes(places))
        both = here if both is None else {n: both[n] & bits for n, bits in here.items()}
    found = [(n, bits) for n, bits in (both or {}).items() if bits]
    return IndexWindow(bottom, tuple(sorted(found, reverse=True)))


def _newest(connection: Connection, ids: Sequence[int], top: int) -> int | None:
    """The newest chunk, up to `top`, that can hold one of these terms; None when none does."""
    if not ids:
        return None
    if len(ids) > _FEW:
        return top
    told = [connection.execute(_NEWEST, {"term": each, "top": top}).scalar() for each in ids]
    return max((int(each) for each in told if each is not None), default=None)


def _ends_of(connection: Connection, of: int, openers: Sequence[int]) -> dict[int, int]:
    found: dict[int, int] = {}
    term = _ids(connection, of, (_ENDS,)).get(_ENDS)
    if term is None:
        return found
    for chunk, some in groupby(sorted(openers), lambda place: place // CHUNK):
        kept = _places(connection, term, chunk)
        for place in some:
            behind = end_behind(kept, place % CHUNK)
            if behind is not None:
                found[place] = behind
    return found


def _places(connection: Connection, term: int, chunk: int) -> bytes:
    found = connection.execute(_ONE, {"term": term, "chunk": chunk}).scalar_one_or_none()
    return b"" if found is None else bytes(found)


def _ids(connection: Connection, of: int, terms: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for some in _portions(terms):
        for row in connection.execute(_IDS, {"of": of, "terms": some}):
            found[row.term] = row.id
    return found


def _made_ids(connection: Connection, of: int, terms: Iterable[str]) -> dict[str, int]:
    """The ids of these terms; those that are new get one."""
    wanted = {*terms}
    found = _ids(connection, of, wanted)
    fresh = [{"of": of, "term": each} for each in sorted(wanted - found.keys())]
    if not fresh:
        return found
    connection.execute(_NEW_TERMS[connection.dialect.name], fresh)
    return _ids(connection, of, wanted)


def _sweep(connection: Connection, of: int, limit: int) -> int:
    gone = 0
    while gone < limit:
        term = connection.execute(select(_term.c.id).where(_term.c.of == of).limit(1)).scalar()
        if term is None:
            break
        some = select(_posting.c.chunk).where(_posting.c.term == term).limit(limit - gone)
        here = delete(_posting).where(_posting.c.term == term, _posting.c.chunk.in_(some))
        rows = connection.execute(here).rowcount
        if rows < limit - gone:
            connection.execute(delete(_term).where(_term.c.id == term))
        gone += rows + 1
    if gone < limit:
        connection.execute(delete(_open).where(_open.c.of == of))
        connection.execute(delete(_log).where(_log.c.id == of))
    return gone


def _portions(of: Iterable[T]) -> Iterator[list[T]]:
    every = list(of)
    for start in range(0, len(every), _BOUND):
        yield every[start : start + _BOUND]
