"""`gatelodge audit tail | search | show`: what happened, read from the logs."""

from threading import Event
from typing import Any

import click

from gatelodge.cli import output
from gatelodge.cli.lazy import Verb
from gatelodge.cli.terminal import Terminal

_COLUMNS = ("at", "type", "who", "server", "tool", "outcome", "ms", "call")
_EMPTY = "No records match. Every call through the gate leaves one: see `gatelodge up`."
_FOLLOW_SECONDS = 1.0


@click.command("tail", cls=Verb)
@click.option("-f", "--follow", is_flag=True, help="Go on until interrupted.")
@click.option("-n", "count", type=click.IntRange(1, 500), default=20, show_default=True)
@click.option("--who/--no-who", default=None, help="Name people; each look is written down.")
@click.pass_obj
def tail(terminal: Terminal, follow: bool, count: int, who: bool | None) -> None:
    """Show the newest records of the workspace, oldest first.

    Names are shown unless -f is given; with -f only if --who is, since each look at names is a
    leaf in the gov log.
    """
    gate = terminal.gate
    named = "true" if (not follow if who is None else who) else "false"
    page = gate.get(gate.here("audit", "tail"), limit=count, who=named)
    if not follow:
        _rows(terminal, page["items"])
        return
    pause = Event()
    while True:
        for record in page["items"]:
            click.echo(output.as_line(record) if terminal.json else _line(record))
        pause.wait(_FOLLOW_SECONDS)
        page = gate.get(gate.here("audit", "tail"), after=page["next"], limit=500, who=named)


@click.command("search", cls=Verb)
@click.option("--member", default="", metavar="EMAIL")
@click.option("--server", default="", metavar="ALIAS")
@click.option("--tool", default="", metavar="NAME")
@click.option("--outcome", default="", help="Such as ok, tool_error, timeout, denied.")
@click.option("--since", default="", metavar="TIME", help="RFC 3339, or 2h, 7d ago.")
@click.option("--until", default="", metavar="TIME", help="RFC 3339, or 2h, 7d ago.")
@click.option("--type", default="", help="Such as call.intent, auth.failed.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@click.option("--cursor", default="", help="From the end of the page before.")
@click.pass_obj
def search(terminal: Terminal, /, **asked: Any) -> None:
    """Find records; each search that shows who called is itself written down."""
    gate = terminal.gate
    page = gate.get(gate.here("audit", "records"), **asked)
    if terminal.json:
        terminal.show(page, str)
        return
    _rows(terminal, page["items"])
    if page["next"]:
        click.echo(f"There is more: --cursor {page['next']}", err=True)


@click.command("show", cls=Verb)
@click.argument("call")
@click.pass_obj
def show(terminal: Terminal, call: str) -> None:
    """Show every record of one call, with who was behind it."""
    gate = terminal.gate
    terminal.show(gate.get(gate.here("audit", "calls", call)), _shown)


def _rows(terminal: Terminal, items: list[dict[str, Any]]) -> None:
    terminal.rows(items if terminal.json else map(_brief, items), _COLUMNS, _EMPTY)


def _line(record: dict[str, Any]) -> str:
    return "  ".join(output.clean(_brief(record).get(column)) for column in _COLUMNS)


def _brief(record: dict[str, Any]) -> dict[str, Any]:
    """The record with its time cut to seconds: rows stand in the log's order anyway.

    An agent stands before the member for whom it called.
    """
    who, agent = record["who"], record["agent"]
    return {
        **record,
        "at": f"{record['at'][:19]}Z",
        "who": f"{agent} ({who})" if agent else who,
    }


def _shown(found: dict[str, Any]) -> str:
    parts = [output.fields(found["record"].items())]
    for index, leaf in found["leaves"].items():
        parts.append(f"leaf {index} of {found['log']}\n{output.fields(leaf.items())}")
    return "\n\n".join(parts)
