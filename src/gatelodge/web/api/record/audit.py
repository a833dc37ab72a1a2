"""The records of a workspace: newest, search, one call, its proof; and the keys to check it.

Whoever reads names, or asks what one person did, leaves an `audit.read` leaf, written before the
answer is handed out: who looked at whom is as durable as what they saw.
"""

from typing import Final

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery
from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.records.leaves import CLOSES, OPENS
from gatelodge.core.records.origin import kind_of
from gatelodge.core.records.verify import ProofDocument
from gatelodge.flows.audit.reading import FoundRecords, fields
from gatelodge.flows.audit.search import AuditQuery
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.pages import LONGEST, PAGE
from gatelodge.web.api.parameters import Asks, Flag, Here, Limits, Named, Shard, from_query
from gatelodge.web.api.record.filters import (
    RecordFilter,
    ResolvedQuestion,
    aliases_of,
    log_of,
    looked_for,
)
from gatelodge.web.api.record.responses import CallDetail, RecordShape, names_of, record_shape

_READ = {"act": "audit.read"}
_MOST_STEPS: Final = 20
"""Times that one file's question reads as much of the log as a page's."""


class RecordPage(Struct, frozen=True, kw_only=True):
    """Some records, what has to be said of the question, and the cursor of what is left.

    A question reads so much at a time: with a cursor there may be fewer than `limit`, or none.
    """

    items: tuple[RecordShape, ...]
    next: str = ""
    notes: tuple[str, ...] = ()


class FollowedRecords(Struct, frozen=True, kw_only=True):
    """Records that were completed, and where to go on."""

    items: tuple[RecordShape, ...]
    next: int


class SignedHead(Struct, frozen=True, kw_only=True):
    """A log's newest signed checkpoint (C2SP signed note), empty when there is none yet."""

    log: str
    origin: str
    size: int
    checkpoint: str


class SigningKey(Struct, frozen=True):
    """The key that signs the logs, in the form that verifiers take."""

    key: str


class RecordsLook(Struct, frozen=True):
    """What is read of who called: of which log, by which question, and about which ids."""

    log: str
    what: str
    about: tuple[str, ...] = ()


@get("/audit/records", opt=_READ, dependencies={"sought": from_query(RecordFilter)})
async def search(
    place: Here,
    sought: NamedDependency[RecordFilter],
    limit: Limits = PAGE,
    cursor: Asks = "",
    *,
    who: Flag = True,
) -> RecordPage:
    """Find records, newest first, with who was behind them."""
    looked = await looked_for(place, sought, limit, cursor)
    return await _found_records(place, sought, looked, 1, who=who)


async def gathered(
    place: WorkspaceContext, sought: RecordFilter, most: int, cursor: str
) -> RecordPage:
    """So many records at most, more than one page of them, as one look that is written down once.

    As with a page there is a cursor of what is left, and there may be fewer.
    """
    looked = await looked_for(place, sought, most, cursor)
    return await _found_records(place, sought, looked, _MOST_STEPS, who=True)


@get("/audit/tail", opt=_READ)
async def tail(
    place: Here, limit: Limits = 20, after: FromQuery[int | None] = None, *, who: Flag = True
) -> FollowedRecords:
    """The newest records, oldest of them first; with `after`, what was completed since."""
    gate, log = place.gate, _log_of_workspace(place)
    look = RecordsLook(log, "tail")
    await gate.sequencer.advance()
    size = await _size_of_log(place)
    if not size:
        return FollowedRecords(items=(), next=0)
    if after is None:
        found = await gate.search.tail(log, limit)
        stop = size
    else:
        # A page of so many leaves and not records: a log of many openings must not be read through.
        stop = min(size, after + limit)
        found = await _completed_records(place, after, stop)
    items = await _shapes_of_records(place, found, look, who=who)
    return FollowedRecords(items=items, next=max(after or 0, stop))


@get("/audit/calls/{call:str}", opt=_READ)
async def show(place: Here, call: Named, shard: Shard = 0) -> CallDetail:
    """One call, with its leaves and who was behind it."""
    await place.gate.sequencer.advance()
    found = await place.gate.search.show(log_of(place, shard), call)
    look = RecordsLook(found.log, "call", (call,))
    (record,) = await _shapes_of_records(place, (found,), look, who=True)
    leaves = {found.index: found.leaf}
    if found.close_index is not None and found.closer is not None:
        leaves[found.close_index] = found.closer
    return CallDetail(record=record, log=found.log, leaves=leaves)


@get("/audit/calls/{call:str}/proof", opt={"act": "audit.export"})
async def prove(
    place: Here, call: Named, shard: Shard = 0, *, named: Flag = False
) -> ProofDocument:
    """The proof file of a call; it verifies without this gate, and names nobody unless asked to.

    With `named` it holds the opening, which shows who called to everybody who gets the file.
    """
    log = log_of(place, shard)
    if named:
        # Before the prover opens who called; what is no call of this log is refused unwritten.
        await place.gate.search.reading.find(log, call)
        await written_down(place, RecordsLook(log, "proof", (call,)), 1)
    return await place.gate.prover.prove(log, call, named=named)


@get("/audit/checkpoints", opt=_READ)
async def checkpoints(place: Here) -> tuple[SignedHead, ...]:
    """The newest signed checkpoints of the gov log and of this workspace's calls log."""
    found = []
    for head in await place.gate.ledger.heads():
        # Logs of earlier shards too: what stands in them is proven as before (decision 0017).
        if kind_of(head.log) in {"gov", _log_of_workspace(place)}:
            signed = await place.gate.ledger.checkpoint(head.log)
            text = signed.decode() if signed else ""
            found.append(
                SignedHead(log=head.log, origin=head.origin, size=head.size, checkpoint=text)
            )
    return tuple(found)


@get("/audit/key", opt=_READ)
async def key(place: Here) -> SigningKey:
    """The key that signs the logs, for verifiers."""
    return SigningKey(place.gate.vkey)


async def _found_records(
    place: WorkspaceContext,
    sought: RecordFilter,
    looked: ResolvedQuestion,
    steps: int,
    *,
    who: bool,
) -> RecordPage:
    """What matches, found in so many steps at most, and named once all of it is written down."""
    query = looked.query
    # What was acknowledged may still wait in the journal, and whoever asks at once has to find it.
    await place.gate.sequencer.advance()
    found: list[FoundRecords] = []
    before: int | None = None
    # The present log is made with its first record; one of an earlier shard is there, or refused.
    if sought.shard or await _size_of_log(place):
        for _ in range(steps):
            left = min(LONGEST, query.limit - len(found))
            step = await place.gate.search.search(
                replace(query, limit=left, before=query.before if before is None else before)
            )
            found += step.found
            before = step.before
            if before is None or len(found) >= query.limit:
                break
    look = RecordsLook(query.log, "records", _ids_asked_about(sought, query))
    items = await _shapes_of_records(place, tuple(found), look, who=who, personal=query.personal)
    return RecordPage(items=items, next="" if before is None else str(before), notes=looked.notes)


async def _completed_records(
    place: WorkspaceContext, start: int, stop: int
) -> tuple[FoundRecords, ...]:
    """The records that ended, or needed no end, between two places of the log."""
    log, gate = _log_of_workspace(place), place.gate
    found: list[FoundRecords] = []
    for leaf in await gate.ledger.leaves(log, start, stop):
        here = fields(leaf)
        kind = str(here.get("t"))
        if kind in OPENS:
            continue  # told when it has ended
        if CLOSES.get(kind) == "call":
            call = await gate.search.reading.find(log, str(here.get("call")))
            opener = call.opener
            found.append(
                FoundRecords(
                    log=log,
                    index=opener.index,
                    leaf=fields(opener),
                    close_index=leaf.index,
                    closer=here,
                )
            )
        else:
            found.append(FoundRecords(log=log, index=leaf.index, leaf=here))
    return tuple(found)


async def _shapes_of_records(
    place: WorkspaceContext,
    found: tuple[FoundRecords, ...],
    look: RecordsLook,
    *,
    who: bool,
    personal: bool = False,
) -> tuple[RecordShape, ...]:
    """The outer shapes, with names when `who`; what tells of a person is written down first.

    The answer to a `personal` question does so without names, and when it is that there is nothing.
    """
    gate = place.gate
    # A record without a commitment has no opening, so showing it tells nothing of a person.
    named = who and any(each.leaf.get("actor_c") for each in found)
    if named or personal:
        # A crash behind this leaves the leaf of a look that nobody had; the other way round it
        # would leave a look without a leaf.
        await written_down(place, look, len(found))
    names = await gate.read(lambda tx: names_of(tx, place))
    # Only where a name is missing: the gov log is looked through for it.
    if any(str(each.leaf.get("server", "")) not in names.servers for each in found):
        ever = await aliases_of(gate.ledger, place.id)
        gone = {each: f"{alias} (removed)" for each, alias in ever.items()}
        names = replace(names, servers={**gone, **names.servers})
    shapes: list[RecordShape] = []
    # A file holds many of them: a part at a time, so that calls beside it go on.
    for start in range(0, len(found), LONGEST):
        rows = found[start : start + LONGEST]
        if named:
            rows = await gate.search.naming.with_names(rows)
        shapes += (record_shape(each, names) for each in rows)
    return tuple(shapes)


def _ids_asked_about(who: RecordFilter, query: AuditQuery) -> tuple[str, ...]:
    # Not those of a group: they may be more than a leaf holds. Nor what nobody found to be an id.
    agents = query.principals or () if who.agent else ()
    return (*(query.members or ()), *agents, *filter(None, (query.credential,)))


async def written_down(place: WorkspaceContext, look: RecordsLook, records: int) -> None:
    """Record that somebody reads who called, before they do."""
    await place.gate.change(
        place.caller,
        lambda act: act.record(
            "audit.read",
            place.id,
            log=look.log,
            what=look.what,
            about=list(look.about),
            records=records,
        ),
    )


async def _size_of_log(place: WorkspaceContext) -> int:
    """The size of the workspace's log; it is made with its first record."""
    heads = await place.gate.ledger.heads()
    return next((head.size for head in heads if head.log == _log_of_workspace(place)), 0)


def _log_of_workspace(place: WorkspaceContext) -> str:
    return f"calls:{place.id}"


ROUTES = (search, tail, show, prove, checkpoints, key)
