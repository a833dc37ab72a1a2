"""Whose folder is whose: e-mail addresses by the names of folders."""

import csv
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from gatelodge.core.errors import Invalid
from gatelodge.flows.admin.members import email_of

_MOST_LINES = 20_000
_LOCAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


def addresses(owners: Iterable[str], said: Mapping[str, str], domain: str) -> dict[str, str]:
    """The address of each owner that has one: as said, by a name that is one, or in the domain."""
    found = dict[str, str]()
    for owner in owners:
        text = said.get(owner, "")
        if not text and "@" in owner:
            text = owner
        if not text and domain and _LOCAL.fullmatch(owner):
            text = f"{owner}@{domain}"
        try:
            if text:
                found[owner] = email_of(text)
        except Invalid:
            # A folder's name that is no address after all: whose it is, is told as not known.
            if owner in said:
                raise Invalid(f"--owners: {owner}: no e-mail address") from None
    return found


def read_owners(file: Path | None) -> dict[str, str]:
    """Addresses by folder, from lines of FOLDER,EMAIL; a head is passed by. Raises Invalid."""
    if file is None:
        return {}
    try:
        rows = list(csv.reader(io.StringIO(file.read_text("utf-8-sig"))))
    except (OSError, ValueError, csv.Error):
        raise Invalid(f"{file} cannot be read as CSV", remedy="Write FOLDER,EMAIL.") from None
    if len(rows) > _MOST_LINES:
        raise Invalid(f"{file} has more than {_MOST_LINES} lines")
    pairs = [row for row in rows if row and any(cell.strip() for cell in row)]
    for row in pairs:
        if len(row) < 2:
            raise Invalid(f"{file}: a line is not FOLDER,EMAIL", remedy="Write FOLDER,EMAIL.")
    return {row[0].strip(): row[1].strip() for row in pairs if "@" in row[1]}
