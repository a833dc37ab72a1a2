"""`gatelodge access`: who can use what, and which rule says so."""

from typing import Any

import click

from gatelodge.cli import lazy, output
from gatelodge.cli.lazy import group
from gatelodge.cli.terminal import CommandRun
from gatelodge.core.errors import Invalid
from gatelodge.core.pictures.heat_map import heat_map
from gatelodge.core.pictures.timeline import TimelineSpan, access_timeline

_AT = click.option(
    "--at",
    metavar="TIME",
    default="",
    help="At a past moment: RFC 3339, a day, or how long ago (90d).",
)

access = group("access", "Who can use what, and which rule says so.")


@access.command("explain")
@click.argument("principal")
@click.argument("what", metavar="SERVER[/TOOL]")
@click.option("--prompts", is_flag=True, help="About the prompts of SERVER.")
@click.option("--resources", is_flag=True, help="About the resources of SERVER.")
@_AT
@click.pass_obj
@click.pass_context
def explain(
    ctx: click.Context,
    terminal: CommandRun,
    /,
    principal: str,
    what: str,
    prompts: bool,
    resources: bool,
    at: str,
) -> None:
    """Say whether somebody may call a tool, or might have, and why. Exit code 1 when not."""
    kind = _chosen_kind(prompts=prompts, resources=resources)
    asked = {"tool": what} if kind == "tools" else {"server": what}
    gate = terminal.gate
    found = gate.get(gate.here("access", "explain"), principal=principal, kind=kind, at=at, **asked)
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
@_AT
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for spreadsheets.")
@click.option("--svg", is_flag=True, help="Print a heat map of it.")
@click.pass_obj
def matrix(
    terminal: CommandRun,
    /,
    everything: bool,
    prompts: bool,
    resources: bool,
    as_csv: bool,
    svg: bool,
    **only: str,
) -> None:
    """Show who can use what, now or at a past moment, each cell with the rule that says so."""
    kind = _chosen_kind(prompts=prompts, resources=resources)
    gate = terminal.gate
    found = gate.get(gate.here("access", "matrix"), kind=kind, **only)
    # Whoever says --json for the whole run gets it, from every command.
    if as_csv and not terminal.json:
        cells = [cell for cell in found["cells"] if everything or cell["allowed"]]
        click.echo(output.as_csv(_CELL, cells))
        return
    if svg and not terminal.json:
        click.echo(_matrix_picture(found))
        return
    terminal.show(found, lambda it: _format_matrix(it, everything=everything))


@access.command("replay")
@click.argument("call")
@lazy.shard
@click.pass_obj
@click.pass_context
def replay(ctx: click.Context, terminal: CommandRun, call: str, shard: int | None) -> None:
    """Decide a recorded call again, from the log alone. Exit code 1 when it comes out differently.

    The record cites how many changes of who may do what its decision knew; these are read again.
    """
    gate = terminal.gate
    found = gate.get(gate.here("audit", "calls", call, "replay"), shard=shard)
    terminal.show(found, lambda it: output.fields(it.items()))
    if found["verdict"] == "differs":
        ctx.exit(output.NEGATIVE)


@access.command("at")
@click.argument("moment", metavar="TIME")
@click.option("--principal", metavar="WHO", default="", help="Of one member or agent only.")
@click.pass_obj
def at_moment(terminal: CommandRun, moment: str, principal: str) -> None:
    """Show who could use what at a past moment: RFC 3339, a day, or how long ago (90d)."""
    gate = terminal.gate
    found = gate.get(gate.here("access", "matrix"), at=moment, principal=principal)
    terminal.show(found, lambda it: _format_matrix(it, everything=False))


@access.command("who-can")
@click.argument("tool", metavar="SERVER/TOOL")
@_AT
@click.pass_obj
def who_can(terminal: CommandRun, tool: str, at: str) -> None:
    """Show everybody who can call a tool, now or at a past moment, and by which rule."""
    gate = terminal.gate
    found = gate.get(gate.here("access", "matrix"), tool=tool, at=at)
    terminal.show(found, lambda it: _format_matrix(it, everything=False))


@access.command("history")
@click.argument("principal")
@click.option("--tool", metavar="SERVER[/TOOL]", default="", help="Of one server or tool only.")
@click.option("--svg", is_flag=True, help="Print a timeline of it.")
@click.pass_obj
def history(terminal: CommandRun, principal: str, tool: str, *, svg: bool) -> None:
    """Show what somebody could use, from when until when, and which change said so."""
    gate = terminal.gate
    found = gate.get(gate.here("access", "history"), principal=principal, tool=tool)
    if svg and not terminal.json:
        click.echo(_history_picture(found))
        return
    terminal.show(found, _format_history)


@access.command("diff")
@click.argument("earlier", required=False, default="")
@click.argument("later", required=False, default="")
@click.pass_obj
def diff(terminal: CommandRun, earlier: str, later: str) -> None:
    """Show who gained and who lost which tools between two moments; without LATER until now."""
    gate = terminal.gate
    found = gate.get(gate.here("access", "diff"), earlier=earlier, later=later)
    terminal.show(found, _format_diff)


@access.command("unused")
@click.option("--days", metavar="N", default=90, help="How many days count as lately.")
@click.option("--all", "used", is_flag=True, help="Show the grants that were used too.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for spreadsheets.")
@click.pass_obj
def unused(terminal: CommandRun, days: int, *, used: bool, as_csv: bool) -> None:
    """Show which grants allowed no call for so many days, and when each was used last."""
    gate = terminal.gate
    found = gate.get(gate.here("access", "unused"), days=days, used=used)
    if as_csv and not terminal.json:
        click.echo(output.as_csv(_GRANT_USE, found["grants"]))
        return
    terminal.show(found, _format_unused)


def _format_unused(found: dict[str, Any]) -> str:
    tail = f"Since {found['since']}."
    if not found["whole"]:
        tail += " The log goes further back than was read: ask again to read on."
    if not found["grants"]:
        return f"No grant that was there by then is unused. {tail}"
    return f"{output.listing(_GRANT_USE, found['grants'])}\n{tail}"


_GRANT_USE = ("grant", "to", "server", "tool", "level", "created_at", "last_used")


def _format_history(found: dict[str, Any]) -> str:
    rows = [
        {
            "tool": each["tool"],
            "from": each["began"]["at"][:19],
            "by": _edge_in_words(each["began"]),
            "until": each["ended"]["at"][:19] if each.get("ended") else "-",
            "ended by": _edge_in_words(each["ended"]) if each.get("ended") else "-",
        }
        for each in found["intervals"]
    ]
    if not rows:
        return f"{found['principal']} could never use anything. As of {found['at']}."
    return f"{output.listing(list(rows[0]), rows)}\nAs of {found['at']}."


def _history_picture(found: dict[str, Any]) -> str:
    spans = [
        TimelineSpan(
            row=each["tool"],
            began=each["began"]["at"],
            ended=each["ended"]["at"] if each.get("ended") else "",
        )
        for each in found["intervals"]
    ]
    return access_timeline(spans, found["at"], found["principal"])


def _edge_in_words(edge: dict[str, Any]) -> str:
    words = [edge["kind"], edge["by"] and f"by {edge['by']}", edge["why"] and f"({edge['why']})"]
    return " ".join(filter(None, words))


def _format_diff(found: dict[str, Any]) -> str:
    tail = f"Between {found['earlier']} and {found['later']}."
    if not found["differences"]:
        return f"Nothing differs. {tail}"
    columns = ("principal", "tool", "change", "before", "after")
    return f"{output.listing(columns, found['differences'])}\n{tail}"


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
    shown.sort(key=lambda cell: str(cell["principal"]))  # ids stand in no order that people know
    tail = f"As of {found['at']} (gov={found['gov']}): {len(cells)} cells, {len(shown)} shown."
    if not shown:
        return f"Nobody may use anything. {tail}"
    head = ("principal", _column_heading(found.get("kind", "tools")), *_CELL[2:])
    return f"{output.listing(_CELL, shown, *head)}\n{tail}"


def _matrix_picture(found: dict[str, Any]) -> str:
    """Principals by servers, or by the tools of the one server that there is."""
    cells, kind = found["cells"], found.get("kind", "tools")
    servers = {cell["tool"].partition("/")[0] for cell in cells}
    counts: dict[tuple[str, str], tuple[int, int]] = {}
    for cell in cells:
        column = cell["tool"] if len(servers) == 1 else cell["tool"].partition("/")[0]
        allowed, total = counts.get((cell["principal"], column), (0, 0))
        counts[cell["principal"], column] = (allowed + cell["allowed"], total + 1)
    about = (
        "A figure says how many of the tools may be used"
        if kind == "tools"
        else f"1/1 says that the {kind} of a server may be read"
    )
    title = f"Who can use what as of {found['at'][:19].replace('T', ' ')} UTC (gov={found['gov']})"
    return heat_map(counts, title, f"{about}; where none stands, nothing.")


def _column_heading(kind: str) -> str:
    """What stands over a tool, or over a server whose prompts or resources it is about."""
    return "tool" if kind == "tools" else f"{kind} of"
