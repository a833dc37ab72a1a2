"""Records as the outside sees them: one line for each call or request, names beside the ids."""

from typing import Any

from msgspec import Struct

from gatelodge.core.catalog.server import Server
from gatelodge.core.people import Agent, Member
from gatelodge.core.records.opening import Opening
from gatelodge.flows.audit.reading import FoundRecords
from gatelodge.flows.nouns import lookup
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.context import WorkspaceContext


class RecordShape(Struct, frozen=True, kw_only=True):
    """One record with its end.

    `who`, `agent`, `client`, `credential` only when names were asked for and the opening still
    exists; `who` is "(erased)" when the gov log says that it was, and "(damaged)" when somebody
    took it away or changed it. The `credential` of a request that was not let in stands in the
    record itself.
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


class RecordNames(Struct, frozen=True):
    """What people call principals and servers, by id; whoever has gone keeps their id."""

    principals: dict[str, str]
    servers: dict[str, str]


def names_of(tx: StoreTx, place: WorkspaceContext) -> RecordNames:
    """The names of the workspace, of those who were revoked too."""
    principals = lookup.names(tx, place.id, Member, Agent)
    return RecordNames(principals, lookup.names(tx, place.id, Server))


def record_shape(found: FoundRecords, names: RecordNames) -> RecordShape:
    """One line of the log."""
    leaf: dict[str, Any] = {**found.leaf}
    who = found.who or Opening()
    server = str(leaf.get("server", ""))
    closer = found.closer or {}
    ms = closer.get("ms", leaf.get("ms"))
    return RecordShape(
        index=found.index,
        at=str(leaf.get("at", "")),
        type=str(leaf.get("t", "")),
        outcome=found.outcome,
        who=f"({found.gone})" if found.gone else names.principals.get(who.member, who.member),
        agent=names.principals.get(who.agent, who.agent),
        client=who.client,
        credential=who.cred or str(leaf.get("credential", "")),
        server=names.servers.get(server, server),
        tool=str(leaf.get("tool", "")),
        method=str(leaf.get("method", "")),
        rule=str(leaf.get("rule", "")),
        ms=ms if isinstance(ms, int) else None,
        call=str(leaf.get("call") or leaf.get("stream") or ""),
    )
