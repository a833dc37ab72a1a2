"""Options of a server's definition, and the command that changes one."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from gatelodge.cli.lazy import JsonCommand, dry_run
from gatelodge.cli.receipt import show_changes
from gatelodge.cli.terminal import CommandRun
from gatelodge.core.errors import Invalid

_VALUE = "V: text, env:NAME, file:/PATH, or a word and one of them."
header = click.option("--header", "headers", multiple=True, metavar="K=V", help=_VALUE)
env = click.option("--env", multiple=True, metavar="K=V", help=_VALUE)
HIDABLE = click.Choice(["elicitation", "roots", "sampling"])
ERA = click.Choice(["auto", "modern", "legacy"])
ERA_HELP = "Which era of MCP is spoken to it; auto = what it speaks, and what fits each call."
RUN_AS = click.Choice(["own", "gateway"])
_HOSTED: dict[str, dict[str, Any]] = {
    "--tier": {
        "type": click.Choice(["none", "weak", "standard", "strong"]),
        "help": "The least isolation with which it may start.",
    },
    "--scope": {
        "type": click.Choice(["shared", "per_user", "per_session"]),
        "help": "Who shares one instance.",
    },
    "--tmp": {"type": click.IntRange(1), "metavar": "MIB", "help": "Room in /tmp."},
    "--processes": {"type": click.IntRange(8), "help": "How many processes and threads."},
    "--cpus": {"type": click.FloatRange(0.05), "help": "How many processors."},
    "--memory": {"type": click.IntRange(16), "metavar": "MIB", "help": "Memory, swap included."},
    "--path": {"help": "Where on that port; /mcp unless it is said."},
    "--port": {
        "type": click.IntRange(0, 65_535),
        "help": "It listens there for streamable HTTP, on 127.0.0.1; 0 = it speaks over stdio.",
    },
    "--egress": {
        "multiple": True,
        "metavar": "HOST:PORT",
        "help": "A place that it may connect to; else to none.",
    },
    "--file": {
        "multiple": True,
        "metavar": "NAME=V",
        "help": "The same as a file below /run/secrets.",
    },
}
_PARTS = {"memory": "memory_mib", "tmp": "tmp_mib"}
_LOOK_SECONDS = 5.0
_TIMES = {
    "start_seconds": "How long it may take to start; 0 = upstream.start_seconds.",
    "call_seconds": "How long one call may take; 0 = limits.call_seconds.",
    "longest_seconds": "The same with progress; 0 = limits.progress_seconds.",
}


def times(does: Callable[..., Any]) -> Callable[..., Any]:
    """The options for how long this server may take."""
    for name, says in reversed(_TIMES.items()):
        option = f"--{name.replace('_', '-')}"
        does = click.option(option, name, type=click.FloatRange(0, 86_400), help=says)(does)
    return does


def hosted_options(does: Callable[..., Any]) -> Callable[..., Any]:
    """The options for what a server that the gate hosts is given, and may take."""
    for option, settings in _HOSTED.items():
        name = {"--file": "files"}.get(option, option[2:])
        does = click.option(option, name, **settings)(does)
    return does


def hosted_parts(given: dict[str, Any]) -> dict[str, Any]:
    """The numbers and words of those options that were given, by the names of the API."""
    names = ("memory", "cpus", "processes", "tmp", "tier", "scope", "port", "path")
    return {_PARTS.get(name, name): given[name] for name in names if given[name] is not None}


def timing(given: dict[str, Any]) -> dict[str, float]:
    """The times that were given, and no others."""
    return {name: given[name] for name in _TIMES if given[name] is not None}


def pairs(texts: tuple[str, ...], option: str) -> dict[str, str]:
    """NAME=VALUE options as a table. Raises Invalid."""
    split = [text.partition("=") for text in texts]
    for name, equals, _ in split:
        if not name or not equals:
            # The text that was given is not told: it may be a secret that lacks its name.
            raise Invalid(f"{option} wants NAME=VALUE")
    return {name: value for name, _, value in split}


@contextmanager
def patience(terminal: CommandRun, alias: str) -> Iterator[None]:
    """Say now and then that a server is still being reached: a first start may fetch for long."""
    over = threading.Event()

    def tell() -> None:
        seconds = 0.0
        while not over.wait(_LOOK_SECONDS):
            seconds += _LOOK_SECONDS
            click.echo(
                f"{alias} is being reached ({seconds:.0f} s; a first start may fetch)", err=True
            )

    if terminal.json:
        yield
        return
    telling = threading.Thread(target=tell, daemon=True)
    telling.start()
    try:
        yield
    finally:
        over.set()
        # Joined, or its last line could come behind what the command prints.
        telling.join()


@click.command("edit", cls=JsonCommand)
@click.argument("alias")
@click.argument("command", nargs=-1, metavar="[-- CMD ARGS...]")
@click.option("--url", help="Another endpoint.")
@header
@click.option("--drop-header", "no_headers", multiple=True, metavar="K", help="Take one away.")
@click.option("--allow-private/--no-allow-private", default=None, help="As for `add`.")
@env
@click.option("--drop-env", "no_env", multiple=True, metavar="K", help="Take one away.")
@click.option("--cwd", metavar="DIR", help="Where the process starts; empty = its own home.")
@click.option("--run-as", type=RUN_AS)
@click.option("--era", type=ERA, help=ERA_HELP)
@click.option("--tag", "tags", multiple=True, help="These tags instead of all others.")
@click.option("--no-tags", is_flag=True, help="No tag at all.")
@click.option(
    "--hide-capability",
    "hidden_capabilities",
    multiple=True,
    type=HIDABLE,
    help="These, and no others.",
)
@click.option("--hide-no-capability", is_flag=True, help="Hide nothing.")
@hosted_options
@click.option("--drop-file", "no_files", multiple=True, metavar="NAME", help="Take one away.")
@click.option("--no-egress", is_flag=True, help="It may connect to nothing.")
@times
@dry_run
@click.pass_obj
def edit(terminal: CommandRun, /, alias: str, *, dry_run: bool, **given: Any) -> None:
    """Change a server in place: its grants and pins stay, and what is not named stays as it is.

    Reached in another way (any option but the times), it waits for `server approve` again.
    """
    gate = terminal.gate
    if given["command"] and gate.get(gate.here("servers", alias))["kind"] == "artifact":
        given["args"] = given.pop("command")
    wish = _requested_changes(given)
    if not wish:
        raise Invalid("nothing to change was named", remedy="See `gatelodge server edit --help`.")
    path = gate.here("servers", alias, "edit")
    if dry_run:
        show_changes(terminal, gate.post(path, wish, dry_run=True))
        return
    terminal.show(gate.post(path, wish), _edit_message)


def _requested_changes(given: dict[str, Any]) -> dict[str, object]:
    """The options that were given, in the words of the API."""
    wish: dict[str, object] = {
        name: given[name]
        for name in ("url", "allow_private", "run_as", "era")
        if given[name] is not None
    }
    if given["cwd"] is not None:
        # Against this command's own directory; an empty one takes it away.
        wish["cwd"] = str(Path(given["cwd"]).absolute()) if given["cwd"] else ""
    for name in ("command", "args"):
        if given.get(name):
            wish[name] = given[name]
    for name, option in (("headers", "--header"), ("env", "--env"), ("files", "--file")):
        changes = {**pairs(given[name], option), **dict.fromkeys(given[f"no_{name}"])}
        if changes:
            wish[name] = changes
    wish |= hosted_parts(given)
    for name, none in (
        ("tags", "no_tags"),
        ("hidden_capabilities", "hide_no_capability"),
        ("egress", "no_egress"),
    ):
        if given[name] or given[none]:
            wish[name] = () if given[none] else given[name]
    return {**wish, **timing(given)}


def _edit_message(row: dict[str, Any]) -> str:
    alias = row["alias"]
    if row["status"] != "proposed":
        return f"{alias} is changed, and {row['status']} as it was."
    return (
        f"{alias} is changed, and waits for its approval; grants and pins stay.\n"
        f"Next: gatelodge server observe {alias}, then gatelodge server approve {alias}"
    )
