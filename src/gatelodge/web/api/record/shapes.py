"""Records as the outside sees them: one line for each call or request, names beside the ids."""

from typing import Any

from msgspec import Struct

from gatelodge.core.catalog.server import Server
from gatelodge.core.people import Agent, Member
from gatelodge.core.records.opening import Opening
from gatelodge.flows.audit.search import Found
from gatelodge.ports.store import Tx
from gatelodge.web.api.gate import Place


class RecordShape(Struct, frozen=True, kw_only=True):
    """One record with its end.

    `who`, `agent`, `client`, `credential` only when names were asked for and the opening still
    exists; `who` is "(erased)" when it does not.
    """

    index: int
    at: str
    type: str
    outcome: str
    who: str = ""
    agent: str = ""
    client: str = ""
    credential: str = ""
    server: str = ""
    tool: str = ""
    method: str = ""
    rule: str = ""
    ms: int | None = None
    call: str = ""


class CallDetail(Struct, frozen=True, kw_only=True):
    """A call in one line, and its leaves as they stand in the log, by index."""

    record: RecordShape
    log: str
    leaves: dict[int, dict[str, object]]


class Names(Struct, frozen=True):
    """What people call principals and servers, by id; whoever has gone keeps their id."""

    principals: dict[str, str]
    servers: dict[str, str]


def names_of(tx: Tx, place: Place) -> Names:
    """The names of the workspace, of those who left too."""
    principals = {str(row.id): row.email for row in tx.find(Member, workspace=place.id)}
    principals |= {str(row.id): row.name for row in tx.find(Agent, workspace=place.id)}
    servers = {str(row.id): row.alias for row in tx.find(Server, workspace=place.id)}
    return Names(principals, servers)


def record_shape(found: Found, names: Names, *, named: bool) -> RecordShape:
    """One line of the log."""
    leaf: dict[str, Any] = {**found.leaf}
    who = found.who or Opening()
    erased = named and found.who is None and bool(leaf.get("actor_c"))
    server = str(leaf.get("server", ""))
    closer = found.closer or {}
    ms = closer.get("ms", leaf.get("ms"))
    return RecordShape(
        index=found.index,
        at=str(leaf.get("at", "")),
        type=str(leaf.get("t", "")),
        outcome=_outcome(found, leaf),
        who="(erased)" if erased else names.principals.get(who.member, who.member),
        agent=names.principals.get(who.agent, who.agent),
        client=who.client,
        credential=who.cred,
        server=names.servers.get(server, server),
        tool=str(leaf.get("tool", "")),
        method=str(leaf.get("method", "")),
        rule=str(leaf.get("rule", "")),
        ms=ms if isinstance(ms, int) else None,
        call=str(leaf.get("call") or leaf.get("stream") or ""),
    )


def _outcome(found: Found, leaf: dict[str, Any]) -> str:
    match leaf.get("t"):
        case "call.denied":
            return f"denied: {leaf.get('reason', '')}"
        case "request.refused":
            many = f" x{leaf['count']}" if "count" in leaf else ""
            return f"refused: {leaf.get('reason', '')}{many}"
        case "auth.failed":
            return f"{leaf.get('reason', '')} x{leaf.get('count', 1)}"
        case "call.intent" | "stream.opened" if found.closer is None:
            return "open"
        case "stream.opened":
            return f"closed: {(found.closer or {}).get('reason', '')}"
    return found.outcome
