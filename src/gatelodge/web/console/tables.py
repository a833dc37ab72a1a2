"""Tables as files: every table of the console is to be had as CSV and as JSON too.

A file's name says what was asked and as of when, and whether it holds all: if not, its answer links
to the next part. Nothing is left out in silence, and nothing stands in the file but rows.
"""

import re
from collections.abc import Iterable
from typing import Final, Literal

from anyio import to_thread
from litestar import Response
from msgspec import Struct

from gatelodge.core.csvtext import csv_text
from gatelodge.core.errors import Invalid
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.rules.written import parts_as_lines, parts_in_json

Form = Literal["", "csv", "json", "jsonl"]
FILE_ROWS: Final = 5_000
"""Rows of a log in one file at most; the next part goes on from there."""
_LONGEST: Final = 60
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9@_.+-]+")
_TYPES: Final = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "jsonl": "application/x-ndjson",
}


class FilePart(Struct, frozen=True, kw_only=True):
    """What part of a table a file is: where it begins, and the cursor and address of the next.

    All are empty when the file holds all there is.
    """

    begins: str = ""
    next: str = ""
    address: str = ""

    @property
    def suffix(self) -> str:
        """What the file's name says of it; the page asks for the next part by the last word."""
        if self.next:
            return f"-part-to-{self.next}"
        return "-last-part" if self.begins else ""


WHOLE: Final = FilePart()


class TableFile(Struct, frozen=True):
    """What a file is called, and what each row of it is: one without rows has its columns too."""

    name: str
    row: type[Struct]


def table_file(row: type[Struct], *words: str) -> TableFile:
    """A file of such rows, called by these words: what it is, whom it is of, and its moments."""
    # What was typed is among them: in a name stands only what each system takes, and what has no
    # meaning in the head of an answer.
    plain = (_UNSAFE.sub("_", each)[:_LONGEST].lstrip(".") for each in words if each)
    return TableFile("-".join(plain), row)


def moment_word(at: str) -> str:
    """A time in RFC 3339 as a word of a file's name, to the second."""
    return f"{at[:19].replace(':', '-')}Z" if at else ""


def parse_form(text: str) -> Form:
    """In which form a table is asked for; empty is the page. Raises Invalid."""
    match text:
        case "" | "csv" | "json" | "jsonl":
            return text
    raise Invalid(f"there is no form {text!r}", remedy="Say csv, json or jsonl.")


async def as_file(
    place: WorkspaceContext,
    rows: Iterable[Struct],
    form: Form,
    of: TableFile,
    part: FilePart = WHOLE,
) -> Response[bytes]:
    """The rows as a file; a cell that a spreadsheet would run is quoted, as the command does it."""
    # A table of a large house is a million lines: made and written beside the loop, for one at a
    # time.
    body = await to_thread.run_sync(_written, rows, form, of.row, limiter=place.gate.writing)
    shown = "inline" if form == "json" and not part.next else "attachment"
    headers = {"content-disposition": f'{shown}; filename="{of.name}{part.suffix}.{form}"'}
    if part.next:
        headers["link"] = f'<{part.address}>; rel="next"'
    return Response(body, media_type=_TYPES[form], headers=headers)


def _written(rows: Iterable[Struct], form: Form, row: type[Struct]) -> bytes:
    if form == "json":
        return b"[" + b",".join(parts_in_json(rows)) + b"]"
    if form == "jsonl":
        return b"".join(parts_as_lines(rows))
    columns = row.__struct_fields__
    cells = (
        ("" if (cell := getattr(each, name)) is None else str(cell) for name in columns)
        for each in rows
    )
    return csv_text(columns, cells).encode()
