"""`gatelodge access`: who can use what, and which rule says so."""

from typing import Any

import click

from gatelodge.cli import output
from gatelodge.cli.lazy import group
from gatelodge.cli.terminal import Terminal

access = group("access", "Who can use what, and which rule says so.")


@access.command("explain")
@click.argument("principal")
@click.argument("tool", metavar="SERVER/TOOL")
@click.pass_obj
@click.pass_context
def explain(ctx: click.Context, terminal: Terminal, principal: str, tool: str) -> None:
    """Say whether somebody may call a tool, and why. Exit code 1 when not."""
    gate = terminal.gate
    found = gate.get(gate.here("access", "explain"), principal=principal, tool=tool)
    terminal.show(found, _explained)
    if not found["allowed"]:
        ctx.exit(output.NEGATIVE)


@access.command("matrix")
@click.pass_obj
def matrix(terminal: Terminal) -> None:
    """Show every principal's access to every tool, now."""
    gate = terminal.gate
    found = gate.get(gate.here("access", "matrix"))
    terminal.show(found, _matrix)


def _explained(found: dict[str, Any]) -> str:
    return output.fields(found.items())


def _matrix(found: dict[str, Any]) -> str:
    return output.as_json(found)
