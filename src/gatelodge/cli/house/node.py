"""`gatelodge node` and `debug`: how the nodes are doing, and what the one here has under way."""

from collections.abc import Iterator
from typing import Any

import click

from gatelodge.cli import output
from gatelodge.cli.client import path_of
from gatelodge.cli.lazy import JsonCommand, group
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
            for name in ("version", "gov", "fresh", "faults", "durability", "demo")
            if name != "demo" or found[name]
        )
    ]
    if found["logs"]:
        columns = ("log", "size", "checkpoint")
        parts.append(output.listing(columns, found["logs"], "log", "size", "signed"))
    if found["nodes"]:
        columns = ("node", "applied", "seen_at")
        parts.append(output.listing(columns, found["nodes"], "node", "applied", "seen"))
    else:
        parts.append("No node is running. Start one: gatelodge up")
    return "\n\n".join(parts)


_CALLS = ("call", "workspace", "server", "method", "seconds", "parked")
_JOBS = ("job", "kind", "stage", "done", "total")
_SERVERS = (
    "workspace",
    "server",
    "state",
    "pending",
    "sessions",
    "connections",
    "children",
    "restarts",
)


@click.command("debug", cls=JsonCommand)
@click.pass_obj
def debug(terminal: CommandRun) -> None:
    """Show what the running node has under way: calls, servers, journal, entries, jobs, tasks.

    On the gate's own machine only. It names no person, no tool and nothing of what is said.
    """
    # Else the house would be opened in this process, and what is shown would be this command.
    terminal.need_running_gate()
    terminal.show(terminal.gate.get(path_of("debug")), lambda it: "\n\n".join(_format_sections(it)))


def _format_sections(found: dict[str, Any]) -> Iterator[str]:
    journal = found["journal"]
    counted = [
        ("calls", len(found["calls"])),
        ("streams", found["streams"]),
        ("connections", f"{found['connections']} ({found['strangers']} of strangers)"),
        ("records not on disk", journal["records"]),
        ("frames not in the logs", journal["frames"]),
        ("logs signed", f"{journal['unsigned_seconds']} s ago"),
        ("journal failed", journal["failed"]),
    ]
    yield output.fields(counted)
    yield _format_rows(_CALLS, found["calls"], "No call is under way.")
    yield _format_rows(_SERVERS, found["servers"], "No server is approved.")
    entries = [{"kind": kind, "entries": many} for kind, many in found["entries"].items()]
    yield _format_rows(("kind", "entries"), entries, "No short-lived entry is kept.")
    yield _format_rows(_JOBS, found["jobs"], "No job runs on this node.")
    yield _format_rows(("name", "count"), found["tasks"], "No task runs.")
    for work, why in found["failing"].items():
        yield f"fails: {output.clean(work)} ({output.clean(why)})"
    for work in found["late"]:
        yield f"late: {output.clean(work)}"


def _format_rows(columns: tuple[str, ...], rows: list[dict[str, Any]], empty: str) -> str:
    if not rows:
        return empty
    head = ["task" if each == "name" else each for each in columns]
    return output.listing(columns, rows, *head)
