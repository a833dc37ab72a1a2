"""`gatelodge whoami`: who the gate takes this command for."""

import click

from gatelodge.cli import output
from gatelodge.cli.lazy import JsonCommand
from gatelodge.cli.terminal import CommandRun


@click.command("whoami", cls=JsonCommand)
@click.pass_obj
def whoami(terminal: CommandRun) -> None:
    """Say who you are at the gate, in which role, and with which token."""
    gate = terminal.gate
    found = gate.get(gate.here("whoami"))
    terminal.show(found, lambda it: output.fields((k, v) for k, v in it.items() if v))
