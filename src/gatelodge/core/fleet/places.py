"""Where in a client's file its servers stand: each of them with its name and its project."""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from gatelodge.core.fleet.documents import RepeatedKeys

_KEYS: Final = ("mcpServers", "mcp_servers", "servers", "context_servers", "amp.mcpServers")
_WAYS: Final = ("command", "cmd", "url", "serverUrl", "httpUrl", "uri", "args")
MOST_ENTRIES: Final = 2_000
"""Servers of one file that are read."""
TWICE: Final = "the file names it twice, and its client takes the last one"


class SaidEntry(Struct, frozen=True):
    """One server as the file says it. `fault` where the file itself says why it is none."""

    name: str
    said: object
    project: str = ""
    fault: str = ""
    off: bool = False


def said_entries(document: object, client: str = "") -> list[SaidEntry]:
    """Each server of a document, at most `MOST_ENTRIES` + 1; [] for a file that names none."""
    found = list[SaidEntry]()
    for entry in _entries(document, client):
        found.append(entry)
        if len(found) > MOST_ENTRIES:
            break
    return found


def _entries(document: object, client: str) -> Iterator[SaidEntry]:
    if isinstance(document, list):
        document = {"mcpServers": document}
    if not isinstance(document, Mapping):
        return
    nested = document.get("mcp")
    stopped = _stopped_names(nested)
    for name, table in _tables(document, client):
        yield from _of_table(table, "", stopped, whole=name != "mcp")
    projects = document.get("projects")
    for path, project in projects.items() if isinstance(projects, Mapping) else ():
        if isinstance(project, Mapping):
            off = {str(each) for each in _listed(project.get("disabledMcpServers"))}
            yield from _of_table(project.get("mcpServers"), str(path), off, whole=True)


def _tables(document: Mapping[str, object], client: str) -> Iterator[tuple[str, object]]:
    nested, any_found = document.get("mcp"), False
    keys = (*_KEYS, "extensions") if client in ("goose", "") else _KEYS
    for key in keys:
        table = document.get(key)
        if key == "extensions" and not _holds_servers(table):
            continue
        if table is not None:
            any_found = True
            yield key, table
    if isinstance(nested, Mapping):
        inner = [(key, nested[key]) for key in _KEYS if key in nested]
        any_found = True
        yield from inner or [("mcp", nested)]
    # Pasted without the table around it, as pages of servers show it.
    if not any_found and _holds_servers(document):
        yield "mcp", document


def _of_table(table: object, project: str, off: set[str], *, whole: bool) -> Iterator[SaidEntry]:
    if isinstance(table, list):
        for at, said in enumerate(table):
            name = said.get("name") if isinstance(said, Mapping) else None
            called = name if isinstance(name, str) and name else f"number {at + 1}"
            yield SaidEntry(called, said, project, off=called in off)
        return
    if not isinstance(table, Mapping):
        return
    for name, said in table.items():
        # Beside servers such a table holds settings of other kinds.
        if whole or _is_server(said):
            yield SaidEntry(str(name), said, project, off=str(name) in off)
    if isinstance(table, RepeatedKeys):
        for name in table.repeated:
            yield SaidEntry(name, None, project, TWICE)


def _is_server(said: object) -> bool:
    return isinstance(said, Mapping) and any(said.get(each) for each in _WAYS)


def _holds_servers(table: object) -> bool:
    if not isinstance(table, Mapping) or not 0 < len(table) <= MOST_ENTRIES:
        return False
    return any(_is_server(said) for said in table.values())


def _stopped_names(nested: object) -> set[str]:
    """Names that a list of the file itself stops."""
    stopped = _listed(nested.get("excluded")) if isinstance(nested, Mapping) else []
    return {each for each in stopped if isinstance(each, str)}


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []
