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
@click.option("--all", "everything", is_flag=True, help="Show what is denied too.")
@click.pass_obj
def matrix(terminal: Terminal, everything: bool) -> None:
    """Show who can use what now, each cell with the rule that says so."""
    gate = terminal.gate
    found = gate.get(gate.here("access", "matrix"))
    terminal.show(found, lambda it: _matrix(it, everything=everything))


def _explained(found: dict[str, Any]) -> str:
    grants, guardrails = found.pop("grants"), found.pop("guardrails")
    parts = [output.fields(found.items())]
    for head, rows in (("grants", grants), ("guardrails", guardrails)):
        if rows:
            columns = [column.replace("_", " ") for column in rows[0]]
            parts.append(f"{head}:\n{output.table(columns, (row.values() for row in rows))}")
    return "\n\n".join(parts)


def _matrix(found: dict[str, Any], *, everything: bool) -> str:
    cells = found["cells"]
    shown = [cell for cell in cells if everything or cell["allowed"]]
    tail = f"As of gov={found['gov']}: {len(cells)} cells, {len(shown)} shown."
    if not shown:
        return f"Nobody may use anything yet. {tail}"
    columns = ("principal", "tool", "decision", "conditional", "rule")
    return f"{output.table(columns, ([cell[each] for each in columns] for cell in shown))}\n{tail}"
