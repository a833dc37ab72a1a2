"""`gatelodge server import`: the servers that a client's file names."""

import json
from pathlib import Path

import click

from gatelodge.cli import output
from gatelodge.cli.lazy import JsonCommand, dry_run
from gatelodge.cli.rules.hosting import build_artifact
from gatelodge.cli.rules.mcp_file import McpFileEntry, entries, in_one_line
from gatelodge.cli.rules.serving import RUN_AS
from gatelodge.cli.terminal import CommandRun
from gatelodge.core.errors import Conflict, HouseError, Invalid


@click.command("import", cls=JsonCommand)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--run-as", type=RUN_AS, default="own", show_default=True)
@dry_run
@click.pass_context
def import_(ctx: click.Context, /, file: Path, run_as: str, *, dry_run: bool) -> None:
    """Propose each server of a client's mcp.json (`mcpServers` or `servers`); starts none.

    What `npx` or `uvx` would fetch at one exact version is built as a hosted package, unless
    hosting.plain_commands is `process`. An entry that cannot be taken is told and left out; one
    whose alias is there already stays.
    """
    terminal: CommandRun = ctx.obj
    gate = terminal.gate
    hosted = terminal.loaded.settings.hosting.plain_commands != "process"
    found = entries(_read_json_file(file), run_as, hosted=hosted)
    taken = {row["alias"] for row in gate.every(gate.here("servers"))}
    told = []
    for entry in found:
        outcome, why = _propose_entry(terminal, entry, taken, dry_run=dry_run)
        told.append({"name": entry.name, "alias": entry.alias, "outcome": outcome, "why": why})
        if outcome != "refused":
            taken.add(entry.alias)
    terminal.rows(told, ("name", "alias", "outcome", "why"), f"{file} names no server.")
    if any(each["outcome"] == "refused" for each in told):
        ctx.exit(output.NEGATIVE)


def _propose_entry(
    terminal: CommandRun, entry: McpFileEntry, taken: set[str], *, dry_run: bool
) -> tuple[str, str]:
    """What became of one entry, and why."""
    if entry.fault:
        return "refused", entry.fault
    if entry.alias in taken:
        return "there already", f"change it by: gatelodge server edit {entry.alias}"
    if dry_run:
        source = entry.transport.get("source")
        return "would be proposed", f"to be built: {source}" if source else ""
    try:
        body = {"alias": entry.alias, "transport": _built_transport(terminal, entry)}
        terminal.gate.post(terminal.gate.here("servers"), body)
    # Somebody may have added it since the list was read.
    except Conflict as there:
        return "there already", there.detail
    except HouseError as error:
        return "refused", in_one_line(error)
    return "proposed", f"next: gatelodge server observe {entry.alias}"


def _built_transport(terminal: CommandRun, entry: McpFileEntry) -> dict[str, object]:
    """How the entry's server is reached; a package is built first. Raises what that failed of."""
    if entry.transport["type"] != "artifact":
        return entry.transport
    wish = {"source": entry.transport["source"], "script": entry.script}
    built = build_artifact(terminal, wish)
    return {**entry.transport, "image": built["image"]}


def _read_json_file(file: Path) -> object:
    try:
        # Editors of some systems put a byte order mark in front, which is no JSON.
        return json.loads(file.read_text("utf-8-sig"))
    except (OSError, ValueError) as fault:
        raise Invalid(
            f"{file}: not JSON: {fault}", remedy="Take comments and trailing commas out of it."
        ) from None
