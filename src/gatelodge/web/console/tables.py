"""Tables as files: every table of the console is to be had as CSV and as JSON too.

A file that does not hold all says so by its name, and its answer links to the next part: nothing is
left out in silence, and nothing stands in the file but rows.
"""

from collections.abc import Iterable
from itertools import chain
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


def parse_form(text: str) -> Form:
    """In which form a table is asked for; empty is the page. Raises Invalid."""
    match text:
        case "" | "csv" | "json" | "jsonl":
            return text
    raise Invalid(f"there is no form {text!r}", remedy="Say csv, json or jsonl.")


async def as_file(
    place: WorkspaceContext, rows: Iterable[Struct], form: Form, name: str, part: FilePart = WHOLE
) -> Response[bytes]:
    """The rows as a file; a cell that a spreadsheet would run is quoted, as the command does it."""
    # A table of a large house is a million lines: made and written beside the loop, for one at a
    # time.
    body = await to_thread.run_sync(_written, rows, form, limiter=place.gate.writing)
    shown = "inline" if form == "json" and not part.next else "attachment"
    headers = {"content-disposition": f'{shown}; filename="{name}{part.suffix}.{form}"'}
    if part.next:
        headers["link"] = f'<{part.address}>; rel="next"'
    return Response(body, media_type=_TYPES[form], headers=headers)


def _written(rows: Iterable[Struct], form: Form) -> bytes:
    if form == "json":
        return b"[" + b",".join(parts_in_json(rows)) + b"]"
    if form == "jsonl":
        return b"".join(parts_as_lines(rows))
    left = iter(rows)
    first = next(left, None)
    if first is None:
        return csv_text((), ()).encode()
    columns = first.__struct_fields__
    cells = (
        ("" if (cell := getattr(row, name)) is None else str(cell) for name in columns)
        for row in chain((first,), left)
    )
    return csv_text(columns, cells).encode()
