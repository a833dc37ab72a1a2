"""`gatelodge tool`: what servers offer, and what an admin said of it."""

from typing import Any

import click

from gatelodge.cli import output
from gatelodge.cli.lazy import WHY, group
from gatelodge.cli.receipt import show_receipt
from gatelodge.cli.terminal import Terminal
from gatelodge.core.errors import Invalid

tool = group("tool", "The tools of servers: approve, block, review.")

_COLUMNS = ("server", "name", "standing", "read_only", "destructive", "open_world", "reviewed")


@tool.command("list")
@click.option("--server", default="", metavar="ALIAS", help="Only this server's.")
@click.pass_obj
def list_(terminal: Terminal, server: str) -> None:
    """List tools with their standing: pinned, changed, new, gone."""
    gate = terminal.gate
    empty = "No tools yet. They come with a server: gatelodge server add ..."
    if server:
        empty = f"No tools yet. Read what it has: gatelodge server observe {server}"
    terminal.rows(gate.every(gate.here("tools"), server=server), _COLUMNS, empty)


@tool.command("approve")
@click.argument("server")
@click.argument("tools", nargs=-1, required=True)
@click.pass_obj
def approve(terminal: Terminal, server: str, tools: tuple[str, ...]) -> None:
    """Pin tools as they are now."""
    gate = terminal.gate
    made = gate.post(gate.here("servers", server, "tools", "approve"), {"tools": tools})
    terminal.show(made, lambda it: f"Pinned: {output.clean(it['approved'])}")


@tool.command("block")
@click.argument("server")
@click.argument("tool_name", metavar="TOOL")
@click.option("--why", default="", help=WHY)
@click.pass_obj
def block(terminal: Terminal, server: str, tool_name: str, why: str) -> None:
    """Take a tool's approval back; nobody can use it until it is approved again."""
    gate = terminal.gate
    body = {"tool": tool_name, "why": why}
    receipt = gate.post(gate.here("servers", server, "tools", "block"), body)
    show_receipt(terminal, receipt, f"{server}/{tool_name}")


@tool.command("review")
@click.argument("server")
@click.argument("tool_name", metavar="TOOL")
@click.option("--read-only/--not-read-only", default=None, help="It changes nothing.")
@click.option("--destructive/--not-destructive", default=None, help="It may destroy something.")
@click.option("--open-world/--not-open-world", default=None, help="It reaches the outside.")
@click.pass_obj
def review(terminal: Terminal, /, server: str, tool_name: str, **said: bool | None) -> None:
    """Say what a tool does; the server's own hints never count."""
    if all(value is None for value in said.values()):
        raise Invalid("say at least one of --read-only, --destructive, --open-world")
    gate = terminal.gate
    made = gate.post(gate.here("servers", server, "tools", "review"), {"tool": tool_name, **said})
    terminal.show(made, lambda it: output.fields((each, it.get(each)) for each in _COLUMNS))


@tool.command("diff")
@click.argument("server")
@click.pass_obj
def diff(terminal: Terminal, server: str) -> None:
    """Show what differs from what was approved."""
    gate = terminal.gate
    found = gate.get(gate.here("servers", server, "tools", "diff"))
    terminal.show(found, lambda it: _differences(it["changes"], server))


def _differences(changes: list[dict[str, Any]], server: str) -> str:
    if not changes:
        return f"{server} offers exactly what was approved."
    rows = ([each["name"], each["standing"], each["title"]] for each in changes)
    return (
        f"{output.table(('tool', 'standing', 'says'), rows)}\n"
        f"See the definitions with --json; approve: gatelodge tool approve {server} TOOL..."
    )
