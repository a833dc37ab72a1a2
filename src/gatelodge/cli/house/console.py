"""`gatelodge console`: a link that signs the operator of this machine in."""

import webbrowser
from typing import Any

import click

from gatelodge.cli.lazy import JsonCommand
from gatelodge.cli.terminal import CommandRun


@click.command("console", cls=JsonCommand)
@click.option("--member", metavar="EMAIL", default="", help="As whom; else the only owner.")
@click.option("--open", "opens", is_flag=True, help="Open it in the browser of this machine.")
@click.pass_obj
def console(terminal: CommandRun, member: str, opens: bool) -> None:
    """Print a link into the console, good once and for a minute.

    On the gate's own machine, while it serves. The session that it opens is a token of eight hours
    of that member: it stands in the log as issued by you, and `token revoke` ends it.
    """
    gate = terminal.gate
    made = gate.post(gate.here("console", "links"), {"member": member})
    if opens:
        webbrowser.open(made["url"])
    terminal.show(made, _format_link)


def _format_link(made: dict[str, Any]) -> str:
    return (
        f"{made['url']}\n\n"
        f"Opens the console as {made['member']}, once, within {made['seconds']:.0f} seconds."
    )
