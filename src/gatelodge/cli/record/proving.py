"""`gatelodge audit prove | fsck | key`: evidence for others, and for oneself."""

from pathlib import Path
from typing import Any

import click

from gatelodge.cli import lazy, output
from gatelodge.cli.files import write_new_file
from gatelodge.cli.house.job import result_of_job
from gatelodge.cli.lazy import JsonCommand
from gatelodge.cli.terminal import CommandRun


@click.command("prove", cls=JsonCommand)
@click.argument("call")
@click.option(
    "-o", "--output", "file", type=click.Path(path_type=Path), help="Where to; else CALL.proof.json"
)
@click.option(
    "--name-caller", is_flag=True, help="Show who called, to everybody who gets the file."
)
@lazy.shard
@click.pass_obj
def prove(
    terminal: CommandRun, call: str, file: Path | None, shard: int | None, *, name_caller: bool
) -> None:
    """Write a proof of a call to a file; it needs no gate to be checked.

    It names nobody unless --name-caller is given, which is itself written down. A file that
    is there is not written over.
    """
    gate = terminal.gate
    document = gate.get(gate.here("audit", "calls", call, "proof"), named=name_caller, shard=shard)
    written_proof(terminal, document, (file, call))


def written_proof(
    terminal: CommandRun, document: dict[str, Any], target: tuple[Path | None, str]
) -> None:
    """Write a proof to a file, or print it as JSON, and say how anybody checks it."""
    gate, (chosen, name) = terminal.gate, target
    if terminal.json and chosen is None:
        terminal.show(document, str)
        return
    file = chosen or Path(f"{name}.proof.json")
    write_new_file(file, output.as_json(document) + "\n")
    # Only for the hint: a key that comes from the same gate as the proof proves nothing by itself.
    key = gate.get(gate.here("audit", "key"))["key"]
    terminal.show(
        {"file": str(file), "key": key},
        lambda _: (
            f"Wrote {file}. Check it anywhere:\n  gatelodge audit verify {file} --key '{key}'"
        ),
    )


@click.command("fsck", cls=JsonCommand)
@click.option("--detach", is_flag=True, help="Start it and return at once.")
@click.pass_obj
@click.pass_context
def fsck(ctx: click.Context, terminal: CommandRun, *, detach: bool) -> None:
    """Derive every hash, signature and pair of every log again. Exit code 1 on any finding.

    It is a job of the running gate, which goes on when this command is stopped. Whoever asks
    again joins it.
    """
    found = result_of_job(terminal, "fsck", detach=detach)
    if found is None:
        return
    terminal.show(found, _format_fsck_report)
    if not found["sound"]:
        ctx.exit(output.NEGATIVE)


@click.command("key", cls=JsonCommand)
@click.pass_obj
def key(terminal: CommandRun) -> None:
    """Print the key that signs the logs, for `audit verify --key`; keep it outside the gate."""
    gate = terminal.gate
    terminal.show(gate.get(gate.here("audit", "key")), lambda it: str(it["key"]))


@click.command("growth", cls=JsonCommand)
@click.argument("old", type=click.IntRange(1))
@click.argument("new", type=click.IntRange(1))
@click.option("--log", type=click.Choice(("calls", "gov")), default="calls", show_default=True)
@lazy.shard
@click.pass_obj
def growth(terminal: CommandRun, old: int, new: int, log: str, shard: int | None) -> None:
    """Print what shows that a log only grew between two sizes (RFC 9162 2.1.4), in base64.

    Check it with the roots of the two checkpoints, which you have to know from elsewhere.
    """
    gate = terminal.gate
    asked = {"old": old, "new": new, "log": log, "shard": shard}
    told = gate.get(gate.here("audit", "consistency"), **asked)
    terminal.show(told, lambda it: "\n".join(it["path"]))


def _format_fsck_report(found: dict[str, Any]) -> str:
    columns = ("log", "leaves", "checkpoints", "open_pairs", "openings", "erased")
    parts = [output.listing(columns, found["logs"])]
    if found["findings"]:
        parts.append("TAMPERED or broken:")
        parts.append(output.listing(("log", "index", "code", "detail"), found["findings"]))
    if found["left_out"]:
        parts.append(f"{found['left_out']} more lines are not shown.")
    else:
        parts.append("Sound: everything follows from the leaves.")
    return "\n\n".join(parts)
