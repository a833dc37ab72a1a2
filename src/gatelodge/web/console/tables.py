"""Tables as files: every table of the console is to be had as CSV and as JSON too."""

from collections.abc import Sequence
from typing import Literal

import msgspec
from litestar import Response
from msgspec import Struct
from msgspec.structs import asdict

from gatelodge.core.csvtext import csv_text
from gatelodge.core.errors import Invalid

Form = Literal["", "csv", "json"]


def parse_form(text: str) -> Form:
    """In which form a table is asked for; empty is the page. Raises Invalid."""
    match text:
        case "" | "csv" | "json":
            return text
    raise Invalid(f"there is no form {text!r}", remedy="Say csv or json.")


def as_file(rows: Sequence[Struct], form: Form, name: str) -> Response[bytes]:
    """The rows as a file; a cell that a spreadsheet would run is quoted, as the command does it."""
    if form == "json":
        return Response(msgspec.json.encode(rows), media_type="application/json")
    lines = [asdict(row) for row in rows]
    columns = tuple(lines[0]) if lines else ()
    text = csv_text(
        columns,
        (("" if line[each] is None else str(line[each]) for each in columns) for line in lines),
    )
    disposition = {"content-disposition": f'attachment; filename="{name}.csv"'}
    return Response(text.encode(), media_type="text/csv; charset=utf-8", headers=disposition)
