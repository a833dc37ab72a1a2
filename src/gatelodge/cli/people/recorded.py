"""`gatelodge recorded`: what the gate has written down about you."""

from typing import Any

import click

from gatelodge.cli import output
from gatelodge.cli.lazy import group
from gatelodge.cli.terminal import CommandRun

recorded = group("recorded", "What was recorded about you.")

_CALLS = ("at", "server", "tool", "method", "agent", "outcome", "call")


@recorded.command("calls")
@click.option("--limit", default=50, metavar="N", help="How many, newest first.")
@click.option("--cursor", default="", help="Go on where the last list ended.")
@click.pass_obj
def calls(terminal: CommandRun, limit: int, cursor: str) -> None:
    """Show your own calls and requests, and those of your agents. That you look is recorded."""
    gate = terminal.gate
    found = gate.get(gate.here("recorded", "calls"), limit=limit, cursor=cursor)
    terminal.show(found, lambda it: _listed(it, _CALLS, it["items"]))


@recorded.command("changes")
@click.option("--limit", default=50, metavar="N", help="How many, newest first.")
@click.option("--cursor", default="", help="Go on where the last list ended.")
@click.pass_obj
def changes(terminal: CommandRun, limit: int, cursor: str) -> None:
    """Show the changes that name you: role, groups, grants, tokens, and looks at your records."""
    gate = terminal.gate
    found = gate.get(gate.here("recorded", "changes"), limit=limit, cursor=cursor)
    rows = [
        {**each, "told": ", ".join(f"{name} {value}" for name, value in each["told"].items())}
        for each in found["items"]
    ]
    terminal.show(found, lambda it: _listed(it, ("at", "type", "by", "group", "told"), rows))


def _listed(found: dict[str, Any], columns: tuple[str, ...], rows: list[dict[str, Any]]) -> str:
    told = output.listing(columns, rows) if rows else "Nothing was recorded about you."
    return f"{told}\nMore: --cursor {found['next']}" if found["next"] else told
