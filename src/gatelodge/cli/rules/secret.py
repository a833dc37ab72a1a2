"""`gatelodge secret`: the vault. A value comes from a file or standard input, never an argument."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gatelodge.cli import lazy, output
from gatelodge.cli.nouns import commands
from gatelodge.cli.terminal import CommandRun
from gatelodge.core.errors import Invalid
from gatelodge.core.vault.secret import LARGEST_VALUE
from gatelodge.flows.vault import secrets

secret = commands(secrets.secret)


class ValueCommand(lazy.JsonCommand):
    """A command that reads a value."""

    too_many = (
        "{} than this command takes. A value is never an argument: give it on standard input, or "
        "with --from-file FILE. One that was typed here is in the shell's history now: change it."
    )


def _of_whom(does: Callable[..., Any]) -> Callable[..., Any]:
    """Say whose value is meant."""
    options = (
        click.argument("name", metavar="NAME"),
        click.option("--member", metavar="EMAIL", default="", help="The value of a person."),
        click.option("--agent", metavar="NAME", default="", help="The value of an agent."),
        click.option("--mine", is_flag=True, help="Your own value."),
        click.option(
            "--for-looks",
            is_flag=True,
            help="The value with which the gate looks at servers, where each has their own.",
        ),
    )
    for option in reversed(options):
        does = option(does)
    return does


_FROM_FILE = click.option(
    "--from-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Read it from this file; else from standard input.",
)


@secret.command("set", cls=ValueCommand)
@_of_whom
@_FROM_FILE
@click.pass_obj
def set_value(terminal: CommandRun, /, name: str, from_file: Path | None, **whose: Any) -> None:
    """Set a value, from a file or standard input; servers name it vault:NAME."""
    _send_value(terminal, name, from_file, whose, rotate=False)


@secret.command("rotate", cls=ValueCommand)
@_of_whom
@_FROM_FILE
@click.pass_obj
def rotate(terminal: CommandRun, /, name: str, from_file: Path | None, **whose: Any) -> None:
    """Replace a value that is there; servers that use it begin anew with the new one."""
    _send_value(terminal, name, from_file, whose, rotate=True)


@secret.command("unset", cls=lazy.JsonCommand)
@_of_whom
@click.pass_obj
def unset(terminal: CommandRun, /, name: str, **whose: Any) -> None:
    """Erase one value; the secret stays, and what was started with the value ends."""
    gate = terminal.gate
    made = gate.delete(gate.here("secrets", name, "value"), **_holder(whose))
    terminal.show(made, lambda it: f"The value is erased; {it['name']} has {it['values']} left.")


@secret.command("rewrap", cls=lazy.JsonCommand)
@click.pass_obj
def rewrap(terminal: CommandRun) -> None:
    """Put every value under the root of the settings (keys.vault_root); safe to repeat."""
    gate = terminal.gate
    made = gate.post(gate.here("vault", "rewrap"), {})
    terminal.show(made, lambda it: f"{it['rewrapped']} values are under the present root now.")


@secret.command("adopt", cls=lazy.JsonCommand)
@click.option("--all", "every", is_flag=True, help="Every value, whatever its name is.")
@click.option("--dry-run", is_flag=True, help="Say what would move, and move nothing.")
@click.pass_obj
def adopt(terminal: CommandRun, *, every: bool, dry_run: bool) -> None:
    """Move values that were typed into servers' definitions into the vault, references stay.

    Those whose name looks secret (TOKEN, KEY, PASSWORD, AUTHORIZATION...) move. Nothing has to be
    approved again, since the servers are given what they were given before.
    """
    gate = terminal.gate
    made = gate.post(gate.here("vault", "adopt"), {"every": every, "dry_run": dry_run})
    if terminal.json:
        terminal.show(made, str)
        return
    terminal.rows(
        made["adopted"],
        ("server", "part", "name", "secret"),
        "No definition holds a value that looks secret; --all takes every value.",
    )
    if made["adopted"]:
        terminal.say("Nothing was moved (dry run)." if dry_run else "They are in the vault now.")


def _send_value(
    terminal: CommandRun, name: str, file: Path | None, whose: dict[str, Any], *, rotate: bool
) -> None:
    gate = terminal.gate
    value = _value_from(file)
    body = {**_holder(whose), "value": value, "rotate": rotate}
    made = gate.post(gate.here("secrets", name, "value"), body)
    terminal.show(
        made, lambda it: f"{it['name']} has its value. Servers name it vault:{it['name']}"
    )


def _holder(whose: dict[str, Any]) -> dict[str, Any]:
    """Whose value is meant, as the gate is asked."""
    return {
        "member": whose["member"],
        "agent": whose["agent"],
        "own": whose["mine"],
        "looks": whose["for_looks"],
    }


def _value_from(file: Path | None) -> str:
    """The text, without the newline at its end. Raises Invalid; nothing of it is ever told."""
    if file is None and output.on_terminal() and sys.stdin.isatty():
        return str(click.prompt("Value (not shown)", hide_input=True, err=True))
    try:
        if file is not None:
            with file.open("rb") as text:
                octets = text.read(LARGEST_VALUE + 2)
        else:
            octets = sys.stdin.buffer.read(LARGEST_VALUE + 2)
    except OSError as fault:
        raise Invalid(f"the value cannot be read ({fault.strerror})") from None
    try:
        return octets.decode("utf-8").removesuffix("\n").removesuffix("\r")
    # The error holds the bytes of the secret, so it is not chained to the one that is told.
    except UnicodeDecodeError:
        raise Invalid("the value is not UTF-8 text", remedy="Store the secret as text.") from None
