"""Groups that import a command's module only when that command is run, and the verbs in them.

Start-up time is a promise: `gatelodge audit verify` must not load a web framework or a database
driver to check a file, so a group knows its commands by name and one line of help only.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click
from msgspec import Struct

WHY = "A ticket or a code such as OPS-123 or leaver; stands in the log for good."
HELP: Mapping[str, Any] = {"help_option_names": ["-h", "--help"]}
"""The settings of every command. A command has to say them itself: click remembers the option that
the first run of a command found, and a command that runs without its group inherits none."""


_ALIKE: Mapping[str, tuple[str, ...]] = {
    "create": ("add",),
    "new": ("add", "create"),
    "issue": ("create",),
    "add": ("create", "set"),
    "delete": ("remove", "revoke", "retire"),
    "rm": ("remove", "revoke", "retire"),
    "remove": ("revoke", "retire"),
    "revoke": ("remove", "retire"),
    "kill": ("disable",),
    "stop": ("disable", "pause"),
    "start": ("enable", "restart"),
    "get": ("show",),
    "describe": ("show",),
    "ls": ("list",),
}
"""What other programs call a verb of ours."""
_ELSEWHERE: Mapping[tuple[str | None, str], tuple[str, ...]] = {("server", "kill"): ("instance",)}


class LazyCommand(Struct, frozen=True):
    """A command or noun that is not loaded yet: `module:attribute`, and its line in the list."""

    at: str
    says: str


class LazyGroup(click.Group):
    """A group over a table of commands; only the one that is asked for is imported."""

    def __init__(self, name: str, commands_later: Mapping[str, LazyCommand], **given: Any) -> None:
        settings = {**HELP, **given.pop("context_settings", {})}
        super().__init__(name=name, context_settings=settings, **given)
        self._later = dict(commands_later)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command's name, in the order of the table."""
        return [*self._later, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, loaded now, or None."""
        later = self._later.get(cmd_name)
        if later is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = later.at.partition(":")
        loaded = getattr(import_module(module), attribute)
        if not isinstance(loaded, click.Command):  # a noun is declared there
            loaded = import_module("gatelodge.cli.nouns").commands(loaded)
        assert isinstance(loaded, click.Command)
        return loaded

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the list of commands without loading any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, later.says) for name, later in self._later.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command, or a usage error that names the nearest ones."""
        from difflib import get_close_matches

        name = args[0]
        # While a shell completes a line, half a word is no mistake.
        if name not in self._later and not name.startswith("-") and not ctx.resilient_parsing:
            near = get_close_matches(name, self._later, 2)
            meant = f" Did you mean {' or '.join(near)}?" if near else ""
            ctx.fail(f"No such command {name!r}.{meant}")
        return super().resolve_command(ctx, args)


class NounGroup(click.Group):
    """A group of verbs, which names the verb that somebody may have meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command, or a usage error that names the nearest ones, or all."""
        from difflib import get_close_matches

        name = args[0]
        if name not in self.commands and not name.startswith("-") and not ctx.resilient_parsing:
            alike = [each for each in _ALIKE.get(name, ()) if each in self.commands]
            near = alike or get_close_matches(name, self.commands, 2)
            there = [f"`gatelodge {each} {name}`" for each in _ELSEWHERE.get((self.name, name), ())]
            meant = " or ".join([*near, *there])
            told = f"Did you mean {meant}?" if meant else f"There are: {', '.join(self.commands)}."
            ctx.fail(f"No such command {name!r}. {told}")
        return super().resolve_command(ctx, args)


class ExactCommand(click.Command):
    """A command that does not show a word too many.

    Whoever types a secret behind a command would have it in its errors, and where those are kept.
    """

    too_many = "{} than this command takes; not shown, since one may be a secret."

    def __init__(self, **named: Any) -> None:
        super().__init__(context_settings={**HELP, "allow_extra_args": True}, **named)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line. Raises UsageError, also for words that nothing takes."""
        rest = super().parse_args(ctx, args)
        if rest and not ctx.resilient_parsing:
            many = "1 word" if len(rest) == 1 else f"{len(rest)} words"
            ctx.fail(self.too_many.format(f"{many} more"))
        return rest


class JsonCommand(ExactCommand):
    """A command that takes `--json` too, wherever on the line it stands."""

    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        self.params.append(
            click.Option(
                ["--json", "json_after"],
                is_flag=True,
                expose_value=False,
                callback=_ask_for_json,
                help="Print JSON for machines.",
            )
        )


def _ask_for_json(ctx: click.Context, _param: click.Parameter, value: Any) -> Any:
    if value and ctx.obj is not None:
        ctx.obj.json = True
    return value


def group(name: str, says: str) -> click.Group:
    """A group whose commands stand in the same module; they are verbs."""
    made = NounGroup(name=name, help=says, context_settings=dict(HELP))
    made.command_class = JsonCommand
    return made


dry_run = click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
"""The option of a command that takes something away."""

yes = click.option("--yes", is_flag=True, help="Do not ask; needed where nobody can be asked.")
"""The option that answers the question which is asked on a terminal."""

reviewed = click.option(
    "--digest",
    "reviewed",
    multiple=True,
    metavar="DIGEST",
    help="Take only what has this digest, without asking; for each thing that was read.",
)
"""The option of an approval in a script: what somebody read, and nothing else."""

everyone = click.option(
    "--all", "everything", is_flag=True, help="Show who was revoked and what has ended too."
)
"""The option of a list that leaves out who was revoked and what has ended."""

shard = click.option(
    "--shard", type=click.IntRange(1), help="An earlier shard, from before a restore."
)
"""The option of a question to the logs as they were."""

as_csv = click.option(
    "--csv", "as_csv", is_flag=True, help="Comma-separated values, for a spreadsheet."
)
"""The option of a search whose answer a spreadsheet reads."""
