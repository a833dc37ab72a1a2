"""`gatelodge workspace`: a team's border; its URL, members, servers, policy and log."""

import click

from gatelodge.cli import lazy, output
from gatelodge.cli.client import path_of
from gatelodge.cli.terminal import Terminal

workspace = lazy.group("workspace", "The borders between teams.")


@workspace.command("create")
@click.argument("slug")
@click.option("--name", default="", help="How people call it.")
@click.pass_obj
def create(terminal: Terminal, slug: str, name: str) -> None:
    """Make a workspace; its endpoint is /w/SLUG/mcp."""
    made = terminal.gate.post(path_of("workspaces"), {"slug": slug, "name": name or slug})
    terminal.show(made, lambda it: f"Workspace {it['slug']} is there; its endpoint: {it['path']}")


@workspace.command("list")
@click.pass_obj
def list_(terminal: Terminal) -> None:
    """List the workspaces of this gate."""
    terminal.rows(
        terminal.gate.every(path_of("workspaces")),
        ("slug", "name", "path", "id"),
        "No workspaces yet. Make one: gatelodge workspace create main",
    )


@workspace.command("show")
@click.argument("slug", required=False)
@click.pass_obj
def show(terminal: Terminal, slug: str | None) -> None:
    """Show one workspace."""
    chosen = slug or terminal.options.workspace
    found = terminal.gate.get(path_of("workspaces", chosen))
    terminal.show(found, lambda it: output.fields(it.items()))
