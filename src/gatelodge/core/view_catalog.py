"""The part of a view that says what stands behind the gate: approved servers and their tools."""

from collections.abc import Iterable

import msgspec
from msgspec import Raw

from gatelodge.core.catalog.server import Server, Tool
from gatelodge.core.catalog.visible import visible
from gatelodge.core.errors import Invalid
from gatelodge.core.ids import ServerId, WorkspaceId
from gatelodge.core.policy.schema import plain, tool_id
from gatelodge.core.protocol.bridge.tasks import TASKS_ONLY, needs_task
from gatelodge.core.protocol.envelope import Era
from gatelodge.core.protocol.shown.conform import fits, nonconformities
from gatelodge.core.protocol.shown.messages import shown_tool
from gatelodge.core.protocol.shown.names import colliding_names, is_alias, shown_name
from gatelodge.core.protocol.shown.uris import UriPrefix
from gatelodge.core.protocol.upstream_headers import HeaderMirror, mirrors
from gatelodge.core.view_entry import ReadEntry, ReadKind, ServerView, Standing, ToolEntry

Servers = dict[ServerId, ServerView]

CHANGED_NOTICE = (
    "This tool changed since it was approved and cannot be used until an admin has reviewed it."
)

_members = msgspec.json.Decoder(dict[str, Raw])
_encode = msgspec.json.Encoder().encode


def servers(
    rows: Iterable[Server], tools: Iterable[Tool], before: Servers, longest: int
) -> tuple[dict[WorkspaceId, Servers], list[tuple[WorkspaceId, str]]]:
    """The approved servers of each workspace in the order of aliases; and whose faults there are.

    `longest` is how many characters a shown name may have. Server views that did not change are
    those of `before`. A server whose alias is malformed or taken by an older one is left out.
    """
    by_server: dict[tuple[WorkspaceId, ServerId], list[Tool]] = {}
    for tool in tools:
        if tool.present:
            by_server.setdefault((tool.workspace, tool.server), []).append(tool)
    found: dict[WorkspaceId, Servers] = {}
    taken: set[tuple[WorkspaceId, str]] = set()
    faults: list[tuple[WorkspaceId, str]] = []
    approved = [row for row in rows if row.status == "approved"]
    # The older one of an alias comes first and keeps it, or a newcomer would get its callers.
    approved.sort(key=lambda row: (row.alias, row.created_at, row.id))
    for row in approved:
        place = (row.workspace, row.alias)
        if not is_alias(row.alias) or place in taken or plain(row.id) != row.id:
            text = f"The server {row.id} is left out: its alias cannot be used."
            faults.append((row.workspace, text))
            continue
        taken.add(place)
        its = tuple(sorted(by_server.get((row.workspace, row.id), ()), key=_by_position))
        last = before.get(row.id)
        if last is None or last.server != row or last.rows != its:
            last = _server_view(row, its, last, longest)
        faults += [(row.workspace, each) for each in last.faults]
        found.setdefault(row.workspace, {})[row.id] = last
    return found, faults


def by_shown_name(views: Iterable[ServerView]) -> dict[str, ToolEntry]:
    """The tools of a workspace by shown name; an approved tool is never displaced by a new one."""
    found: dict[str, ToolEntry] = {}
    for view in views:
        for tool in view.tools.values():
            if tool.standing != "new":
                found[tool.shown] = tool
    for view in views:
        for tool in view.tools.values():
            found.setdefault(tool.shown, tool)
    return found


def _by_position(tool: Tool) -> tuple[int, str]:
    return (tool.position, tool.name)


def _server_view(
    server: Server, rows: tuple[Tool, ...], last: ServerView | None, longest: int
) -> ServerView:
    """Build what changed; tools whose row did not change are those of `last`."""
    same_server = last is not None and _server_fields_in_entries(
        last.server
    ) == _server_fields_in_entries(server)
    known = {row.name: row for row in last.rows} if last is not None and same_server else {}
    faults: list[str] = []
    # Only approved names compete: a server could else push out an approved tool by adding one
    # that is shown alike.
    colliding = colliding_names(
        server.alias, (row.name for row in rows if row.approved and not row.blocked), longest
    )
    clashing: set[str] = set()
    for shown, originals in colliding.items():
        clashing.update(originals)
        faults.append(f"Tools of {server.alias} are left out: {shown} names several.")
    tools: dict[str, ToolEntry] = {}
    for row in rows:
        if row.name in clashing:
            continue
        # A task of 2025-11-25 is not relayed, and this tool could be called as nothing else.
        if needs_task(Raw((row.approved_definition or row.definition).encode())):
            faults.append(f"{_told_tool(server, row)} is left out: {TASKS_ONLY}")
            continue
        if last is not None and known.get(row.name) == row and row.name in last.tools:
            tools[row.name] = last.tools[row.name]
            continue
        try:
            tools[row.name] = _tool_entry(server, row, longest)
        # A bad definition takes its own tool out, and not the server's whole list.
        except msgspec.DecodeError:
            faults.append(f"{_told_tool(server, row)} is left out: its definition is not JSON.")
    return ServerView(
        server=server,
        tools=tools,
        prompts=_read_entry("prompts", server),
        resources=_read_entry("resources", server),
        rows=rows,
        faults=tuple(faults),
    )


def _told_tool(server: Server, row: Tool) -> str:
    return f"The tool {server.alias}/{visible(row.name)}"


def _server_fields_in_entries(server: Server) -> tuple[object, ...]:
    """What the entry of each of its tools says of the server itself."""
    return server.alias, server.tags


def _read_entry(kind: ReadKind, server: Server) -> ReadEntry:
    return ReadEntry(
        kind=kind,
        server=server.id,
        workspace=server.workspace,
        alias=server.alias,
        tags=server.tags,
    )


def _tool_entry(server: Server, row: Tool, longest: int) -> ToolEntry:
    """One tool, its definition ready for a list answer. Raises msgspec.DecodeError."""
    shown = shown_name(server.alias, row.name, longest)
    standing: Standing = "pinned" if row.pinned else "new"
    if row.approved and not row.blocked and not row.pinned:
        standing = "changed"
    approved = row.approved_definition or row.definition
    # No word that nobody reviewed reaches a model: not even the description of a changed tool.
    members = _members.decode(approved) if standing == "pinned" else _placeholder_definition()
    read_only, destructive, open_world = row.effect
    return ToolEntry(
        server=server.id,
        workspace=server.workspace,
        alias=server.alias,
        name=row.name,
        shown=shown,
        position=row.position,
        digest="" if row.blocked else row.approved,
        standing=standing,
        read_only=read_only,
        destructive=destructive,
        open_world=open_world,
        tags=server.tags,
        uid=plain(tool_id(server.id, row.name)),
        listed=shown_tool(UriPrefix(server.alias), _tool_with_name(members, shown)),
        bare=_tool_with_name(members, row.name),
        mirrors=_valid_mirrors(members.get("inputSchema")),
        unfit=_unfit_eras(row) if standing == "pinned" else (),
    )


def _unfit_eras(row: Tool) -> tuple[Era, ...]:
    """The eras whose clients would refuse every list that this tool stands in."""
    wrong = nonconformities("tools", row.approved_definition or row.definition)
    eras: tuple[Era, ...] = ("modern", "legacy")
    return tuple(era for era in eras if not fits(wrong, era))


def _valid_mirrors(schema: Raw | None) -> tuple[HeaderMirror, ...]:
    """The arguments that headers repeat; none when the annotations are not valid."""
    if schema is None:
        return ()
    try:
        return mirrors(schema)
    except Invalid:
        return ()


def _placeholder_definition() -> dict[str, Raw]:
    return {
        "name": Raw(b'""'),
        "description": Raw(_encode(CHANGED_NOTICE)),
        "inputSchema": Raw(b'{"type":"object"}'),
    }


def _tool_with_name(members: dict[str, Raw], name: str) -> Raw:
    """The tool object under that name; every other member keeps its bytes and its place."""
    return Raw(_encode({**members, "name": name}))
