"""`gatelodge export`: writes the file that `apply` reads."""

from pathlib import Path

import click

from gatelodge.cli import lazy
from gatelodge.cli.files import write_new_file
from gatelodge.cli.terminal import CommandRun


@click.command("export", cls=lazy.JsonCommand)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.pass_obj
def export(terminal: CommandRun, file: Path | None) -> None:
    """Write the workspace as the file that `apply` reads: to FILE, or to standard output.

    Applied here it changes nothing. Values that may be secret are ***, which stands for what is
    there; approvals and reviews of tools are not in it. A FILE that is there is not written over.
    """
    gate = terminal.gate
    made = gate.get(gate.here("export"))
    if file is None:
        terminal.show(made, lambda it: str(it["text"]).rstrip("\n"))
        return
    # E-mail addresses and guardrails are in it: for the eyes of whoever wrote it.
    write_new_file(file, made["text"])
    terminal.show({"file": str(file)}, lambda it: f"Written: {it['file']}")
