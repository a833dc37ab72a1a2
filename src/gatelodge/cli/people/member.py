"""`gatelodge member`: the people of a workspace, by e-mail address."""

import click

from gatelodge.cli import output
from gatelodge.cli.lazy import WHY, dry_run, everyone, group, yes
from gatelodge.cli.receipt import show_changes, show_receipt
from gatelodge.cli.terminal import Terminal, present

ROLES = click.Choice(["owner", "security", "admin", "auditor", "member"])
_COLUMNS = ("email", "name", "role", "status", "id")

member = group("member", "The people who may come in, named by e-mail address.")


@member.command("add")
@click.argument("email")
@click.option("--name", default="", help="How the person is called.")
@click.option("--role", type=ROLES, default="member", show_default=True)
@click.pass_obj
def add(terminal: Terminal, email: str, name: str, role: str) -> None:
    """Let a person in; what they may use is said by grants."""
    gate = terminal.gate
    made = gate.post(gate.here("members"), {"email": email, "name": name, "role": role})
    terminal.show(
        made,
        lambda it: (
            f"{it['email']} is in, as {it['role']}.\n"
            f"Next: gatelodge token create --member {it['email']}"
        ),
    )


@member.command("list")
@everyone
@click.pass_obj
def list_(terminal: Terminal, everything: bool) -> None:
    """List the members of the workspace."""
    gate = terminal.gate
    terminal.rows(
        present(gate.every(gate.here("members")), everything=everything),
        _COLUMNS,
        "No members yet. Add one: gatelodge member add ada@example.com --role owner",
    )


@member.command("show")
@click.argument("email")
@click.pass_obj
def show(terminal: Terminal, email: str) -> None:
    """Show one member: role, groups, agents, tokens."""
    gate = terminal.gate
    terminal.show(gate.get(gate.here("members", email)), lambda it: output.fields(it.items()))


@member.command("rename")
@click.argument("email")
@click.argument("name")
@click.pass_obj
def rename(terminal: Terminal, email: str, name: str) -> None:
    """Call a member something else; the e-mail address stays."""
    gate = terminal.gate
    made = gate.post(gate.here("members", email, "rename"), {"name": name})
    terminal.show(made, lambda it: f"{it['email']} is called {it['name'] or 'nothing'}.")


@member.command("role")
@click.argument("email")
@click.argument("role", type=ROLES)
@click.pass_obj
def role_(terminal: Terminal, email: str, role: str) -> None:
    """Give a member another role."""
    gate = terminal.gate
    made = gate.post(gate.here("members", email, "role"), {"role": role})
    terminal.show(made, lambda it: f"{it['email']} is now {it['role']}.")


@member.command("suspend")
@click.argument("email")
@click.option("--why", default="", help=WHY)
@click.pass_obj
def suspend(terminal: Terminal, email: str, why: str) -> None:
    """Stop a member at once; `member resume` lets them in again."""
    gate = terminal.gate
    show_receipt(terminal, gate.post(gate.here("members", email, "suspend"), {"why": why}), email)


@member.command("resume")
@click.argument("email")
@yes
@click.pass_obj
def resume(terminal: Terminal, email: str, yes: bool) -> None:
    """Let a suspended member in again."""
    gate = terminal.gate
    remedy = f"Say --yes, or look first: gatelodge member show {email}"
    terminal.sure(f"Let {email} in again?", yes=yes, remedy=remedy)
    made = gate.post(gate.here("members", email, "resume"))
    terminal.show(made, lambda it: f"{it['email']} may come in again.")


@member.command("revoke")
@click.argument("email")
@click.option("--why", required=True, help=WHY)
@click.option("--hand-over-to", "heir", default="", metavar="EMAIL", help="Who gets the agents.")
@dry_run
@yes
@click.pass_obj
def revoke(terminal: Terminal, email: str, why: str, heir: str, dry_run: bool, yes: bool) -> None:
    """End a member's access for good: tokens, running calls, open streams, places, grants.

    Their agents are suspended, or answered for by another member (--hand-over-to).
    Prints the revocation receipt: when it was certain on every node. Nobody else notices.
    """
    gate = terminal.gate
    path = gate.here("members", email, "revoke")
    body = {"why": why, "hand_over_to": heir}
    if dry_run:
        show_changes(terminal, gate.post(path, body, dry_run=True))
        return
    terminal.sure(f"End all access of {email}?", yes=yes)
    show_receipt(terminal, gate.post(path, body), email)
