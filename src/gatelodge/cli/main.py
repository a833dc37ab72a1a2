"""The command `gatelodge`: global options, the table of commands, and how a run ends."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

import gatelodge
from gatelodge.cli import output
from gatelodge.cli.lazy import LazyCommand, LazyGroup
from gatelodge.cli.terminal import CommandRun, GlobalOptions
from gatelodge.core.errors import HouseError, Invalid

COMMANDS: dict[str, LazyCommand] = {
    "up": LazyCommand("gatelodge.cli.up:up", "Start the gate."),
    "init": LazyCommand("gatelodge.cli.house.init:init", "Make the organization without starting."),
    "server": LazyCommand("gatelodge.cli.rules.server:server", "The MCP servers behind the gate."),
    "instance": LazyCommand(
        "gatelodge.cli.house.instance:instance", "What runs of the servers, and its isolation."
    ),
    "ps": LazyCommand("gatelodge.cli.house.instance:ps", "The same as `instance list`."),
    "image": LazyCommand(
        "gatelodge.cli.rules.image:image", "What hosted servers are started from."
    ),
    "catalog": LazyCommand(
        "gatelodge.cli.rules.catalog:catalog", "What may be installed, and why."
    ),
    "card": LazyCommand(
        "gatelodge.cli.rules.catalog:card", "Trust cards: shown before a package may start."
    ),
    "tool": LazyCommand("gatelodge.cli.rules.tool:tool", "Their tools: approve, block, review."),
    "member": LazyCommand("gatelodge.flows.admin.members:member", "The people who may come in."),
    "agent": LazyCommand("gatelodge.flows.admin.agents:agent", "Principals that are no person."),
    "group": LazyCommand("gatelodge.flows.admin.groups:group", "Named sets of members and agents."),
    "token": LazyCommand("gatelodge.cli.people.token:token", "The tokens of members and agents."),
    "secret": LazyCommand(
        "gatelodge.cli.rules.secret:secret", "The vault: secrets that servers are given."
    ),
    "whoami": LazyCommand("gatelodge.cli.people.workspace:whoami", "Who you are at the gate."),
    "recorded": LazyCommand(
        "gatelodge.cli.people.recorded:recorded", "What was recorded about you."
    ),
    "workspace": LazyCommand(
        "gatelodge.cli.people.workspace:workspace", "The borders between teams."
    ),
    "grant": LazyCommand("gatelodge.flows.admin.grants:grant", "Who may use which tools."),
    "policy": LazyCommand("gatelodge.cli.rules.policy:policy", "Guardrails: what nobody may do."),
    "access": LazyCommand("gatelodge.cli.rules.access:access", "Who can use what, and why."),
    "audit": LazyCommand("gatelodge.cli.record.audit:audit", "What happened, and its proof."),
    "apply": LazyCommand("gatelodge.cli.declared.apply:apply", "Add and change what a file says."),
    "export": LazyCommand(
        "gatelodge.cli.declared.apply:export", "Write the file that apply reads."
    ),
    "import": LazyCommand(
        "gatelodge.cli.fleet.fleet_import:import_fleet",
        "What runs on laptops: a list, a proposal.",
    ),
    "config": LazyCommand("gatelodge.cli.house.config:config", "The settings and their origins."),
    "console": LazyCommand("gatelodge.cli.house.console:console", "A link into the console."),
    "job": LazyCommand("gatelodge.cli.house.job:job", "Work that is longer than a request."),
    "node": LazyCommand("gatelodge.cli.house.node:node", "This node and its health."),
    "debug": LazyCommand("gatelodge.cli.house.node:debug", "What a running node has under way."),
    "backup": LazyCommand("gatelodge.cli.house.backup:backup", "Write a copy to restore from."),
    "restore": LazyCommand("gatelodge.cli.house.backup:restore", "Go on from a backup."),
    "doctor": LazyCommand("gatelodge.cli.house.doctor:doctor", "Look for what is wrong here."),
    "completion": LazyCommand("gatelodge.cli.completion:completion", "Shell completion scripts."),
}

_PARAMETERS: list[click.Parameter] = [
    click.Option(["--data-dir"], metavar="DIR", default="", help="Where the gate keeps its state."),
    click.Option(
        ["--config"],
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="The settings file; else gatelodge.toml here or in the data directory.",
    ),
    click.Option(
        ["--set", "sets"], multiple=True, metavar="KEY=VALUE", help="One setting for this run."
    ),
    click.Option(
        ["--workspace"],
        metavar="NAME",
        default="main",
        envvar="GATELODGE_WORKSPACE",
        help="The team to work on; else GATELODGE_WORKSPACE, else main.",
    ),
    click.Option(
        ["--url"],
        metavar="URL",
        default="",
        envvar="GATELODGE_URL",
        help="A remote gate's address; else GATELODGE_URL, else the gate of the data directory.",
    ),
    click.Option(
        ["--token-file"],
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="The token for --url; else GATELODGE_TOKEN. Never an argument.",
    ),
    click.Option(["--json"], is_flag=True, help="Print JSON for machines."),
    click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=lambda ctx, _param, asked: _print_version(ctx) if asked else None,
        help="Print the version.",
    ),
]


def _print_version(ctx: click.Context) -> None:
    click.echo(f"gatelodge {gatelodge.__version__}")
    ctx.exit()


@click.pass_context
def _set_up_terminal(ctx: click.Context, /, **given: Any) -> None:
    json = given.pop("json")
    terminal = CommandRun(GlobalOptions(**given), json=json)
    ctx.obj = terminal
    ctx.call_on_close(terminal.close)


root = LazyGroup(
    "gatelodge",
    COMMANDS,
    help="One governed endpoint for a team's MCP servers: every call decided, written down, "
    "provable.",
    params=_PARAMETERS,
    callback=_set_up_terminal,
    context_settings={"max_content_width": 100},
)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; the exit code says how it ended (`output.EXIT_CODES`)."""
    # Behind `--` stands the command of a server, and a --json there is not meant for this one.
    ours = arguments[: arguments.index("--")] if "--" in arguments else arguments
    json = "--json" in ours
    try:
        ended = root.main(args=list(arguments), prog_name="gatelodge", standalone_mode=False)
    except click.exceptions.Abort as stop:
        click.echo(_abort_message(stop), err=True)
        return output.INTERRUPTED
    except click.ClickException as error:
        told = _with_place_of_option(error)
        if json:
            output.tell_error(Invalid(told.format_message()), json=True)
        else:
            told.show()
        return output.USAGE
    except HouseError as error:
        return output.tell_error(error, json=json)
    except SystemExit:
        # click ends a run so, and no other, when whoever read our output has gone: what was asked
        # for was done, and 1 would say that the answer is no.
        return output.OK
    except Exception as error:  # noqa: BLE001 - the command line's only one
        return output.tell_unexpected(error)
    return ended if isinstance(ended, int) else output.OK


def _with_place_of_option(error: click.ClickException) -> click.ClickException:
    """The error; of an option that belongs before its command, one that says so."""
    if not isinstance(error, click.NoSuchOption) or error.ctx is None:
        return error
    ours = [each for each in _PARAMETERS if error.option_name in each.opts]
    command = error.ctx.command_path.partition(" ")[2]
    if not ours or not command:
        return error
    word = f" {ours[0].metavar}" if ours[0].metavar else ""
    return click.UsageError(
        f"{error.option_name} stands before the command: "
        f"gatelodge {error.option_name}{word} {command} ...",
        error.ctx,
    )


def _abort_message(stop: click.exceptions.Abort) -> str:
    """What a run left behind that was stopped: by an answer, or by Ctrl-C."""
    if isinstance(stop.__cause__, output.UndecidedChange):
        return "stopped; what was asked for may have been done: look before asking again."
    if isinstance(stop.__cause__, KeyboardInterrupt):
        return "stopped."
    return "stopped; nothing was changed."


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))
