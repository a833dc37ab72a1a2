"""`gatelodge init`: the organization, before the gate serves anybody."""

import click

from gatelodge.cli import lazy
from gatelodge.cli.terminal import CommandRun


@click.command("init", cls=lazy.JsonCommand)
@click.pass_obj
def init(terminal: CommandRun) -> None:
    """Make the organization, its owner and the keys, and print the owner's token, once.

    `gatelodge up` does the same at its first start. This is for whoever prepares a gate (members,
    servers, `apply`) before it serves anybody.
    """
    import anyio

    from gatelodge.app import init as make

    settings = terminal.loaded.settings
    # No client and no API: what goes by them refuses a directory in which no gate was made.
    token = anyio.run(make, settings)
    terminal.show_token(
        {"data_dir": settings.data_dir, "token": token},
        "The owner's token, shown once. Its holder administers the workspace main.\n"
        f"The logs are signed as {settings.audit.origin or 'localhost'} for good.\n"
        "Next: gatelodge up",
    )
