"""`gatelodge up`: one command, no other service; Ctrl-C ends it in order."""

import click

from gatelodge.cli.terminal import Terminal


@click.command()
@click.option("--port", type=click.IntRange(0, 65_535), help="Port of the endpoint; 0 = any free.")
@click.option("--host", help="Address to listen on; anything but loopback needs TLS in front.")
@click.option("--demo", is_flag=True, help="Also set up local MCP servers, people and grants.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON for each event.")
@click.pass_obj
def up(
    terminal: Terminal, *, port: int | None, host: str | None, demo: bool, as_json: bool
) -> None:
    """Start the gate, and serve until Ctrl-C.

    The first start makes the organization, the workspace `main`, its owner and the keys, and prints
    the owner's token once. Later starts go on where the last one stopped.
    """
    from msgspec.structs import replace

    from gatelodge.app.run import run

    terminal.json = terminal.json or as_json
    settings = terminal.loaded.settings
    listen = settings.listen
    if port is not None:
        listen = replace(listen, port=port)
    if host is not None:
        listen = replace(listen, host=host)
    run(replace(settings, listen=listen), demo=demo, tell=_teller(terminal))


def _teller(terminal: Terminal):  # type: ignore[no-untyped-def]  # noqa: ANN202
    return terminal
