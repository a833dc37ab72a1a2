"""What was recorded about whoever asks: their own calls, and the changes that name them.

Everybody may ask it, of themselves only. What a refusal hid stays hidden here: a record says that
something was denied, and not what is there; and of others nobody learns more than that it was not
oneself.
"""

from typing import Any, Final

from litestar import get
from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.errors import Invalid, LimitReached, NotFound
from gatelodge.core.people import Group
from gatelodge.core.records.origin import calls_log
from gatelodge.flows.audit.changes import ChangeQuery, RecordedChange
from gatelodge.flows.audit.search import AuditQuery, SearchPage
from gatelodge.flows.nouns import lookup
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.pages import PAGE, log_place
from gatelodge.web.api.parameters import Asks, Here, Limits
from gatelodge.web.api.record.audit import RecordsLook, written_down
from gatelodge.web.api.record.responses import RecordShape, names_of, record_shape

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
_SHOWN: Final = ("role", "level", "expires_at", "label", "kind", "reason", "what", "records")
"""Fields of a change that say something of whom it is about, and nothing of anybody else."""


class OwnRecords(Struct, frozen=True, kw_only=True):
    """The caller's own records, newest first, and the cursor of what is left."""

    items: tuple[RecordShape, ...]
    next: str = ""


class OwnChange(Struct, frozen=True, kw_only=True):
    """One change that names the caller; `by` is yourself or somebody else.

    `group` is the group that they came into or left; `told` are fields that concern them.
    """

    index: int
    at: str
    type: str
    by: str
    group: str = ""
    told: dict[str, Any] = {}


class OwnChanges(Struct, frozen=True, kw_only=True):
    """The changes that name the caller, newest first, and the cursor of what is left."""

    items: tuple[OwnChange, ...]
    next: str = ""


@get("/recorded/calls", opt={"act": "access.own"})
async def own_calls(place: Here, limit: Limits = PAGE, cursor: Asks = "") -> OwnRecords:
    """What the log of calls says of the caller and their agents. The look is recorded."""
    me, gate = _myself(place), place.gate
    query = AuditQuery(
        log=calls_log(place.id), members=(me,), limit=limit, before=log_place(cursor)
    )
    with gate.questions.by(me):
        await gate.sequencer.advance()
        try:
            found = await gate.search.search(query)
        except NotFound:
            found = SearchPage((), None)  # the log is made with its first record
        await _write_down(place, me, query.log, len(found.found))
        rows = await gate.search.naming.with_names(found.found)
    names = await gate.read(lambda tx: names_of(tx, place))
    items = (record_shape(each, names) for each in rows)
    # Under a member's key stand records of theirs alone; whatever else would be somebody else's.
    own = names.principals.get(me, me)
    return OwnRecords(
        items=tuple(_without_hidden(each) for each in items if each.who == own),
        next="" if found.before is None else str(found.before),
    )


@get("/recorded/changes", opt={"act": "access.own"})
async def own_changes(place: Here, limit: Limits = PAGE, cursor: Asks = "") -> OwnChanges:
    """What the log of changes says of the caller: roles, groups, grants, tokens, who looked."""
    me, gate = _myself(place), place.gate
    query = ChangeQuery(workspace=place.id, about=(me,), limit=limit, before=log_place(cursor))
    with gate.questions.by(me):
        found = await gate.changes.search(query)
    groups = await gate.read(lambda tx: lookup.names(tx, place.id, Group))
    return OwnChanges(
        items=tuple(_own_change(each, me, groups) for each in found.found),
        next="" if found.before is None else str(found.before),
    )


def _myself(place: WorkspaceContext) -> str:
    if place.caller.local:
        raise Invalid(
            "an operator on this machine is no member, so nothing is recorded under their name",
            remedy="See `gatelodge audit search` and `gatelodge audit changes search`.",
        )
    return place.caller.by


async def _write_down(place: WorkspaceContext, me: str, log: str, records: int) -> None:
    """Record the look as every other; as it costs a leaf, it is counted with one's own changes."""
    now = place.gate.clock.boottime()
    early = place.gate.own_changes.too_early(me, now)
    if early:
        raise LimitReached(
            "you asked for your own records too often within a minute",
            remedy="Try again later; limits.own_changes_per_minute says how often.",
            retry_after=early,
        )
    place.gate.own_changes.count(me, now)
    await written_down(place, RecordsLook(log, "own", (me,)), records)


def _without_hidden(each: RecordShape) -> RecordShape:
    reason = each.outcome.partition(":")[2].strip()
    if each.type != _DENIED or reason in _TOLD:
        return each
    # What is hidden and what does not exist are alike here too.
    return replace(each, outcome="denied", server="", tool="", rule="")


def _own_change(found: RecordedChange, me: str, groups: dict[str, str]) -> OwnChange:
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
    )


ROUTES = (own_calls, own_changes)
