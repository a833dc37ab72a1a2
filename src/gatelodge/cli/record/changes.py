"""`gatelodge audit changes`: who granted, approved, revoked what, when, and for which ticket."""

from pathlib import Path
from typing import Any

import click

from gatelodge.cli import lazy, output
from gatelodge.cli.lazy import group
from gatelodge.cli.record.proving import written_proof
from gatelodge.cli.record.reading import TIME, gathered, tell_of_more
from gatelodge.cli.terminal import CommandRun

_COLUMNS = ("index", "at", "type", "by", "about", "why")
_EMPTY = "No change matches. Every change of who may do what leaves one."


changes = group(
    "changes", "Show who changed what: grants, approvals, revocations, tokens, reads of names."
)


@changes.command("tail")
@click.option("-n", "count", type=click.IntRange(1, 500), default=20, show_default=True)
@click.pass_obj
def tail(terminal: CommandRun, count: int) -> None:
    """Show the newest changes, oldest first."""
    asked = {"limit": count, "cursor": ""}
    page = gathered(terminal, terminal.gate.here("audit", "changes"), asked)
    # The gate gives the newest first, which is how it finds them; a tail is read downwards.
    _show_page(terminal, {**page, "items": page["items"][::-1]})


@changes.command("search")
@click.option("--by", default="", metavar="EMAIL|local", help="Who made it; local:UID, system.")
@click.option("--about", default="", metavar="NAME", help="Whom or what it is about; an id, too.")
@click.option("--type", default="", help="Such as grant.created, member.revoked.")
@click.option("--why", default="", metavar="TICKET")
@click.option("--since", default="", metavar="TIME", help=TIME)
@click.option("--until", default="", metavar="TIME", help=TIME)
@lazy.shard
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@click.option("--cursor", default="", help="From the end of the page before.")
@lazy.as_csv
@click.pass_obj
def search(terminal: CommandRun, /, *, as_csv: bool, **asked: Any) -> None:
    """Find changes, newest first."""
    page = gathered(terminal, terminal.gate.here("audit", "changes"), asked)
    if as_csv:
        click.echo(output.as_csv(_COLUMNS, map(_row_of_change, page["items"])))
    else:
        _show_page(terminal, page)
    tell_of_more(terminal, page)


@changes.command("receipts")
@click.option("--about", default="", metavar="NAME", help="Whose access ended.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@click.pass_obj
def receipts(terminal: CommandRun, about: str, limit: int) -> None:
    """Show the receipts of ended access again; `show` and `prove` take their index."""
    asked = {"type": "revocation.receipt", "about": about, "limit": limit, "cursor": ""}
    _show_page(terminal, gathered(terminal, terminal.gate.here("audit", "changes"), asked))


@changes.command("show")
@click.argument("index", type=click.IntRange(0))
@lazy.shard
@click.pass_obj
def show(terminal: CommandRun, index: int, shard: int | None) -> None:
    """Show one change whole; a receipt is one, too."""
    path = terminal.gate.here("audit", "changes", str(index))
    terminal.show(terminal.gate.get(path, shard=shard), _format_change)


@changes.command("prove")
@click.argument("index", type=click.IntRange(0))
@click.option(
    "-o", "--output", "file", type=click.Path(path_type=Path), help="Else change-INDEX.proof.json"
)
@lazy.shard
@click.pass_obj
def prove(terminal: CommandRun, index: int, file: Path | None, shard: int | None) -> None:
    """Write a proof of a change to a file; it holds ids, no names. A file that is there stays."""
    path = terminal.gate.here("audit", "changes", str(index), "proof")
    written_proof(terminal, terminal.gate.get(path, shard=shard), (file, f"change-{index}"))


def _show_page(terminal: CommandRun, page: dict[str, Any]) -> None:
    if terminal.json:
        terminal.show(page, str)
    else:
        terminal.rows(map(_row_of_change, page["items"]), _COLUMNS, _EMPTY)


def _row_of_change(change: dict[str, Any]) -> dict[str, Any]:
    names = change["names"]
    about = {
        field: _named(value, names)
        for field, value in change["subject"].items()
        if value not in ("", None, [])
    }
    return {
        **change,
        "at": f"{change['at'][:19]}Z",
        "by": change["by_name"],
        "about": output.clean(about),
    }


def _named(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_named(each, names) for each in value]
    return names.get(value, value) if isinstance(value, str) else value


def _format_change(change: dict[str, Any]) -> str:
    head = {name: change[name] for name in ("index", "at", "type", "by", "by_name", "why")}
    parts = [output.fields(head.items()), output.fields(change["subject"].items())]
    if change["names"]:
        parts.append(output.fields(change["names"].items()))
    return "\n\n".join(parts)
