"""`gatelodge whoami`: who the gate takes this command for."""

import click

from gatelodge.cli import output
from gatelodge.cli.lazy import Verb
from gatelodge.cli.terminal import Terminal


@click.command("whoami", cls=Verb)
@click.pass_obj
def whoami(terminal: Terminal) -> None:
    """Say who you are at the gate, in which role, and with which token."""
    gate = terminal.gate
    found = gate.get(gate.here("whoami"))
    terminal.show(found, lambda it: output.fields((k, v) for k, v in it.items() if v))
