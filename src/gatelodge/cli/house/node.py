"""`gatelodge node`: the nodes of this gate, and how they are doing."""

from typing import Any

import click

from gatelodge.cli import output
from gatelodge.cli.client import path_of
from gatelodge.cli.lazy import group
from gatelodge.cli.terminal import CommandRun

node = group("node", "The nodes of this gate, and how they are doing.")


@node.command("status")
@click.pass_obj
def status(terminal: CommandRun) -> None:
    """Show the view, the logs and the nodes."""
    terminal.show(terminal.gate.get(path_of("node")), _format_node_status)


def _format_node_status(found: dict[str, Any]) -> str:
    parts = [
        output.fields(
            (name.replace("_", " "), found[name])
            for name in ("version", "gov", "fresh", "faults", "durability")
        )
    ]
    if found["logs"]:
        rows = ([each["log"], each["size"], each["checkpoint"]] for each in found["logs"])
        parts.append(output.table(("log", "size", "signed"), rows))
    if found["nodes"]:
        rows = ([each["node"], each["applied"], each["seen_at"]] for each in found["nodes"])
        parts.append(output.table(("node", "applied", "seen"), rows))
    else:
        parts.append("No node is running. Start one: gatelodge up")
    return "\n\n".join(parts)
