"""The Merkle logs as statements on a connection whose transaction somebody else opened.

The governance store appends its leaf inside its own transaction with these; the ledger appends
whole batches. Whoever appends holds the lock of the log's head row until the transaction ends, so
indexes have no gaps and no reader sees half a batch.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, LargeBinary, Table, bindparam, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gatelodge.adapters.ledger import tables
from gatelodge.adapters.ledger.edge import PartialBundle, PendingAppend, RightEdge
from gatelodge.adapters.ledger.seal import HeadSeal
from gatelodge.core.errors import Conflict, LogForked, NotFound
from gatelodge.core.records.origin import GOV, shard_of
from gatelodge.ports.journal import AppendedLeaves, LeafAt, LedgerHead, SealedOpening
from gatelodge.tlog.errors import MalformedValue, ProofFailed
from gatelodge.tlog.merkle import EMPTY_ROOT, joined
from gatelodge.tlog.proof import Node, tile_reader
from gatelodge.tlog.strict import HASH_BYTES
from gatelodge.tlog.tile import WIDTH, unpack_entries

_log, _bundle, _tile = tables.log, tables.bundle, tables.tile
_opening = msgspec.msgpack.Decoder(SealedOpening).decode


def _upserts_by_dialect(table: Table, key: tuple[str, ...]) -> dict[str, Any]:
    """Insert or replace by key, for each dialect; what may change is told by the triggers."""
    rest = [column.name for column in table.columns if column.name not in key]
    statements: dict[str, Any] = {}
    for dialect in (sqlite, postgresql):
        inserted = dialect.insert(table)
        statements[dialect.__name__.rpartition(".")[2]] = inserted.on_conflict_do_update(
            index_elements=key, set_={name: inserted.excluded[name] for name in rest}
        )
    return statements


_HEAD = select(_log).where(_log.c.id == bindparam("log"))
_LOCK_HEAD = select(_log).where(_log.c.id == bindparam("log"))
_LOCK_HEAD = _LOCK_HEAD.with_for_update()
_MOVE = (
    update(_log)
    .where(_log.c.id == bindparam("which"), _log.c.size == bindparam("before"))
    .values(size=bindparam("size"), root=bindparam("root"), seal=bindparam("head_seal"))
)
_MOVE_FLOOR = _MOVE.values(open_floor=bindparam("floor"))
_TILE = select(_tile.c.hashes).where(
    _tile.c.log == bindparam("log"),
    _tile.c.level == bindparam("level"),
    _tile.c.n == bindparam("n"),
)
_BUNDLE = select(_bundle).where(_bundle.c.log == bindparam("log"), _bundle.c.n == bindparam("n"))
_BUNDLES = (
    select(_bundle.c.n, _bundle.c.entries, _bundle.c.openings)
    .where(_bundle.c.log == bindparam("log"), _bundle.c.n.between(bindparam("a"), bindparam("b")))
    .order_by(_bundle.c.n)
)
_SOME_BUNDLES = (
    select(_bundle.c.n, _bundle.c.entries, _bundle.c.openings)
    .where(_bundle.c.log == bindparam("log"), _bundle.c.n.in_(bindparam("some", expanding=True)))
    .order_by(_bundle.c.n)
)
_AT_ONCE = 16
"""Bundles in memory at a time, some 150 kB each."""
_SEEK = select(func.min(_bundle.c.n)).where(
    _bundle.c.log == bindparam("log"), _bundle.c.last_at >= bindparam("at")
)
_SEEK_END = (
    select(_bundle.c.n)
    .where(_bundle.c.log == bindparam("log"), _bundle.c.first_at < bindparam("at"))
    .order_by(_bundle.c.n.desc())
    .limit(1)
)
_TIMES = select(_bundle.c.first_at, _bundle.c.last_at).where(
    _bundle.c.log == bindparam("log"), _bundle.c.n == bindparam("n")
)
_PUT_TILE = _upserts_by_dialect(_tile, ("log", "level", "n"))
_PUT_BUNDLE = _upserts_by_dialect(_bundle, ("log", "n"))
_TEXT = bindparam("text", type_=LargeBinary)
_HOLDS = {
    "sqlite": func.instr(_bundle.c.entries, _TEXT) > 0,
    "postgresql": func.pg_catalog.position(_bundle.c.entries, _TEXT) > 0,
}
_HOLDING = {
    dialect: _BUNDLES.where(holds).limit(bindparam("limit")) for dialect, holds in _HOLDS.items()
}


def open_log(connection: Connection, log: str, origin: str) -> LedgerHead:
    """Create the log when it is not there yet; returns its head. Raises Conflict: other origin."""
    row = connection.execute(_HEAD, {"log": log}).one_or_none()
    if row is None:
        kind = log.partition(":")[0]
        empty = {"size": 0, "root": EMPTY_ROOT, "open_floor": 0}
        connection.execute(_log.insert(), {"id": log, "origin": origin, "kind": kind, **empty})
        return LedgerHead(log, origin, 0, EMPTY_ROOT)
    # Checkpoints that others keep bear this origin: under another one they would prove nothing.
    if row.origin != origin:
        raise Conflict(
            f"the log {log} was opened under another origin",
            remedy="Set audit.origin back to what it was; it names the logs.",
        )
    return head_of(row)


def shard(connection: Connection) -> str:
    """Which shard the house writes; empty for the first, also before there is any log."""
    row = connection.execute(_HEAD, {"log": GOV}).one_or_none()
    return "" if row is None else shard_of(row.origin)


def head(connection: Connection, log: str) -> LedgerHead:
    """The log's present end. Raises NotFound."""
    row = connection.execute(_HEAD, {"log": log}).one_or_none()
    if row is None:
        raise NotFound(f"there is no log {log}")
    return head_of(row)


def heads(connection: Connection, seal: HeadSeal) -> list[LedgerHead]:
    """Every log's head, by id."""
    return [head_of(row, seal) for row in connection.execute(select(_log).order_by(_log.c.id))]


def head_of(row: Any, seal: HeadSeal | None = None) -> LedgerHead:
    """A row of `log` as a value; with `seal`, whether this house appended up to there."""
    root = bytes(row.root)
    sealed = seal is None or seal.fits(row.origin, row.size, root, row.seal)
    return LedgerHead(row.id, row.origin, row.size, root, row.open_floor, sealed)


def append_leaves(
    connection: Connection,
    seal: HeadSeal,
    log: str,
    bodies: Sequence[bytes],
    openings: Sequence[bytes] | None = None,
) -> AppendedLeaves:
    """Append leaves to an open log; `openings` are packed SealedOpenings, empty for none.

    Nothing is visible to anybody before the transaction commits, and all of it after. Raises
    NotFound (no such log), LogForked (a stored tile does not belong to the head) and Malformed (a
    leaf of more than 65,535 bytes).
    """
    growth = PendingAppend(log, edge(connection, seal, log))
    growth.take(bodies, openings)
    return write(connection, seal, [growth])[log]


def edge(connection: Connection, seal: HeadSeal, log: str) -> RightEdge:
    """The log's right edge; locks its head row where the engine has row locks.

    Raises NotFound, and LogForked when the rows do not belong together or bear no seal of ours:
    nothing is appended behind leaves that somebody else wrote.
    """
    row = connection.execute(_LOCK_HEAD, {"log": log}).one_or_none()
    if row is None:
        raise NotFound(f"there is no log {log}")
    if not seal.fits(row.origin, row.size, bytes(row.root), row.seal):
        raise LogForked(f"the last leaves of {log} were not appended by this gate")
    n, filled = divmod(row.size, WIDTH)
    held = PartialBundle()
    if filled:
        found = connection.execute(_BUNDLE, {"log": log, "n": n}).one_or_none()
        if found is None or found.width != filled:
            raise LogForked(f"the last bundle of {log} does not fit its head")
        packed = bytes(found.entries), bytes(found.openings)
        held = PartialBundle(filled, *packed, found.first_at, found.last_at)
    tiles: dict[int, bytes] = {}
    level, size = 0, row.size
    while size:
        size, filled = divmod(size, WIDTH)
        tiles[level] = tile(connection, log, level, size) if filled else b""
        if len(tiles[level]) != filled * HASH_BYTES:
            raise LogForked(f"a tile of {log} does not fit its head")
        level += 1
    found_edge = RightEdge(row.size, tiles, held, row.origin)
    # The seal covers size and root alone; the tiles, of which proofs are made, are held to it here.
    if found_edge.root != bytes(row.root):
        raise LogForked(f"the tiles of {log} do not add up to its head")
    return found_edge


def write(
    connection: Connection,
    seal: HeadSeal,
    grown: Sequence[PendingAppend],
    floors: Mapping[str, int] | None = None,
) -> dict[str, AppendedLeaves]:
    """Write what grew, and the open floors of some; Conflict when a log has moved meanwhile.

    The heads come first and in the order of their ids: whoever else appends waits there, and two
    appenders never wait for each other.
    """
    landed: dict[str, AppendedLeaves] = {}
    for growth in sorted(grown, key=lambda each: each.log):
        end, root = growth.edge, growth.edge.root
        given = {
            "which": growth.log,
            "before": growth.first,
            "size": end.size,
            "root": root,
            "head_seal": seal.make(end.origin, end.size, root),
        }
        if floors is None or growth.log not in floors:
            moved = connection.execute(_MOVE, given)
        else:
            moved = connection.execute(_MOVE_FLOOR, {**given, "floor": floors[growth.log]})
        # A kept edge is older than this transaction: the statement compares the sizes.
        if moved.rowcount != 1:
            raise Conflict(f"somebody else appended to {growth.log}")
        landed[growth.log] = AppendedLeaves(growth.first, end.size, root)
    dialect = connection.dialect.name
    connection.execute(_PUT_BUNDLE[dialect], [row for each in grown for row in each.bundles])
    connection.execute(_PUT_TILE[dialect], [row for each in grown for row in each.tiles])
    return landed


def read_leaves(connection: Connection, log: str, start: int, stop: int) -> list[LeafAt]:
    """Leaves with start <= index < stop, as far as there are any."""
    if stop <= start:
        return []
    span = {"log": log, "a": start // WIDTH, "b": (stop - 1) // WIDTH}
    return [
        leaf
        for row in connection.execute(_BUNDLES, span)
        for leaf in _leaves_of_bundle(
            row, max(start, row.n * WIDTH), min(stop, (row.n + 1) * WIDTH)
        )
    ]


def leaves_at(connection: Connection, log: str, places: Sequence[int]) -> list[LeafAt]:
    """The leaves at these places, as far as there are any, in the order of the log."""
    found: list[LeafAt] = []
    ordered = sorted(set(places))
    wanted = sorted({place // WIDTH for place in ordered})
    for start in range(0, len(wanted), _AT_ONCE):
        given = {"log": log, "some": wanted[start : start + _AT_ONCE]}
        for row in connection.execute(_SOME_BUNDLES, given):
            low, high = row.n * WIDTH, (row.n + 1) * WIDTH
            here = ordered[bisect_left(ordered, low) : bisect_left(ordered, high)]
            for place in here:
                found += _leaves_of_bundle(row, place, place + 1)
    return found


def containing(
    connection: Connection, log: str, wanted: bytes, span: tuple[int, int], limit: int
) -> list[LeafAt]:
    """The first leaves of the span whose bytes hold `wanted`; the engine does the looking."""
    start, stop = span
    found: list[LeafAt] = []
    statement = _HOLDING[connection.dialect.name]
    first = start // WIDTH
    # One row more than is wanted tells whether the engine stopped at its limit.
    given = {"log": log, "b": (stop - 1) // WIDTH, "text": wanted, "limit": limit + 1}
    while len(found) < limit:
        rows = connection.execute(statement, {**given, "a": first}).all()
        for row in rows:
            every = _leaves_of_bundle(
                row, max(start, row.n * WIDTH), min(stop, (row.n + 1) * WIDTH)
            )
            # The engine looks at whole bundles, and finds what lies across two leaves, too.
            found += [leaf for leaf in every if wanted in leaf.body]
        if len(rows) <= limit:
            break
        first = rows[-1].n + 1
    return found[:limit]


def _leaves_of_bundle(row: Any, start: int, stop: int) -> list[LeafAt]:
    try:
        bodies = unpack_entries(bytes(row.entries))
    except MalformedValue as fault:
        raise LogForked(f"bundle {row.n} is not in its form") from fault
    try:
        sealed = unpack_entries(bytes(row.openings))
    except MalformedValue:
        sealed = []
    base = row.n * WIDTH
    # The tree does not cover openings: whoever cuts their list takes names away, and no leaf.
    sealed += [b""] * (len(bodies) - len(sealed))
    return [
        LeafAt(base + i, bodies[i], _decoded_sealed_opening(sealed[i]))
        for i in range(start - base, min(stop - base, len(bodies)))
    ]


def _decoded_sealed_opening(sealed: bytes) -> SealedOpening | None:
    try:
        return _opening(sealed) if sealed else None
    except msgspec.DecodeError:
        return None  # the tree does not cover openings; one that cannot be read is one that is gone


def tile(connection: Connection, log: str, level: int, n: int) -> bytes:
    """The hashes of a tile, empty when it is not there."""
    found = connection.execute(_TILE, {"log": log, "level": level, "n": n}).scalar_one_or_none()
    return b"" if found is None else bytes(found)


def bundle(connection: Connection, log: str, n: int) -> bytes:
    """The packed entries of a bundle, empty when it is not there."""
    found = connection.execute(_BUNDLE, {"log": log, "n": n}).one_or_none()
    return b"" if found is None else bytes(found.entries)


def seek(connection: Connection, log: str, at: str) -> int:
    """An index at or before every leaf whose time is `at` or later, the size if none is.

    Clocks differ and jump, so times in a log do not rise: a bundle counts by its latest.
    """
    n = connection.execute(_SEEK, {"log": log, "at": at}).scalar_one_or_none()
    return head(connection, log).size if n is None else int(n) * WIDTH


def seek_end(connection: Connection, log: str, at: str) -> int:
    """An index beyond every leaf whose time is before `at`: a bundle counts by its earliest."""
    n = connection.execute(_SEEK_END, {"log": log, "at": at}).scalar_one_or_none()
    return 0 if n is None else min((int(n) + 1) * WIDTH, head(connection, log).size)


def times(connection: Connection, log: str, n: int) -> tuple[str, str]:
    """The first and last time in a bundle as they are kept beside it; empty: no such bundle."""
    row = connection.execute(_TIMES, {"log": log, "n": n}).one_or_none()
    return ("", "") if row is None else (row.first_at, row.last_at)


def nodes(connection: Connection, log: str, size: int) -> Node:
    """A node callable over the tree of `size`; raises LogForked when its tiles are not whole."""
    read = tile_reader(lambda level, n: tile(connection, log, level, n), size)

    def node(level: int, index: int) -> bytes:
        try:
            return read(level, index)
        except (MalformedValue, ProofFailed) as fault:
            raise LogForked(f"the tiles of {log} do not reach size {size}") from fault

    return node


def root_at(connection: Connection, log: str, size: int) -> bytes:
    """The root over the first `size` leaves, from the tiles. Raises LogForked."""
    node = nodes(connection, log, size)
    edges: list[bytes] = []
    start = 0
    while start < size:
        level = (size - start).bit_length() - 1
        edges.append(node(level, start >> level))
        start += 1 << level
    return joined(edges)
