"""`gatelodge group`: named sets of members and agents."""

from shlex import quote

import click

from gatelodge.cli import lazy
from gatelodge.cli.receipt import show_changes
from gatelodge.cli.terminal import Terminal

group = lazy.group("group", "Named sets of members and agents, for grants.")


@group.command("create")
@click.argument("name")
@click.pass_obj
def create(terminal: Terminal, name: str) -> None:
    """Make an empty group."""
    gate = terminal.gate
    made = gate.post(gate.here("groups"), {"name": name})
    step = f"gatelodge group join {quote(name)} EMAIL"
    terminal.show(made, lambda it: f"Group {it['name']} is there. Next: {step}")


@group.command("list")
@click.pass_obj
def list_(terminal: Terminal) -> None:
    """List the groups and who is in them."""
    gate = terminal.gate
    terminal.rows(
        gate.every(gate.here("groups")),
        ("name", "principals", "id"),
        "No groups yet. Make one: gatelodge group create engineers",
    )


@group.command("join")
@click.argument("name", metavar="GROUP")
@click.argument("principal")
@click.pass_obj
def join(terminal: Terminal, name: str, principal: str) -> None:
    """Put a member (e-mail) or an agent (name) into a group."""
    gate = terminal.gate
    made = gate.post(gate.here("groups", name, "join"), {"principal": principal})
    terminal.show(made, lambda it: f"{principal} is in {it['name']}.")


@group.command("part")
@click.argument("name", metavar="GROUP")
@click.argument("principal")
@click.pass_obj
def part(terminal: Terminal, name: str, principal: str) -> None:
    """Take a member or an agent out of a group."""
    gate = terminal.gate
    made = gate.post(gate.here("groups", name, "part"), {"principal": principal})
    terminal.show(made, lambda it: f"{principal} is no longer in {it['name']}.")


@group.command("remove")
@click.argument("name", metavar="GROUP")
@lazy.dry_run
@lazy.yes
@click.pass_obj
def remove(terminal: Terminal, name: str, dry_run: bool, yes: bool) -> None:
    """Remove a group, and with it what was granted to it."""
    gate = terminal.gate
    if dry_run:
        show_changes(terminal, gate.delete(gate.here("groups", name), dry_run=True))
        return
    terminal.sure(f"Remove the group {name} and its grants?", yes=yes)
    gone = gate.delete(gate.here("groups", name))
    terminal.show(
        gone, lambda it: f"Group {it['removed']} is gone, with {len(it['grants'])} grants."
    )
