"""`gatelodge config`: the settings, and where each came from."""

import click

from gatelodge.cli import output
from gatelodge.cli.lazy import group
from gatelodge.cli.terminal import CommandRun

config = group("config", "The settings, and where each came from.")


@config.command("show")
@click.option("--running", is_flag=True, help="As the node that runs has them; it is asked.")
@click.pass_obj
def show(terminal: CommandRun, running: bool) -> None:
    """Print each setting and its origin; secrets stay references."""
    if running:
        told = terminal.gate.get("/settings")
        terminal.rows(told, ("key", "value", "origin"), "No settings.")
        return
    from gatelodge.config.load import shown

    lines = shown(terminal.loaded)
    terminal.show(
        lines,
        lambda _: output.table(
            ("setting", "value", "from"),
            ([each.key, _quote_empty_value(each.value), each.origin] for each in lines),
        ),
    )


@config.command("check")
@click.pass_obj
def check(terminal: CommandRun) -> None:
    """Say whether the settings are good; every fault is told at once. Exit code 2 when not."""
    loaded = terminal.loaded
    where = str(loaded.file) if loaded.file else "defaults"
    terminal.show(
        {"good": True, "file": where}, lambda it: f"The settings are good ({it['file']})."
    )


def _quote_empty_value(value: object) -> object:
    return value if value != "" else '""'
