"""What a person or a machine reads: aligned tables, or JSON; errors with what to do.

One of the two places that render errors (`web/problems.py` is the other). Text that came from
servers is stripped of control characters before it reaches a terminal.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import click
import msgspec

from gatelodge.core.catalog.visible import is_seen, visible
from gatelodge.core.csvtext import csv_text
from gatelodge.core.errors import HouseError, SettingsError
from gatelodge.web import problems


class UndecidedChange(KeyboardInterrupt):
    """Interrupted while a change was under way: nobody knows whether it was made."""


OK = 0
NEGATIVE = 1
"""The answer is no: tampered, denied, a check found a fault."""
USAGE = 2
REFUSED = 3
UNAVAILABLE = 4
BROKEN = 5
INTERNAL = 70
INTERRUPTED = 130

EXIT_CODES: tuple[tuple[int, str], ...] = (
    (OK, "done, or the answer is yes"),
    (NEGATIVE, "the answer is no: tampered, denied, a check found a fault"),
    (USAGE, "the command or its input is wrong"),
    (REFUSED, "refused: not found, not allowed, in conflict, over a limit"),
    (UNAVAILABLE, "the gate or a server behind it cannot be reached now"),
    (BROKEN, "an invariant is gone: an operator has to look"),
    (INTERNAL, "a fault of ours; the incident id is printed"),
    (INTERRUPTED, "interrupted"),
)
"""What each exit code means; `docs/reference/cli.md` is made from it."""


def clean(value: object) -> str:
    """The text of a cell: one line, no control characters, so nothing can move the cursor."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(clean(each) for each in value) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{clean(k)}={clean(v)}" for k, v in value.items()) or "-"
    return visible("".join(each if is_seen(each) else " " for each in str(value))) or "-"


def table(head: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Rows under their heads, columns aligned by two spaces."""
    cells = [[each.upper() for each in head], *([clean(cell) for cell in row] for row in rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(head))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )
    return "\n".join(lines)


def listing(columns: Sequence[str], items: Iterable[Mapping[str, object]], *heads: str) -> str:
    """These members of each item as a table, under their names or these heads."""
    head = heads or [each.replace("_", " ") for each in columns]
    return table(head, ([item.get(column) for column in columns] for item in items))


def fields(pairs: Iterable[tuple[str, object]]) -> str:
    """One thing, a line for each field, values aligned."""
    cells = [(name, clean(value)) for name, value in pairs]
    width = max((len(name) for name, _ in cells), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in cells)


def as_csv(columns: Sequence[str], items: Iterable[Mapping[str, object]]) -> str:
    """These members of each item as RFC 4180 CSV with a head.

    A cell that a spreadsheet would take for a formula has an apostrophe before it.
    """
    return csv_text(columns, ((clean(item.get(each)) for each in columns) for item in items))


def as_json(value: Any) -> str:
    """Indented JSON, for machines and for reading; what cannot be seen is an escape of JSON."""
    return _escaped_json(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def as_line(value: Any) -> str:
    """JSON on one line, for streams of things; what cannot be seen is an escape of JSON."""
    return _escaped_json(msgspec.json.encode(value).decode())


def _escaped_json(text: str) -> str:
    # The same value: JSON leaves U+009B and U+202E as they are, and a terminal obeys those too.
    return "".join(each if each == "\n" or is_seen(each) else _json_escape(each) for each in text)


def _json_escape(letter: str) -> str:
    units = letter.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def tell_error(error: HouseError, *, json: bool) -> int:
    """Print an error to standard error; returns the exit code."""
    if json:
        told = problems.body(problems.problem(error)).decode()
        click.echo(_escaped_json(told), err=True)
        return problems.answer(error).exit
    if isinstance(error, SettingsError):
        for fault in error.faults:
            click.echo(f"error: {clean(fault)}", err=True)
    else:
        click.echo(f"error: {clean(error.detail)}", err=True)
    for line in error.said:
        click.echo(f"  {clean(line)}", err=True)
    if error.remedy:
        click.echo(f"what to do: {clean(error.remedy)}", err=True)
    return problems.answer(error).exit


def tell_unexpected(error: BaseException) -> int:
    """Print that something failed here which should not, with the place and no value of it.

    The incident id is a digest of the place, so that the same fault has the same id everywhere.
    """
    # The message of the error is left out: it may hold a token or what a server sent.
    at = f"{type(error).__name__} at {problems.place(error)}"
    incident = "inc_" + sha256(at.encode()).hexdigest()[:12]
    click.echo(
        f"error: something failed here that should not: {incident} ({at})\n"
        "what to do: report this line; nothing in it is secret.",
        err=True,
    )
    return INTERNAL


def on_terminal() -> bool:
    """Say whether a person can be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()
