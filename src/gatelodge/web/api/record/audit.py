"""The records of a workspace: newest, search, one call, its proof; and the keys to check it.

Whoever reads names leaves an `audit.read` leaf, written before the names are handed out: who
looked at whom is as durable as what they saw.
"""

import re

from litestar import get
from litestar.di import NamedDependency, Provide
from litestar.params import FromQuery
from msgspec import Struct

from gatelodge.core.errors import Invalid
from gatelodge.core.ids import Instant
from gatelodge.core.instant import rfc3339
from gatelodge.core.records.leaves import CLOSES, OPENS
from gatelodge.core.records.verify import ProofDocument
from gatelodge.flows.audit.search import Found, Query, fields
from gatelodge.ports.store import Tx
from gatelodge.web.api import named
from gatelodge.web.api.gate import Place
from gatelodge.web.api.given import Asks, Flag, Here, Limits, Named
from gatelodge.web.api.pages import PAGE, Page
from gatelodge.web.api.record.shapes import CallDetail, RecordShape, names_of, record_shape

_AGO = re.compile(r"([1-9]\d{0,5})([mhdw])")
_UNITS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_READ = {"act": "audit.read"}


class What(Struct, frozen=True, kw_only=True):
    """What is looked for; empty means everything. `outcome` is also denied, or unresolved."""

    member: str
    server: str
    tool: str
    outcome: str
    type: str


class When(Struct, frozen=True):
    """Between which times: RFC 3339, or `2h` and `7d` ago; empty means always."""

    since: str
    until: str


class Follow(Struct, frozen=True, kw_only=True):
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


async def _what(
    member: Asks = "",
    server: Asks = "",
    tool: Asks = "",
    outcome: Asks = "",
    type: Asks = "",  # noqa: A002 - the field's name in a leaf
) -> What:
    return What(member=member, server=server, tool=tool, outcome=outcome, type=type)


async def _when(since: Asks = "", until: Asks = "") -> When:
    return When(since, until)


@get(
    "/audit/records",
    opt=_READ,
    dependencies={"what": Provide(_what), "when": Provide(_when)},
)
async def search(
    place: Here,
    what: NamedDependency[What],
    when: NamedDependency[When],
    limit: Limits = PAGE,
    cursor: Asks = "",
    *,
    who: Flag = True,
) -> Page[RecordShape]:
    """Find records, newest first, with who was behind them."""
    query = await _query(place, what, when, (limit, cursor))
    await place.gate.sequencer.advance()
    if not await _size(place):
        return Page(items=())
    found = await place.gate.search.search(query)
    items = await _shown(place, found.found, "records", who=who)
    return Page(items=items, next="" if found.before is None else str(found.before))


@get("/audit/tail", opt=_READ)
async def tail(
    place: Here, limit: Limits = 20, after: FromQuery[int | None] = None, *, who: Flag = True
) -> Follow:
    """The newest records, oldest of them first; with `after`, what was completed since."""
    gate, log = place.gate, _log(place)
    await gate.sequencer.advance()
    size = await _size(place)
    if not size:
        return Follow(items=(), next=0)
    if after is None:
        found = await gate.search.tail(log, limit)
        return Follow(items=await _shown(place, found, "tail", who=who), next=size)
    stop = min(size, after + limit)
    found = await _completed(place, after, stop)
    return Follow(items=await _shown(place, found, "tail", who=who), next=max(after, stop))


@get("/audit/calls/{call:str}", opt=_READ)
async def show(place: Here, call: Named) -> CallDetail:
    """One call, with its leaves and who was behind it."""
    await place.gate.sequencer.advance()
    found = await place.gate.search.show(_log(place), call)
    (record,) = await _shown(place, (found,), "call", who=True)
    leaves = {found.index: found.leaf}
    if found.close_index is not None and found.closer is not None:
        leaves[found.close_index] = found.closer
    return CallDetail(record=record, log=found.log, leaves=leaves)


@get("/audit/calls/{call:str}/proof", opt={"act": "audit.export"})
async def prove(place: Here, call: Named) -> ProofDocument:
    """The proof file of a call; it verifies without this gate, and names nobody."""
    return await place.gate.prover.prove(_log(place), call)


@get("/audit/checkpoints", opt=_READ)
async def checkpoints(place: Here) -> tuple[SignedHead, ...]:
    """The newest signed checkpoints of the gov log and of this workspace's calls log."""
    found = []
    for head in await place.gate.ledger.heads():
        if head.log in {"gov", _log(place)}:
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


async def _query(place: Place, sought: What, when: When, asked: tuple[int, str]) -> Query:
    limit, cursor = asked
    now = place.gate.clock.now()
    if cursor and not cursor.isdecimal():
        raise Invalid("cursor: not one that this list gave out")

    def look(tx: Tx) -> tuple[tuple[str, ...], str]:
        who = named.members(tx, place.id, sought.member) if sought.member else []
        return tuple(each.id for each in who), _server(tx, place, sought.server)

    members, server = await place.gate.read(look)
    denied = sought.outcome == "denied"
    return Query(
        log=_log(place),
        since=_moment(when.since, now),
        until=_moment(when.until, now),
        type="call.denied" if denied else sought.type,
        server=server,
        tool=sought.tool,
        outcome="" if denied else sought.outcome,
        members=members,
        limit=limit,
        before=int(cursor) if cursor else None,
    )


def _server(tx: Tx, place: Place, text: str) -> str:
    """The id behind an alias; an id is taken as it is, since a removed server has records too."""
    if not text or text.startswith("srv_"):
        return text
    return named.server(tx, place.id, text).id


async def _completed(place: Place, start: int, stop: int) -> tuple[Found, ...]:
    """The records that ended, or needed no end, between two places of the log."""
    log, gate = _log(place), place.gate
    found: list[Found] = []
    for leaf in await gate.ledger.leaves(log, start, stop):
        here = fields(leaf)
        kind = str(here.get("t"))
        if kind in OPENS:
            continue  # told when it has ended
        if CLOSES.get(kind) == "call":
            call = await gate.search.find(log, str(here.get("call")))
            opener = call.opener
            found.append(
                Found(
                    log=log,
                    index=opener.index,
                    leaf=fields(opener),
                    close_index=leaf.index,
                    closer=here,
                )
            )
        else:
            found.append(Found(log=log, index=leaf.index, leaf=here))
    return tuple(found)


async def _shown(
    place: Place, found: tuple[Found, ...], what: str, *, who: bool
) -> tuple[RecordShape, ...]:
    """The outer shapes; with `who`, the reading is written down first."""
    gate = place.gate
    rows = found
    if who and any(each.leaf.get("actor_c") for each in found):
        await gate.change(
            place.caller,
            lambda act: act.record(
                "audit.read", place.id, log=_log(place), what=what, records=len(found)
            ),
        )
        rows = await gate.search.with_names(found)
    names = await gate.read(lambda tx: names_of(tx, place))
    return tuple(record_shape(each, names, named=who) for each in rows)


async def _size(place: Place) -> int:
    """The size of the workspace's log; it is made with its first record."""
    heads = await place.gate.ledger.heads()
    return next((head.size for head in heads if head.log == _log(place)), 0)


def _log(place: Place) -> str:
    return f"calls:{place.id}"


def _moment(text: str, now: Instant) -> str:
    ago = _AGO.fullmatch(text)
    if ago is None:
        return text
    return rfc3339(Instant(now - int(ago[1]) * _UNITS[ago[2]] * 1_000_000))


ROUTES = (search, tail, show, prove, checkpoints, key)
