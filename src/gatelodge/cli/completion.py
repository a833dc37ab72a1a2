"""`gatelodge completion`: the script that teaches a shell our words."""

from typing import Literal, cast

import click
from click.shell_completion import get_completion_class

from gatelodge.cli.lazy import JsonCommand
from gatelodge.cli.terminal import CommandRun

_HELP = """Print the completion script of a shell.

\b
bash   eval "$(gatelodge completion bash)"       in ~/.bashrc
zsh    eval "$(gatelodge completion zsh)"        in ~/.zshrc
fish   gatelodge completion fish | source        in config.fish
"""
_SHELLS = ("bash", "fish", "zsh")


@click.command(cls=JsonCommand, help=_HELP)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_obj
def completion(terminal: CommandRun, shell: Literal["bash", "zsh", "fish"]) -> None:
    """Print the script. What it is for stands in the help text, whose lines click must keep."""
    from gatelodge.cli.main import root

    made = get_completion_class(shell)
    assert made is not None
    script = made(root, {}, "gatelodge", "_GATELODGE_COMPLETE")
    # click's own source() starts bash to look at its version; the text needs no process.
    text = script.source_template % cast("dict[str, str]", script.source_vars())
    terminal.show({"shell": shell, "script": text}, lambda it: it["script"])
