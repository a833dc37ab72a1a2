"""`gatelodge audit index`: how far the index is that searches ask."""

from typing import Any

import click

from gatelodge.cli.lazy import JsonCommand
from gatelodge.cli.terminal import CommandRun

_COLUMNS = ("log", "leaves", "indexed", "state")
_EMPTY = "There is no log of calls yet. It begins with the first request."


@click.command("index", cls=JsonCommand)
@click.option("--rebuild", is_flag=True, help="Throw it away; it is made anew from the logs.")
@click.pass_obj
def index(terminal: CommandRun, *, rebuild: bool) -> None:
    """Show how far the search index is. Searches are whole without it, and slower.

    Run it again to see how a rebuilding gets on.
    """
    gate = terminal.gate
    if rebuild:
        found = gate.post(gate.here("audit", "index", "rebuild"))
    else:
        found = gate.get(gate.here("audit", "index"))
    if terminal.json:
        terminal.show(found, str)
        return
    terminal.rows(map(_row_of_index, found), _COLUMNS, _EMPTY)


def _row_of_index(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "state": "being filled" if state["filling"] else "up to date"}
