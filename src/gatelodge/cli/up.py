"""`gatelodge up`: one command, no other service; Ctrl-C ends it in order."""

import os
import sys
from typing import TYPE_CHECKING

import click
import msgspec

import gatelodge
from gatelodge.cli.lazy import ExactCommand
from gatelodge.cli.terminal import CommandRun

if TYPE_CHECKING:
    from gatelodge.app.announce import ReadyAnnouncement


@click.command(cls=ExactCommand)
@click.option("--port", type=click.IntRange(0, 65_535), help="Port of the endpoint; 0 = any free.")
@click.option("--host", help="Address to listen on; anything but loopback needs TLS in front.")
@click.option("--demo", is_flag=True, help="Also set up local MCP servers, people and grants.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON for each event.")
@click.pass_obj
def up(
    terminal: CommandRun, *, port: int | None, host: str | None, demo: bool, as_json: bool
) -> None:
    """Start the gate, and serve until Ctrl-C.

    The first start makes the organization, the workspace `main`, its owner and the keys, and prints
    the owner's token once. Later starts go on where the last one stopped.
    """
    from msgspec.structs import replace

    from gatelodge.app.run import run
    from gatelodge.config.load import LoadedSettings

    settings = terminal.loaded.settings
    listen, origins = settings.listen, dict(terminal.loaded.origins)
    if port is not None:
        listen = replace(listen, port=port)
        origins["listen.port"] = "--port"
    if host is not None:
        listen = replace(listen, host=host)
        origins["listen.host"] = "--host"
    voice = JsonAnnouncer() if as_json or terminal.json else TerminalAnnouncer()
    run(LoadedSettings(replace(settings, listen=listen), origins), voice, demo=demo)


class TerminalAnnouncer:
    """Tells a person at a terminal."""

    def ready(self, ready: "ReadyAnnouncement") -> None:
        """Print where the gate is, and how a client reaches it."""
        _print_or_let_go(f"gatelodge {gatelodge.__version__}, ready in {ready.seconds:.1f} s")
        _print_or_let_go(f"  data      {ready.directory}")
        _print_or_let_go(f"  endpoint  {ready.endpoint}")
        for each in ready.warnings:
            _print_or_let_go(f"  warning   {each}")
        # At the first start only: no later one has it, since nothing but its digest is kept.
        if ready.token:
            _print_or_let_go(f"  owner     {ready.token}")
            _print_or_let_go(
                "            this token is shown once; it administers and may call tools"
            )
            _print_or_let_go(snippets(ready.endpoint, command_for(ready.directory)))
        command = command_for(ready.directory)
        _print_or_let_go(f"Ctrl-C stops it. Its pages in a browser: {command} console")
        _print_or_let_go(f"Commands talk to it: {command} --help")

    def step(self, text: str) -> None:
        """Print a remark."""
        _print_or_let_go(text)

    def demonstrated(self) -> None:
        """Nothing: each step was told."""

    def stopping(self) -> None:
        """Say that running calls are finishing."""
        _print_or_let_go("stopping: running calls finish first")

    def stopped(self) -> None:
        """Say that all is closed."""
        _print_or_let_go("stopped; every record is closed")


class JsonAnnouncer:
    """Tells a program, one JSON object a line."""

    def ready(self, ready: "ReadyAnnouncement") -> None:
        """The event `ready`."""
        told = {
            "address": ready.address,
            "endpoint": ready.endpoint,
            "data_dir": ready.directory,
            "token": ready.token,
            "seconds": round(ready.seconds, 3),
            "warnings": list(ready.warnings),
        }
        self._print_event("ready", **told)

    def step(self, text: str) -> None:
        """The event `step`."""
        self._print_event("step", text=text)

    def demonstrated(self) -> None:
        """The event `demonstrated`."""
        self._print_event("demonstrated")

    def stopping(self) -> None:
        """The event `stopping`."""
        self._print_event("stopping")

    def stopped(self) -> None:
        """The event `stopped`."""
        self._print_event("stopped")

    def _print_event(self, event: str, **fields: object) -> None:
        _print_or_let_go(msgspec.json.encode({"event": event, **fields}).decode())


def _print_or_let_go(text: str) -> None:
    """Print it; output that nobody reads is let go of. Raises OSError."""
    try:
        click.echo(text)
    except OSError:
        # What stands in the buffer would fail once more when Python flushes it, and change the exit
        # code.
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
        raise


def command_for(directory: str, program: str = "gatelodge") -> str:
    """How a command reaches this gate from here: by its data directory, unless it is the usual."""
    from pathlib import Path
    from shlex import quote

    from gatelodge.config.schema import Settings

    usual = Path(directory).absolute() == Path(Settings().data_dir).absolute()
    return program if usual else f"{program} --data-dir {quote(directory)}"


def snippets(endpoint: str, command: str, *, member: str = "EMAIL") -> str:
    """How common clients are pointed at the endpoint; the token stays in the environment.

    Not in the variable that commands read their own token from (`--url`): whoever pastes this would
    go on as that member.
    """
    return f"""
Connect a client. It reads a member's token from the environment:
  export GATE_TOKEN=$({command} token create --member {member})
  Claude Code  .mcp.json   {{"mcpServers": {{"gatelodge": {{"type": "http", "url": "{endpoint}",
                             "headers": {{"Authorization": "Bearer ${{GATE_TOKEN}}"}}}}}}}}
  Codex        codex mcp add gatelodge --url {endpoint} --bearer-token-env-var GATE_TOKEN
  others       see docs/clients.md
"""
