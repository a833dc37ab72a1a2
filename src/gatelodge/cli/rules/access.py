"""`gatelodge access`: who can use what, and which rule says so."""

from typing import Any

import click

from gatelodge.cli import output
from gatelodge.cli.lazy import group
from gatelodge.cli.terminal import CommandRun
from gatelodge.core.errors import Invalid

access = group("access", "Who can use what, and which rule says so.")


@access.command("explain")
@click.argument("principal")
@click.argument("what", metavar="SERVER[/TOOL]")
@click.option("--prompts", is_flag=True, help="About the prompts of SERVER.")
@click.option("--resources", is_flag=True, help="About the resources of SERVER.")
@click.pass_obj
@click.pass_context
def explain(
    ctx: click.Context,
    terminal: CommandRun,
    principal: str,
    what: str,
    prompts: bool,
    resources: bool,
) -> None:
    """Say whether somebody may call a tool, and why. Exit code 1 when not."""
    kind = _chosen_kind(prompts=prompts, resources=resources)
    asked = {"tool": what} if kind == "tools" else {"server": what}
    gate = terminal.gate
    found = gate.get(gate.here("access", "explain"), principal=principal, kind=kind, **asked)
    terminal.show(found, _format_explanation)
    if not found["allowed"]:
        ctx.exit(output.NEGATIVE)


@access.command("matrix")
@click.option("--all", "everything", is_flag=True, help="Show what is denied too.")
@click.option("--prompts", is_flag=True, help="About each server's prompts, not its tools.")
@click.option("--resources", is_flag=True, help="About each server's resources, not its tools.")
@click.option("--principal", metavar="WHO", default="", help="Of one member or agent only.")
@click.option("--server", metavar="ALIAS", default="", help="On one server only.")
@click.option("--tool", metavar="SERVER/TOOL", default="", help="On one tool only.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for spreadsheets.")
@click.pass_obj
def matrix(
    terminal: CommandRun,
    /,
    everything: bool,
    prompts: bool,
    resources: bool,
    as_csv: bool,
    **only: str,
) -> None:
    """Show who can use what now, each cell with the rule that says so."""
    kind = _chosen_kind(prompts=prompts, resources=resources)
    gate = terminal.gate
    found = gate.get(gate.here("access", "matrix"), kind=kind, **only)
    # Whoever says --json for the whole run gets it, from every command.
    if as_csv and not terminal.json:
        cells = [cell for cell in found["cells"] if everything or cell["allowed"]]
        click.echo(output.as_csv(_CELL, cells))
        return
    terminal.show(found, lambda it: _format_matrix(it, everything=everything))


_CELL = ("principal", "tool", "decision", "conditional", "rule")


def _chosen_kind(*, prompts: bool, resources: bool) -> str:
    if prompts and resources:
        raise Invalid("give either --prompts or --resources")
    return "prompts" if prompts else "resources" if resources else "tools"


def _format_explanation(found: dict[str, Any]) -> str:
    grants, guardrails = found.pop("grants"), found.pop("guardrails")
    names = {"tool": _column_heading(found.pop("kind", "tools"))}
    parts = [output.fields((names.get(name, name), value) for name, value in found.items())]
    for head, rows in (("grants", grants), ("guardrails", guardrails)):
        if rows:
            parts.append(f"{head}:\n{output.listing(list(rows[0]), rows)}")
    return "\n\n".join(parts)


def _format_matrix(found: dict[str, Any], *, everything: bool) -> str:
    cells = found["cells"]
    shown = [cell for cell in cells if everything or cell["allowed"]]
    tail = f"As of gov={found['gov']}: {len(cells)} cells, {len(shown)} shown."
    if not shown:
        return f"Nobody may use anything yet. {tail}"
    head = ("principal", _column_heading(found.get("kind", "tools")), *_CELL[2:])
    return f"{output.listing(_CELL, shown, *head)}\n{tail}"


def _column_heading(kind: str) -> str:
    """What stands over a tool, or over a server whose prompts or resources it is about."""
    return "tool" if kind == "tools" else f"{kind} of"
