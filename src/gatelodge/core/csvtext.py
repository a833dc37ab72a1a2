"""CSV that no spreadsheet runs (RFC 4180)."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

_FORMULA: Final = frozenset("=+-@\t\r\uff1d\uff0b\uff0d\uff20")


def csv_text(columns: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """The rows below their head, without a last line break.

    A cell that a spreadsheet would take for a formula has an apostrophe before it.
    """
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(
            "'" + cell if cell[:1] in _FORMULA and cell != "-" else cell for cell in row
        )
    return written.getvalue().rstrip("\n")
