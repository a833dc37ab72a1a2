"""`gatelodge audit tail | search | show`: what happened, read from the logs."""

from threading import Event
from typing import Any

import click

from gatelodge.cli import lazy, output
from gatelodge.cli.lazy import JsonCommand
from gatelodge.cli.terminal import CommandRun

_COLUMNS = ("at", "type", "who", "server", "tool", "outcome", "ms", "call")
_CSV = (
    *("index", "at", "type", "who", "agent", "client", "credential", "server", "tool", "method"),
    *("rule", "outcome", "ms", "call"),
)
TIME = "RFC 3339, a day (2026-11-22), or how long ago: 30m, 2h, 7d."
_EMPTY = "No records match. Every call through the gate leaves one: see `gatelodge up`."
_FOLLOW_SECONDS = 1.0
_PAGE = 500
_MOST = 1_000_000
"""Records that one command writes with --format."""


@click.command("tail", cls=JsonCommand)
@click.option("-f", "--follow", is_flag=True, help="Go on until interrupted.")
@click.option("-n", "count", type=click.IntRange(1, 500), default=20, show_default=True)
@click.option("--who/--no-who", default=None, help="Name people; each look is written down.")
@click.pass_obj
def tail(terminal: CommandRun, follow: bool, count: int, who: bool | None) -> None:
    """Show the newest records of the workspace, oldest first.

    Names are shown unless -f is given; with -f only if --who is, since each look at names is a
    leaf in the gov log.
    """
    gate = terminal.gate
    # Said in words, for a query leaves out what is false, and the gate's own default is true.
    named = "true" if (not follow if who is None else who) else "false"
    page = gate.get(gate.here("audit", "tail"), limit=count, who=named)
    if not follow:
        _show_page(terminal, page)
        return
    pause = Event()
    while True:
        for record in page["items"]:
            click.echo(output.as_line(record) if terminal.json else _format_record_line(record))
        pause.wait(_FOLLOW_SECONDS)
        page = gate.get(gate.here("audit", "tail"), after=page["next"], limit=500, who=named)


@click.command("search", cls=JsonCommand)
@click.option("--member", default="", metavar="EMAIL", help="Their agents' records too.")
@click.option("--agent", default="", metavar="NAME")
@click.option("--group", default="", metavar="NAME", help="Of those who are in it now.")
@click.option("--client", default="", metavar="TEXT", help="A part of the client's own name.")
@click.option("--credential", default="", metavar="ID", help="A token's id.")
@click.option("--server", default="", metavar="ALIAS", help="Removed ones of that name too.")
@click.option("--tool", default="", metavar="NAME")
@click.option("--rule", default="", metavar="GRANT|GUARDRAIL")
@click.option("--call", default="", metavar="CALL")
@click.option("--outcome", default="", help="As the list shows it: ok, denied: guardrail.")
@click.option("--since", default="", metavar="TIME", help=TIME)
@click.option("--until", default="", metavar="TIME", help=TIME)
@click.option("--type", default="", help="Such as call.intent, auth.failed.")
@lazy.shard
@click.option("--limit", type=click.IntRange(1, _MOST), default=50, show_default=True)
@click.option("--cursor", default="", help="From the end of the page before.")
@lazy.as_csv
@click.option(
    "--format", "form", type=click.Choice(["csv", "jsonl"]), help="Write rows as they are found."
)
@click.pass_obj
def search(terminal: CommandRun, /, *, as_csv: bool, form: str | None = None, **asked: Any) -> None:
    """Find records; each search that shows who called is itself written down.

    With --format as many as --limit says are written while they are found, also more than 500.
    """
    if form is not None:
        _write_rows(terminal, form, asked)
        return
    if asked["limit"] > _PAGE:
        raise click.UsageError(f"--limit: {_PAGE} at most without --format")
    page = gathered(terminal, terminal.gate.here("audit", "records"), asked)
    for note in page.get("notes", ()):
        # On standard error: a table that is piped on stays a table.
        click.echo(f"note: {output.clean(note)}", err=True)
    if as_csv:
        click.echo(output.as_csv(_CSV, page["items"]))
    else:
        _show_page(terminal, page)
    tell_of_more(terminal, page)


def _write_rows(terminal: CommandRun, form: str, asked: dict[str, Any]) -> None:
    """Write records a page at a time, so that no more than one of them is held."""
    left, cursor, head = int(asked["limit"]), asked["cursor"], True
    while left:
        step = {**asked, "cursor": cursor, "limit": min(left, _PAGE)}
        page = terminal.gate.get(terminal.gate.here("audit", "records"), **step)
        items, cursor = page["items"], page["next"]
        if form == "jsonl":
            lines = [output.as_line(each) for each in items]
        else:
            lines = output.as_csv(_CSV, items).split("\n")[0 if head else 1 :]
        head = False
        if lines:
            click.echo("\n".join(lines))
        left -= len(items)
        if not cursor:
            return
    click.echo(f"There is more: --cursor {cursor}", err=True)


def tell_of_more(terminal: CommandRun, page: dict[str, Any]) -> None:
    """Say how the next page is asked for, where there is one."""
    # JSON holds the cursor itself; for people it stands apart from a table that may be piped.
    if page["next"] and not terminal.json:
        click.echo(f"There is more: --cursor {page['next']}", err=True)


def gathered(terminal: CommandRun, path: str, asked: dict[str, Any]) -> dict[str, Any]:
    """One page of what was asked for; a large log is read a part at a time until it is full."""
    wanted, items = int(asked["limit"]), list[dict[str, Any]]()
    page: dict[str, Any] = {"next": asked["cursor"]}
    while True:
        # The gate reads so much of a log for one request: a page may be short, or empty, and not
        # the last.
        rest = {**asked, "cursor": page["next"], "limit": wanted - len(items)}
        page = terminal.gate.get(path, **rest)
        items += page["items"]
        if len(items) >= wanted or not page["next"]:
            return {**page, "items": items}


@click.command("show", cls=JsonCommand)
@click.argument("call")
@lazy.shard
@click.pass_obj
def show(terminal: CommandRun, call: str, shard: int | None) -> None:
    """Show every record of one call, with who was behind it."""
    gate = terminal.gate
    terminal.show(gate.get(gate.here("audit", "calls", call), shard=shard), _format_call)


def _show_page(terminal: CommandRun, page: dict[str, Any]) -> None:
    """The records: the same object as JSON whichever command found them."""
    if terminal.json:
        terminal.show(page, str)
    else:
        terminal.rows(map(_row_of_record, page["items"]), _COLUMNS, _EMPTY)


def _format_record_line(record: dict[str, Any]) -> str:
    return "  ".join(output.clean(_row_of_record(record).get(column)) for column in _COLUMNS)


def _row_of_record(record: dict[str, Any]) -> dict[str, Any]:
    """The record with its time cut to seconds: rows stand in the log's order anyway.

    An agent stands before the member for whom it called; a request that calls nothing shows its
    method in the tool's place.
    """
    who, agent = record["who"], record["agent"]
    return {
        **record,
        "at": f"{record['at'][:19]}Z",
        "who": f"{agent} ({who})" if agent else who,
        "tool": record["tool"] or ("" if record["call"] else record["method"]),
    }


def _format_call(found: dict[str, Any]) -> str:
    parts = [output.fields(found["record"].items())]
    for index, leaf in found["leaves"].items():
        parts.append(f"leaf {index} of {found['log']}\n{output.fields(leaf.items())}")
    return "\n\n".join(parts)
