"""A workspace as the file that `apply` reads: applied where it was written, nothing differs.

Whoever was revoked and what has expired is not in it. Values that may be secret are stars. All is
in the order of its names, so that two files of one workspace differ where it does.
"""

import re
import tomllib
from datetime import datetime

import msgspec
import tomli_w
from msgspec import Struct, structs

from gatelodge.flows.admin.declared import tables
from gatelodge.flows.nouns.file_table import (
    FileNames,
    WorkspaceFile,
    WorkspaceRows,
)

_BESIDE_ASCII = re.compile(r"[^\t\n -~]")
_HEAD = """\
# The workspace {slug}. `gatelodge apply FILE --dry-run` says what differs from it.
# Approvals and reviews of tools are not in it; *** stands for a value that may be secret.

"""


def exported(present: WorkspaceRows, slug: str) -> str:
    """The text of the file (TOML), with what is not said where it is as ever."""
    parts: dict[str, object] = {"workspace": slug}
    for section, entries in wanted_of(present, slug).entries.items():
        parts[section] = [_without_defaults(each) for each in entries]
    plain, lines = (
        escaped_for_terminal(tomli_w.dumps(parts, multiline_strings=way)) for way in (False, True)
    )
    # On several lines a CR is lost.
    text = lines if tomllib.loads(lines) == tomllib.loads(plain) else plain
    return _HEAD.format(slug=slug) + text


def escaped_for_terminal(toml: str) -> str:
    """The same TOML, with an escape for what would change how a terminal shows the rest of it.

    Only basic strings hold what is not ASCII: bare keys, numbers and times have none of it.
    """
    return _BESIDE_ASCII.sub(lambda found: _escaped_character(found[0]), toml)


def _escaped_character(letter: str) -> str:
    # Letters of any script stay readable: only what is not shown as itself becomes an escape.
    if letter.isprintable():
        return letter
    point = ord(letter)
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def wanted_of(present: WorkspaceRows, slug: str) -> WorkspaceFile:
    """What a file has to say for a workspace to be as this one is."""
    names = FileNames(tables.TABLES, present)
    entries = {
        table.section: tuple(sorted(table.exported(present, names), key=table.key))
        for table in tables.TABLES
    }
    return WorkspaceFile(workspace=slug, entries={k: each for k, each in entries.items() if each})


def _without_defaults(entry: Struct) -> dict[str, object]:
    """A table without what the file may leave out: what is nothing, false or as ever."""
    told: dict[str, object] = msgspec.to_builtins(entry, builtin_types=(datetime,))
    usual = {field.name: field.default for field in structs.fields(entry)}
    return {name: value for name, value in told.items() if value and usual.get(name) != value}
