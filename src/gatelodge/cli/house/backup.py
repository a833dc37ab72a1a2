"""`gatelodge backup` and `gatelodge restore`: a copy of the house, and how it goes on from one."""

from pathlib import Path
from typing import Any

import click

from gatelodge.cli import output
from gatelodge.cli.lazy import WHY, JsonCommand
from gatelodge.cli.terminal import CommandRun
from gatelodge.core.errors import Invalid

_PLACE = click.Path(path_type=Path)


@click.command("backup", cls=JsonCommand)
@click.argument("directory", type=_PLACE)
@click.option("--without-keys", is_flag=True, help="You keep keys/ apart; a restore needs both.")
@click.option(
    "--as-it-is", is_flag=True, help="Of a house that refuses to start: only the files, unopened."
)
@click.pass_obj
def backup(terminal: CommandRun, directory: Path, *, without_keys: bool, as_it_is: bool) -> None:
    """Write a whole, checked copy into a new directory, while the gate runs or not.

    With the keys it opens everything that the house keeps: guard it like the house itself.
    """
    from gatelodge.app.backup import take

    _refuse_remote_gate(terminal)
    settings = terminal.loaded.settings
    if not settings.store.url and not as_it_is:
        # What was acknowledged by now goes into the logs first; without a running gate this also
        # recovers what the last one left in its journal.
        terminal.gate.get(terminal.gate.here("audit", "tail"), limit=1, who="false")
        terminal.close()
    made = take(settings, directory, keys=not without_keys)
    sizes = {log: each.size for log, each in made.logs.items()}
    value = {"directory": str(directory), "at": made.at, "keys": made.keys, "logs": sizes}
    terminal.show(value, _backed_up)


@click.command("restore", cls=JsonCommand)
@click.argument("directory", type=_PLACE)
@click.option("--replace", is_flag=True, help="Move the data directory that is there aside.")
@click.option("--guard", type=_PLACE, help="A guard/signed.json of the lost house, if one is left.")
@click.option("--why", default="", metavar="TICKET", help=WHY)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def restore(
    terminal: CommandRun, directory: Path, *, replace: bool, guard: Path | None, why: str, yes: bool
) -> None:
    """Make the data directory from a backup; it goes on under a new shard of its logs.

    Every token ends: which ones were revoked after the backup, nobody can know any more. Members,
    grants and servers come back as they were then.
    """
    import os

    from gatelodge.app.restore import RestoreRequest
    from gatelodge.app.restore import restore as make
    from gatelodge.web.api.operators import operator_of

    _refuse_remote_gate(terminal)
    terminal.sure("Restore, and end every token?", yes=yes)
    asked = RestoreRequest(
        source=directory,
        # No gate runs that could ask the kernel who is at the other end.
        by=operator_of(os.getpid(), os.getuid()),
        why=why,
        replace=replace,
        guard=guard,
    )
    made = make(terminal.loaded.settings, asked)
    terminal.show(made, lambda _: _format_restore_result(made))


def _refuse_remote_gate(terminal: CommandRun) -> None:
    # The copy holds the keys: it goes from disk to disk, and over no network.
    if terminal.options.url:
        raise Invalid("this is done on the gate's own machine", remedy="Leave --url out.")


def _backed_up(made: dict[str, Any]) -> str:
    logs = output.table(("log", "size"), made["logs"].items())
    keys = "with" if made["keys"] else "without"
    return f"{made['directory']} holds the house as of {made['at']}, {keys} its keys.\n\n{logs}"


def _format_restore_result(made: Any) -> str:
    lost = {log: size - made.logs.get(log, 0) for log, size in made.signed.items()}
    rows = (
        [log, size, made.signed.get(log), max(lost.get(log, 0), 0) or None]
        for log, size in {**dict.fromkeys(made.signed, 0), **made.logs}.items()
    )
    lines = [
        f"{made.data_dir} is the house as of {made.backup_at}, in shard {made.shard} of its logs.",
        output.table(("log", "restored", "signed once", "lost at least"), rows),
        f"{made.ended} tokens ended. What was changed after the backup is gone: look through",
        "members, grants, servers and guardrails before you start it (`gatelodge up`), and make",
        "new tokens: gatelodge token create --member EMAIL",
    ]
    if made.moved_to:
        lines.append(f"What was there is in {made.moved_to}: keep it as evidence.")
    return "\n".join(lines)
