"""The changes of who may do what: newest, search, one of them, its proof.

They are the leaves of the gov log, with the names that people know beside the ids, also of those
whose access was revoked. A workspace's auditor sees the changes of that workspace; what holds for
the whole house is seen on the gate's own machine.
"""

from typing import Any, Final

from litestar import get
from litestar.di import NamedDependency
from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.catalog.server import Server
from gatelodge.core.errors import NotFound
from gatelodge.core.people import Agent, Group, Member
from gatelodge.core.policy.rules import Guardrail
from gatelodge.core.records.origin import GOV, past
from gatelodge.core.records.verify import ProofDocument
from gatelodge.flows.audit.changes import ChangeQuery, RecordedChange, named_in
from gatelodge.flows.audit.outcome import known_change
from gatelodge.flows.audit.reading import ever_in_gov, fields
from gatelodge.flows.nouns import lookup
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.context import LOCAL, WorkspaceContext
from gatelodge.web.api.operators import operator_name
from gatelodge.web.api.pages import LONGEST, PAGE, log_place
from gatelodge.web.api.parameters import Asks, FromIndex, Here, Limits, Shard, from_query
from gatelodge.web.api.record.audit import RecordsLook, written_down
from gatelodge.web.api.record.filters import RecordTimes, aliases_of

_READ = {"act": "audit.read"}
_SYSTEM = "system"
_MOST_STEPS: Final = 20
"""Times that the question of a file reads as much of the log as a page's."""


class ChangeFilter(RecordTimes, frozen=True, kw_only=True):
    """Which changes: made by whom, about whom or what, of which type, for which ticket, when."""

    by: Asks = ""
    about: Asks = ""
    type: Asks = ""
    why: Asks = ""


class ChangeShape(Struct, frozen=True, kw_only=True):
    """One change. `by`, `about` and `subject` are as the log has them; `names` says who they are.

    `by_name` is an e-mail address, or an account of the gate's own machine such as `local:alice`.
    """

    index: int
    at: str
    type: str
    by: str
    by_name: str
    why: str
    workspace: str
    subject: dict[str, Any]
    names: dict[str, str]


class ChangesPage(Struct, frozen=True, kw_only=True):
    """Some changes, newest first, and the cursor of what is left; a page may be short."""

    items: tuple[ChangeShape, ...]
    next: str = ""


@get("/audit/changes", opt=_READ, dependencies={"wanted": from_query(ChangeFilter)})
async def changes(
    place: Here,
    wanted: NamedDependency[ChangeFilter],
    limit: Limits = PAGE,
    cursor: Asks = "",
) -> ChangesPage:
    """Find changes of who may do what, newest first."""
    return await found_changes(place, wanted, limit, cursor)


async def found_changes(
    place: WorkspaceContext, wanted: ChangeFilter, limit: int, cursor: str, *, looks: bool = True
) -> ChangesPage:
    """The same; without `looks` those are left out that say only that somebody read records."""
    query = replace(await _change_query(place, wanted, limit, cursor), looks=looks)
    return await _page_of_changes(place, query, 1)


async def gathered_changes(
    place: WorkspaceContext, wanted: ChangeFilter, most: int, cursor: str, *, looks: bool = True
) -> ChangesPage:
    """So many changes at most, more than one page of them; that they were taken is written down."""
    query = replace(await _change_query(place, wanted, most, cursor), looks=looks)
    with place.gate.questions.by(place.caller.by):
        page = await _page_of_changes(place, query, _MOST_STEPS)
    look = RecordsLook(query.log, "changes", (*(query.by or ()), *(query.about or ())))
    await written_down(place, look, len(page.items))
    return page


@get("/audit/changes/{index:int}", opt=_READ)
async def change(place: Here, index: FromIndex, shard: Shard = 0) -> ChangeShape:
    """One change by its place in the gov log; a revocation's receipt is one, too."""
    # Places count through all workspaces, so the leaf itself is asked whose it is.
    leaf = await place.gate.changes.at(_gov_log_of_shard(shard), index, _seen_by(place))
    return _shape_of_change(RecordedChange(leaf.index, fields(leaf)), await _names_by_id(place))


@get("/audit/changes/{index:int}/proof", opt={"act": "audit.export"})
async def change_proof(place: Here, index: FromIndex, shard: Shard = 0) -> ProofDocument:
    """The proof file of one change; it verifies without this gate, and holds ids, no names."""
    leaf = await place.gate.changes.at(_gov_log_of_shard(shard), index, _seen_by(place))
    return await place.gate.prover.prove_leaves(_gov_log_of_shard(shard), [leaf])


async def _page_of_changes(place: WorkspaceContext, query: ChangeQuery, steps: int) -> ChangesPage:
    """What matches, found in so many steps at most."""
    found: list[RecordedChange] = []
    before = query.before
    for _ in range(steps):
        left = min(LONGEST, query.limit - len(found))
        step = await place.gate.changes.search(replace(query, limit=left, before=before))
        found += step.found
        before = step.before
        if before is None or len(found) >= query.limit:
            break
    names = await _names_by_id(place)
    items = tuple(_shape_of_change(each, names) for each in found)
    return ChangesPage(items=items, next="" if before is None else str(before))


async def _change_query(
    place: WorkspaceContext, wanted: ChangeFilter, limit: int, cursor: str
) -> ChangeQuery:
    since, until = wanted.span(place.gate.clock.now())
    by = await place.gate.read(lambda tx: _ids_of_author(tx, place, wanted.by))
    return ChangeQuery(
        log=_gov_log_of_shard(wanted.shard),
        workspace=_seen_by(place),
        by=by,
        about=await _ids_of_subject(place, wanted.about),
        type=known_change(wanted.type) if wanted.type else "",
        why=wanted.why,
        since=since,
        until=until,
        limit=limit,
        before=log_place(cursor),
    )


def _gov_log_of_shard(shard: int) -> str:
    return past(GOV, shard) if shard else GOV


def _seen_by(place: WorkspaceContext) -> str | None:
    """The workspace whose changes the caller may see; None sees the whole house."""
    return None if place.caller.local else place.id


def _ids_of_author(tx: StoreTx, place: WorkspaceContext, text: str) -> tuple[str, ...] | None:
    if not text:
        return None
    # Neither is a member that could be looked up.
    if text.partition(":")[0] in (LOCAL, _SYSTEM):
        return (text,)
    return tuple(str(each.id) for each in lookup.members(tx, place.id, text))


async def _ids_of_subject(place: WorkspaceContext, text: str) -> tuple[str, ...] | None:
    """Every id that has, or had, this name here: a person, an agent, a group, a server, a rule."""
    if not text:
        return None
    names = await _names_by_id(place)
    folded = text.casefold()
    found = {each for each, name in names.items() if folded in (each.casefold(), name.casefold())}
    if found:
        return tuple(found)
    told = await ever_in_gov(place.gate.ledger, f'"{text}"', 1, _seen_by(place))
    # A quote would look for the form of a leaf and not for a name in it.
    if told and '"' not in text:
        return (text,)
    raise NotFound(
        f"nothing here is, or was, called {text!r}",
        remedy="Give an e-mail address, a name of an agent, group, server or guardrail, an id.",
    )


async def _names_by_id(place: WorkspaceContext) -> dict[str, str]:
    """What people call those who are, or were, in this workspace, by id."""

    def look(tx: StoreTx) -> dict[str, str]:
        found = lookup.names(tx, place.id, Member, Agent, Group, Server, Guardrail)
        return found | lookup.names(tx, "", Guardrail)

    here = await place.gate.read(look)
    return {
        **await aliases_of(place.gate.ledger, place.id),
        str(place.id): place.workspace.slug,
    } | here


def _shape_of_change(found: RecordedChange, names: dict[str, str]) -> ChangeShape:
    leaf = found.leaf
    by = str(leaf.get("by", ""))
    subject = leaf.get("subject")
    told = dict(subject) if isinstance(subject, dict) else {}
    # A secret may be gone, so its name is the one that the leaf says.
    secret = {str(told["secret"]): str(told["name"])} if {"secret", "name"} <= told.keys() else {}
    return ChangeShape(
        index=found.index,
        at=str(leaf.get("at", "")),
        type=str(leaf.get("t", "")),
        by=by,
        by_name=names.get(by) or operator_name(by),
        why=str(leaf.get("why", "")),
        workspace=str(leaf.get("workspace", "")),
        subject=told,
        names=secret | {each: names[each] for each in sorted(named_in(leaf)) if each in names},
    )


ROUTES = (changes, change, change_proof)
