"""Servers, grants, guardrails as the outside sees them: names for ids, nothing secret."""

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from gatelodge.core.catalog.references import reference
from gatelodge.core.catalog.server import (
    HttpTransport,
    Server,
    StdioTransport,
    Timing,
    Tool,
    Transport,
)
from gatelodge.core.instant import rfc3339
from gatelodge.core.policy.rules import Grant, Guardrail, Level
from gatelodge.flows.admin.definitions.proposals import description_digest
from gatelodge.ports.upstream import Health
from gatelodge.web.api.rules.tool_shapes import instructions_standing, standing, unfit


class ServerShape(Struct, frozen=True, kw_only=True):
    """A server. `health` is how it is doing, `detail` why; `tools` counts its present ones.

    `digest` is that of its description, by which it is approved. `changed` counts the approved
    tools that are not as they were approved, `new` those that nobody approved, `unfit` the pinned
    ones that stand in no list of some clients; `instructions` is none, approved, changed or new.

    `said` are the last words of a stdio server that was not met, for whoever may register servers.
    """

    id: str
    alias: str
    status: str
    kind: str
    target: str
    transport: Transport
    era: str
    tags: tuple[str, ...]
    withheld: tuple[str, ...]
    digest: str
    timing: Timing
    tools: int
    changed: int
    new: int
    unfit: int
    instructions: str
    health: str
    detail: str
    version: str
    isolation: str
    created_at: str
    said: tuple[str, ...] = ()


class GrantShape(Struct, frozen=True, kw_only=True):
    """A grant, by the names of grantee and server; an empty `tool` means each of the server.

    `reaches` of the `of` approved tools that it is about are within its level now.
    """

    id: str
    grantee_kind: str
    grantee: str
    server: str
    tool: str
    level: str
    expires_at: str | None
    expired: bool
    reaches: int
    of: int
    ticket: str
    created_by: str
    created_at: str


class GuardrailShape(Struct, frozen=True, kw_only=True):
    """A version of a guardrail. `scope` is the workspace, or everywhere.

    `text` is written with names, `with_ids` is what is evaluated and stands in the log; `digest` is
    of the latter. `unmatched` is what it names that is not there: for that it holds nothing now.
    Of a rule for every workspace only the local operator is told the names and what is unmatched.
    """

    id: str
    name: str
    mode: str
    scope: str
    digest: str
    text: str
    with_ids: str
    unmatched: tuple[str, ...]
    created_by: str
    created_at: str


def server_shape(row: Server, tools: Sequence[Tool], health: Health) -> ServerShape:
    """The outer shape of a server, its present tools and its health given."""
    transport = shown(row.transport)
    if isinstance(transport, StdioTransport):
        kind, target = "stdio", " ".join(transport.command)
    else:
        kind, target = "http", transport.url
    return ServerShape(
        id=row.id,
        alias=row.alias,
        status=row.status,
        kind=kind,
        target=target,
        transport=transport,
        era=health.era or row.era,
        tags=row.tags,
        withheld=row.withheld,
        digest=description_digest(row),
        tools=len(tools),
        changed=sum(standing(each) == "changed" for each in tools),
        new=sum(standing(each) == "new" for each in tools),
        unfit=sum(each.pinned and bool(unfit(each)) for each in tools),
        instructions=instructions_standing(row),
        timing=row.timing,
        health=health.state,
        detail=health.detail,
        version=health.version,
        isolation=health.isolation,
        created_at=rfc3339(row.created_at),
        said=health.said,
    )


def grant_shape(
    row: Grant, names: tuple[str, str], tools: Iterable[Tool], *, expired: bool
) -> GrantShape:
    """The outer shape of a grant, with the names of grantee and server, and the server's tools."""
    grantee, server = names
    about = [each for each in tools if each.pinned and row.tool in {"", each.name}]
    return GrantShape(
        id=row.id,
        grantee_kind=row.grantee_kind,
        grantee=grantee,
        server=server,
        tool=row.tool,
        level=row.level,
        expires_at=None if row.expires_at is None else rfc3339(row.expires_at),
        expired=expired,
        reaches=sum(within(each, row.level) for each in about),
        of=len(about),
        ticket=row.ticket,
        created_by=row.created_by,
        created_at=rfc3339(row.created_at),
    )


def guardrail_shape(row: Guardrail, unmatched: tuple[str, ...]) -> GuardrailShape:
    """The outer shape of a guardrail, with what it names that is not there."""
    return GuardrailShape(
        id=row.id,
        name=row.name,
        mode=row.mode,
        scope="workspace" if row.workspace else "everywhere",
        digest=row.digest,
        text=row.written,
        with_ids=row.text,
        unmatched=unmatched,
        created_by=row.created_by,
        created_at=rfc3339(row.created_at),
    )


def shown(transport: Transport) -> Transport:
    """The transport without what may be secret: references stay, other values become stars."""
    if isinstance(transport, HttpTransport):
        url, query, _ = transport.url.partition("?")
        return HttpTransport(
            url=f"{url}?***" if query else url,
            headers=_hidden(transport.headers),
            allow_private=transport.allow_private,
        )
    return msgspec.structs.replace(transport, env=_hidden(transport.env))


def within(tool: Tool, level: Level) -> bool:
    """True when a grant of this level reaches the tool as it was reviewed."""
    read_only, destructive, _ = tool.effect
    return level == "all" or (read_only if level == "read" else not destructive)


def _hidden(pairs: dict[str, str]) -> dict[str, str]:
    return {name: value if reference(value) else "***" for name, value in pairs.items()}
