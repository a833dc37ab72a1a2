"""`gatelodge agent`: principals that are no person, by name."""

from shlex import quote

import click

from gatelodge.cli.lazy import WHY, dry_run, everyone, group, yes
from gatelodge.cli.receipt import show_changes, show_receipt
from gatelodge.cli.terminal import Terminal, present

agent = group("agent", "Principals that are no person; a member answers for each.")


@agent.command("add")
@click.argument("name")
@click.option("--owner", required=True, metavar="EMAIL", help="The member who answers for it.")
@click.pass_obj
def add(terminal: Terminal, name: str, owner: str) -> None:
    """Let an agent in; it may use what is granted to it, while its owner is active."""
    gate = terminal.gate
    made = gate.post(gate.here("agents"), {"name": name, "owner": owner})
    terminal.show(
        made,
        lambda it: (
            f"{it['name']} is in; {it['owner']} answers for it.\n"
            f"Next: gatelodge token create --agent {quote(it['name'])}"
        ),
    )


@agent.command("list")
@everyone
@click.pass_obj
def list_(terminal: Terminal, everything: bool) -> None:
    """List the agents of the workspace."""
    gate = terminal.gate
    terminal.rows(
        present(gate.every(gate.here("agents")), everything=everything),
        ("name", "owner", "status", "id"),
        "No agents yet. Add one: gatelodge agent add nightly --owner ada@example.com",
    )


@agent.command("suspend")
@click.argument("name")
@click.option("--why", default="", help=WHY)
@click.pass_obj
def suspend(terminal: Terminal, name: str, why: str) -> None:
    """Stop an agent at once; `agent resume` lets it in again."""
    gate = terminal.gate
    show_receipt(terminal, gate.post(gate.here("agents", name, "suspend"), {"why": why}), name)


@agent.command("resume")
@click.argument("name")
@yes
@click.pass_obj
def resume(terminal: Terminal, name: str, yes: bool) -> None:
    """Let a suspended agent in again."""
    gate = terminal.gate
    remedy = "Say --yes, or look first: gatelodge agent list"
    terminal.sure(f"Let {name} in again?", yes=yes, remedy=remedy)
    made = gate.post(gate.here("agents", name, "resume"))
    terminal.show(made, lambda it: f"{it['name']} may come in again.")


@agent.command("owner")
@click.argument("name")
@click.argument("owner", metavar="EMAIL")
@click.pass_obj
def owner_(terminal: Terminal, name: str, owner: str) -> None:
    """Let another member answer for an agent; its tokens end, since the old owner knows them."""
    gate = terminal.gate
    show_receipt(terminal, gate.post(gate.here("agents", name, "owner"), {"owner": owner}), name)


@agent.command("revoke")
@click.argument("name")
@click.option("--why", default="", help=WHY)
@dry_run
@yes
@click.pass_obj
def revoke(terminal: Terminal, name: str, why: str, dry_run: bool, yes: bool) -> None:
    """End an agent's access for good, and print the revocation receipt."""
    gate = terminal.gate
    path = gate.here("agents", name, "revoke")
    if dry_run:
        show_changes(terminal, gate.post(path, {"why": why}, dry_run=True))
        return
    terminal.sure(f"End all access of {name}?", yes=yes)
    show_receipt(terminal, gate.post(path, {"why": why}), name)
