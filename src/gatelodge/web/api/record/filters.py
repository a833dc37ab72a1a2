"""What a search of records asks for, from the names that people use to what stands in leaves.

A filter that cannot match is an error that lists what can; one that matches more than its name
says (two servers had that alias) or less (a group is its members of now) is told in a note.
"""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import msgspec
from msgspec import Struct

from gatelodge.core.catalog.server import Server, Tool
from gatelodge.core.errors import Invalid, NotFound
from gatelodge.core.ids import Instant, is_agent
from gatelodge.core.instant import rfc3339
from gatelodge.core.people import Agent, GroupMember, Member
from gatelodge.core.policy.rules import Grant, Guardrail
from gatelodge.core.records.origin import calls_log, past
from gatelodge.flows.audit.outcome import known_outcome, known_type
from gatelodge.flows.audit.reading import ever_in_gov, fields
from gatelodge.flows.audit.search import AuditQuery, canonical
from gatelodge.flows.nouns import lookup
from gatelodge.ports.journal import Ledger
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.pages import log_place
from gatelodge.web.api.parameters import Asks, Shard

_AGO = re.compile(r"([1-9][0-9]{0,5})([smhdw])")
_LONGEST_AGO = 100 * 365 * 86_400
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_EVER = 10_000
_MOST_AGENTS = 16


class RecordTimes(Struct, frozen=True, kw_only=True):
    """Between which times: RFC 3339, or `2h` and `7d` ago; empty means always.

    `shard` is an earlier shard of the log, from before a restore; 0 is the present one.
    """

    since: Asks = ""
    until: Asks = ""
    shard: Shard = 0

    def span(self, now: Instant) -> tuple[str, str]:
        """Both as leaves spell them. Raises Invalid: no time, or nothing can lie between."""
        since, until = moment(self.since, now), moment(self.until, now)
        if since and until and since >= until:
            raise Invalid(f"since: nothing lies between {since} and {until}")
        return since, until


class RecordFilter(RecordTimes, frozen=True, kw_only=True):
    """Whose records are looked for, and which; empty means all.

    `member` is an e-mail address and finds what their agents did too; `agent` and `group` are
    names; `client` is a part of what the client calls itself; `credential` is a token's id.
    `outcome` and `rule` are as the list shows them.
    """

    member: Asks = ""
    agent: Asks = ""
    group: Asks = ""
    client: Asks = ""
    credential: Asks = ""
    server: Asks = ""
    tool: Asks = ""
    rule: Asks = ""
    call: Asks = ""
    outcome: Asks = ""
    type: Asks = ""


class ResolvedQuestion(Struct, frozen=True):
    """A question in ids, and what has to be said about it."""

    query: AuditQuery
    notes: tuple[str, ...]


class _People(Struct, frozen=True):
    members: tuple[str, ...] | None = None
    principals: tuple[str, ...] | None = None
    bearer: str = ""
    """Whose token is asked for, where one is."""
    notes: tuple[str, ...] = ()


async def looked_for(
    place: WorkspaceContext, sought: RecordFilter, limit: int, cursor: str
) -> ResolvedQuestion:
    """The question to the log of this workspace. Raises Invalid, NotFound."""
    if sought.type:
        known_type(sought.type)
    if sought.outcome:
        known_outcome(sought.outcome)
    since, until = sought.span(place.gate.clock.now())
    people = await place.gate.read(lambda tx: _resolve_people(tx, place, sought))
    servers, said = await _resolve_servers(place, sought.server)
    rules = await _resolve_rules(place, sought.rule)
    notes = [*people.notes, *said, *await _tool_notes(place, sought.tool)]
    query = AuditQuery(
        log=log_of(place, sought.shard),
        since=since,
        until=until,
        type=sought.type,
        servers=servers,
        tool=sought.tool,
        rules=rules,
        call=sought.call,
        outcome=sought.outcome,
        members=people.members,
        principals=people.principals,
        client=sought.client,
        credential=sought.credential,
        owners=await _owners_of(place, people),
        limit=limit,
        before=log_place(cursor),
    )
    return ResolvedQuestion(query, tuple(notes))


def log_of(place: WorkspaceContext, shard: int) -> str:
    """The workspace's log of calls, or what it was in an earlier shard."""
    log = calls_log(place.id)
    return past(log, shard) if shard else log


def moment(text: str, now: Instant) -> str:
    """A time as leaves spell it: from RFC 3339, a day, or how long ago; empty stays empty.

    Raises Invalid.
    """
    ago = _AGO.fullmatch(text)
    if ago is None:
        return canonical(text) if text else ""
    seconds = int(ago[1]) * _UNITS[ago[2]]
    # The number comes from outside, and a time before the year 1 cannot be spelled.
    if seconds > _LONGEST_AGO:
        raise Invalid(f"{text} ago is too long ago", remedy="Say a hundred years at most.")
    return rfc3339(Instant(now - seconds * 1_000_000))


async def aliases_of(ledger: Ledger, workspace: str) -> dict[str, str]:
    """The alias of every server that the workspace ever had, by id; removed ones too."""
    told = await ever_in_gov(ledger, '"t":"server.registered"', _EVER, workspace)
    found: dict[str, str] = {}
    for leaf in told:
        subject = fields(leaf).get("subject")
        if isinstance(subject, Mapping):
            found[str(subject.get("server"))] = str(subject.get("alias"))
    return found


def _resolve_people(tx: StoreTx, place: WorkspaceContext, who: RecordFilter) -> _People:
    members: tuple[str, ...] | None = None
    principals: set[str] | None = None
    notes: list[str] = []
    bearer = ""
    if who.member:
        persons = lookup.members(tx, place.id, who.member)
        members = tuple(each.id for each in persons)
        notes += _bearers_note(who.member, persons)
    if who.agent:
        rows = tx.find(Agent, workspace=place.id)
        named = [each for each in rows if who.agent in (each.id, each.name)]
        found = {str(each.id) for each in named}
        notes += _bearers_note(who.agent, named)
        if not found:
            lookup.agent(tx, place.id, who.agent)  # raises with the words of the other commands
        principals = found
    if who.group:
        group = lookup.group(tx, place.id, who.group)
        rows_of = tx.find(GroupMember, workspace=place.id, group=group.id)
        inside = {str(each.principal) for each in rows_of}
        principals = inside if principals is None else principals & inside
        notes.append(f"{len(inside)} are in {group.name} now; records do not say who was then")
    if who.credential:
        # It raises for a token of another workspace, of which a search here would silently find
        # nothing.
        bearer = str(lookup.credential(tx, place.id, who.credential).principal)
    called = None if principals is None else tuple(principals)
    return _People(members, called, bearer, tuple(notes))


def _bearers_note(name: str, bearers: Sequence[Member | Agent]) -> list[str]:
    """What is said where several bore a name: the records are of all of them."""
    if len(bearers) < 2:
        return []
    told = (f"{each.id} (revoked)" if each.status == "revoked" else each.id for each in bearers)
    return [f"{name} is, or was: {', '.join(told)}"]


async def _owners_of(place: WorkspaceContext, people: _People) -> tuple[str, ...] | None:
    """Every member with whose key what these principals did can be sealed; None = too many to say.

    An agent's records are sealed with the key of who answered for it then.
    """
    asked = people.principals if people.principals is not None else (people.bearer,)
    agents = [each for each in asked if each and is_agent(each)]
    # Each costs a walk through the gov log; without this the question is answered too, by reading.
    if asked == ("",) or len(agents) > _MOST_AGENTS:
        return None
    owners = {each for each in asked if not is_agent(each)}
    for agent in agents:
        named = f'"agent":"{agent}"'
        for leaf in await ever_in_gov(place.gate.ledger, named, _EVER, place.id):
            subject = fields(leaf).get("subject")
            told = subject if isinstance(subject, Mapping) else {}
            owners.update(str(told[each]) for each in ("owner", "before") if each in told)
    return tuple(sorted(owners))


async def _resolve_servers(
    place: WorkspaceContext, text: str
) -> tuple[tuple[str, ...] | None, list[str]]:
    """Every server that ever had that alias: one that was removed has records too."""
    if not text:
        return None, []
    present = await place.gate.read(lambda tx: lookup.names(tx, place.id, Server))
    ever = {**await aliases_of(place.gate.ledger, place.id), **present}
    # Every bearer of the name: a later server that got a removed one's alias has records of its
    # own.
    found = tuple(sorted(each for each, alias in ever.items() if text in (each, alias)))
    if not found:
        names = sorted(set(ever.values()))
        near = get_close_matches(text, names, 1)
        raise NotFound(
            f"no server was ever called {text!r}" + (f"; did you mean {near[0]}?" if near else ""),
            remedy=f"There are, or were: {', '.join(names) or 'none'}.",
        )
    gone = [each for each in found if each not in present]
    if len(found) == 1 and not gone:
        return found, []
    told = ", ".join(f"{each} (removed)" if each in gone else each for each in found)
    return found, [f"{text} is, or was: {told}"]


async def _resolve_rules(place: WorkspaceContext, text: str) -> tuple[str, ...]:
    """The ids behind a rule: a grant, a guardrail by name or id, or one of the house itself."""
    if not text:
        return ()

    def look(tx: StoreTx) -> tuple[str, ...]:
        rails = lookup.names(tx, place.id, Guardrail) | lookup.names(tx, "", Guardrail)
        ids = [ident for ident, name in rails.items() if text in (ident, name)]
        return tuple(ids or [str(each.id) for each in tx.find(Grant, workspace=place.id, id=text)])

    found = await place.gate.read(look)
    if found:
        return found
    # A grant that ended stands in the gov log, a rule of the house in the leaves only.
    quoted = msgspec.json.encode(text).decode()
    ledger = place.gate.ledger
    ended = f'"guardrail":{quoted}'  # one of the whole house, too
    told = await ever_in_gov(ledger, quoted, 1, place.id) or await ever_in_gov(ledger, ended, 1, "")
    if told or text.startswith("g-"):
        return (text,)
    rails = await place.gate.read(lambda tx: lookup.names(tx, place.id, Guardrail))
    raise NotFound(
        f"no rule was ever called {text!r}",
        remedy="Give a grant's id, or a guardrail: "
        + (", ".join(sorted(rails.values())) or "there are none here")
        + ".",
    )


async def _tool_notes(place: WorkspaceContext, text: str) -> list[str]:
    """What is said of a tool that was never pinned here: prompts have such names as well."""
    if not text:
        return []
    tools = await place.gate.read(lambda tx: tx.find(Tool, workspace=place.id))
    names = {each.name for each in tools}
    quoted = msgspec.json.encode(text).decode()
    # As it stands in a leaf, quotes and escapes included: a part of a longer name is no match.
    ever = f'"tool":{quoted}'
    if text in names or await ever_in_gov(place.gate.ledger, ever, 1, place.id):
        return []
    near = get_close_matches(text, sorted(names), 3)
    meant = f"; did you mean {', '.join(near)}?" if near else ""
    return [f"no tool of the name {text} was ever approved here{meant}"]
