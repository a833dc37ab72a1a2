"""`gatelodge apply` and `export`: a workspace as a file says it, which can be kept in git."""

import sys
from pathlib import Path
from typing import Any

import click

from gatelodge.cli import lazy, output
from gatelodge.cli.declared.built_sources import with_images
from gatelodge.cli.files import write_new_file
from gatelodge.cli.terminal import CommandRun
from gatelodge.core.errors import Invalid


@click.command("apply", cls=lazy.JsonCommand)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--prune", is_flag=True, help="End grants, places, guardrails that FILE lacks.")
@lazy.dry_run
@lazy.yes
@click.pass_obj
def apply(terminal: CommandRun, file: Path, prune: bool, dry_run: bool, yes: bool) -> None:
    """Add and change what FILE (TOML; - = standard input) says, in one transaction.

    A package (`source`) without an `image` is built first. A second run changes nothing. What FILE
    does not name stays; --prune ends grants, places in groups and guardrails that it lacks.
    Members, agents, groups and servers stay even so: they are ended by their own commands, as
    approvals and reviews of tools are given by theirs.
    """
    gate = terminal.gate
    text = with_images(terminal, _read_file_or_stdin(file), dry_run=dry_run)
    body = {"text": text, "prune": prune}
    # Only what ends something is asked about; the trial before it refuses whatever the change
    # would.
    if prune and not dry_run and not yes:
        if not terminal.json:
            click.echo(_format_changes(gate.post(gate.here("apply"), body, dry_run=True)))
        terminal.sure("Do this?", yes=yes)
    terminal.show(gate.post(gate.here("apply"), body, dry_run=dry_run), _format_changes)


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


def _read_file_or_stdin(file: Path) -> str:
    try:
        if str(file) == "-":
            # As bytes: the locale's encoding may be another one than that of the file.
            return sys.stdin.buffer.read().decode()
        return file.read_text("utf-8")
    except OSError as error:
        raise Invalid(f"{file} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise Invalid(f"{file} is not UTF-8 text") from None


def _format_changes(found: dict[str, Any]) -> str:
    lines = ["Nothing differs."]
    if found["lines"]:
        head = "Would change (dry run, nothing was kept):" if found["dry_run"] else "Changed:"
        lines = [head, *(f"  {output.clean(line)}" for line in found["lines"])]
    if found.get("lacks"):  # an older gate tells none
        lines += ["What is lacking here:", *(f"  {output.clean(each)}" for each in found["lacks"])]
    return "\n".join(lines)
