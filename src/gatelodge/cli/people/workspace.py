"""`gatelodge workspace` and `whoami`: a team's border, and who you are inside it."""

import click

from gatelodge.cli import lazy, output
from gatelodge.cli.client import path_of
from gatelodge.cli.terminal import CommandRun

workspace = lazy.group("workspace", "The borders between teams.")


@workspace.command("create")
@click.argument("slug")
@click.option("--owner", required=True, metavar="EMAIL", help="Its first owner.")
@click.option("--name", default="", help="How people call it.")
@click.pass_obj
def create(terminal: CommandRun, slug: str, owner: str, name: str) -> None:
    """Make a workspace with its owner, and print the owner's token, once."""
    body = {"slug": slug, "owner": owner, "name": name}
    made = terminal.gate.post(path_of("workspaces"), body)
    terminal.show_token(
        made,
        f"That is the token of {owner}, shown once. Endpoint of {slug}: {made['path']}\n"
        f"Work on it: gatelodge --workspace {slug} ...",
    )


@workspace.command("list")
@click.pass_obj
def list_(terminal: CommandRun) -> None:
    """List the workspaces of this gate."""
    terminal.rows(
        terminal.gate.every(path_of("workspaces")),
        ("slug", "name", "path", "id"),
        "No workspaces yet. Make one: gatelodge workspace create main",
    )


@workspace.command("show")
@click.argument("slug", required=False)
@click.pass_obj
def show(terminal: CommandRun, slug: str | None) -> None:
    """Show one workspace."""
    chosen = slug or terminal.options.workspace
    found = terminal.gate.get(path_of("workspaces", chosen))
    terminal.show(found, lambda it: output.fields(it.items()))


@click.command("whoami", cls=lazy.JsonCommand)
@click.pass_obj
def whoami(terminal: CommandRun) -> None:
    """Say who you are at the gate, in which role, and with which token."""
    gate = terminal.gate
    found = gate.get(gate.here("whoami"))
    terminal.show(found, lambda it: output.fields((k, v) for k, v in it.items() if v))
