"""What was recorded about whoever asks: their own calls, and the changes that name them.

Everybody may ask it, of themselves only. What a refusal hid stays hidden here: a record says that
something was denied, and not what is there; and of others nobody learns more than that it was not
oneself.
"""

from typing import Any, Final

from litestar import get
from msgspec import Struct
from msgspec.structs import asdict, replace

from gatelodge.core.errors import Invalid, LimitReached
from gatelodge.core.people import Group
from gatelodge.core.records.origin import GOV, calls_log
from gatelodge.flows.audit.changes import ChangeQuery, RecordedChange
from gatelodge.flows.audit.reading import FoundRecords
from gatelodge.flows.audit.search import AuditQuery
from gatelodge.flows.nouns import lookup
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.pages import LONGEST, PAGE
from gatelodge.web.api.parameters import Asks, Here, Limits
from gatelodge.web.api.people.shards import gathered, newest_first
from gatelodge.web.api.record.audit import RecordsLook, written_down
from gatelodge.web.api.record.responses import RecordNames, RecordShape, names_of, record_shape

_TOLD: Final = frozenset(
    (
        "tool_changed",
        "approval_denied",
        "quota",
        "audit_unavailable",
        "header_mismatch",
        "missing_capability",
    )
)
"""Why a call was denied, where the answer to the call said so too."""
_DENIED: Final = "call.denied"
_PAGES: Final = 20
"""Pages of the longest kind that the question of a file is answered with."""
_SHOWN: Final = ("role", "level", "expires_at", "label", "kind", "reason", "what", "records")
"""Fields of a change that say something of whom it is about, and nothing of anybody else."""


class OwnRecord(RecordShape, frozen=True, kw_only=True):
    """One record of the caller's; `shard` is an earlier shard of the log, 0 the present one.

    Of one whose opening was changed it says that it is "damaged", and when it was: whose it is
    cannot be shown.
    """

    shard: int = 0


class OwnRecords(Struct, frozen=True, kw_only=True):
    """The caller's own records, newest first, and the cursor of what is left."""

    items: tuple[OwnRecord, ...]
    next: str = ""


class OwnChange(Struct, frozen=True, kw_only=True):
    """One change that names the caller; `by` is yourself or somebody else.

    `group` is the group that they came into or left; `told` are fields that concern them; `shard`
    is an earlier shard of the log, 0 the present one.
    """

    index: int
    at: str
    type: str
    by: str
    group: str = ""
    told: dict[str, Any] = {}
    shard: int = 0


class OwnChanges(Struct, frozen=True, kw_only=True):
    """The changes that name the caller, newest first, and the cursor of what is left."""

    items: tuple[OwnChange, ...]
    next: str = ""


@get("/recorded/calls", opt={"act": "access.own"})
async def own_calls(place: Here, limit: Limits = PAGE, cursor: Asks = "") -> OwnRecords:
    """What the log of calls says of the caller and their agents. The look is recorded.

    After the present log those from before restores are read.
    """
    return await gathered_calls(place, limit, cursor, pages=1)


async def gathered_calls(
    place: WorkspaceContext, most: int, cursor: str, *, pages: int = _PAGES
) -> OwnRecords:
    """The same, of more than a page; it is one look, and recorded as one."""
    me, gate = _myself(place), place.gate
    log = calls_log(place.id)

    async def look(
        each: str, before: int | None, limit: int
    ) -> tuple[tuple[FoundRecords, ...], int | None, int]:
        query = AuditQuery(log=each, members=(me,), limit=limit, before=before)
        told = await gate.search.search(query)
        return told.found, told.before, told.read

    with gate.questions.by(me):
        _count_look(place, me)
        await gate.sequencer.advance()
        found = await gathered(
            lambda limit, at: newest_first(gate.ledger, log, (limit, at), look),
            most,
            pages,
            cursor,
        )
        await written_down(place, RecordsLook(log, "own", (me,)), len(found.found))
        names = await gate.read(lambda tx: names_of(tx, place))
        items: list[OwnRecord] = []
        # A file holds many of them: a part at a time, so that calls beside it go on.
        for start in range(0, len(found.found), LONGEST):
            part = found.found[start : start + LONGEST]
            named = await gate.search.naming.with_names(each for _, each in part)
            shards = (shard for shard, _ in part)
            items += (
                _own_record(each, shard, names)
                for shard, each in zip(shards, named, strict=True)
                # Under a member's key stand records of theirs alone; whatever else would be
                # somebody else's.
                if each.gone or (each.who is not None and each.who.member == me)
            )
    return OwnRecords(items=tuple(items), next=found.next)


@get("/recorded/changes", opt={"act": "access.own"})
async def own_changes(place: Here, limit: Limits = PAGE, cursor: Asks = "") -> OwnChanges:
    """What the log of changes says of the caller: roles, groups, grants, tokens, who looked.

    After the present log those from before restores are read.
    """
    return await gathered_changes(place, limit, cursor, pages=1)


async def gathered_changes(
    place: WorkspaceContext, most: int, cursor: str, *, pages: int = _PAGES
) -> OwnChanges:
    """The same, of more than a page, which counts as a look: it is as much reading."""
    me, gate = _myself(place), place.gate

    async def look(
        each: str, before: int | None, limit: int
    ) -> tuple[tuple[RecordedChange, ...], int | None, int]:
        query = ChangeQuery(log=each, workspace=place.id, about=(me,), limit=limit, before=before)
        told = await gate.changes.search(query)
        return told.found, told.before, told.read

    with gate.questions.by(me):
        if pages > 1:
            _count_look(place, me)
        found = await gathered(
            lambda limit, at: newest_first(gate.ledger, GOV, (limit, at), look),
            most,
            pages,
            cursor,
        )
    groups = await gate.read(lambda tx: lookup.names(tx, place.id, Group))
    return OwnChanges(
        items=tuple(_own_change(each, shard, me, groups) for shard, each in found.found),
        next=found.next,
    )


def _myself(place: WorkspaceContext) -> str:
    if place.caller.local:
        raise Invalid(
            "an operator on this machine is no member, so nothing is recorded under their name",
            remedy="See `gatelodge audit search` and `gatelodge audit changes search`.",
        )
    return place.caller.by


def _count_look(place: WorkspaceContext, me: str) -> None:
    """Raise LimitReached for a look that comes too early.

    It costs a leaf or much reading. Changes of one's own are counted apart: whoever looked too
    often can still end their token.
    """
    now = place.gate.clock.boottime()
    early = place.gate.own_looks.too_early(me, now)
    if early:
        raise LimitReached(
            "you asked for your own records too often within a minute",
            remedy="Try again later; limits.own_changes_per_minute says how often.",
            retry_after=early,
        )
    place.gate.own_looks.count(me, now)


def _own_record(found: FoundRecords, shard: int, names: RecordNames) -> OwnRecord:
    each = record_shape(found, names)
    if found.gone:
        # It may be somebody else's that was put under this key: nothing is told of what it says.
        return OwnRecord(
            index=each.index,
            at=each.at,
            type="",
            outcome=found.gone,
            who=each.who,
            shard=shard,
        )
    return OwnRecord(**asdict(_without_hidden(each)), shard=shard)


def _without_hidden(each: RecordShape) -> RecordShape:
    reason = each.outcome.partition(":")[2].strip()
    if each.type != _DENIED or reason in _TOLD:
        return each
    # What is hidden and what does not exist are alike here too.
    return replace(each, outcome="denied", server="", tool="", rule="")


def _own_change(found: RecordedChange, shard: int, me: str, groups: dict[str, str]) -> OwnChange:
    leaf = found.leaf
    subject = leaf.get("subject")
    told: dict[str, Any] = dict(subject) if isinstance(subject, dict) else {}
    return OwnChange(
        index=found.index,
        at=str(leaf.get("at", "")),
        type=str(leaf.get("t", "")),
        by="you" if leaf.get("by") == me else "somebody else",
        group=groups.get(str(told.get("group", "")), ""),
        told={name: told[name] for name in _SHOWN if told.get(name) not in (None, "")},
        shard=shard,
    )


ROUTES = (own_calls, own_changes)
