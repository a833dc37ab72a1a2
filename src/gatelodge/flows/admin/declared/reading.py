"""The file of `apply` read: all its faults at once, each with its line and what would be right."""

import re
import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from itertools import islice
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from gatelodge.core.errors import Invalid
from gatelodge.flows.admin.declared import tables
from gatelodge.flows.nouns.file_table import FileTable, WorkspaceFile

MOST_TOLD = 20
"""Faults that one answer names."""

LONGEST = 1024 * 1024
"""Characters of a file: thousands of tables."""

_TEXT = re.compile(
    r"""
    \"{3} (?: [^"\\]++ | \\.?+ | (?!"{3})" )*+ (?:"{3,5})?+
    | '{3} (?: [^']++ | (?!'{3})' )*+ (?:'{3,5})?+
    | " (?: [^"\\\n]++ | \\.?+ )*+ "?+
    | ' [^'\n]*+ '?+
    | \# [^\n]*+
    """,
    re.VERBOSE | re.DOTALL,
)
"""A string or a comment: basic and literal, on one line and on several. One that does not end is
taken to where the parser refuses it."""
_LONG_KEY = re.compile(r"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){16}", re.ASCII)
"""The parser's work grows with the square of a key's parts; no key here has more than two."""
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")
_ENUM = re.compile(r"Invalid enum value '?(.*?)'?(?: - at `\$\.(\w+)`)?$")


def parse(text: str) -> WorkspaceFile:
    """The file behind TOML text. Raises Invalid with every fault and its place."""
    # Before any parsing: whoever sends the file decides how long it is.
    if len(text) > LONGEST:
        raise Invalid(f"the file is longer than {LONGEST} characters", remedy="Split it.")
    if _LONG_KEY.search(_TEXT.sub("_", text)):  # a quoted part of a key is one part as well
        raise Invalid("not such a file: a key of more than 16 parts")
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise Invalid(f"not TOML: {fault}") from None
    except RecursionError:
        raise Invalid("not TOML: nested too deeply") from None
    except ValueError:
        raise Invalid("not TOML: a number of too many digits, or no date") from None
    sections = {table.section: table for table in tables.TABLES}
    # One more than is told, to know that there are more; the rest of a hostile file is not read.
    faults = list(islice(_key_faults(raw, sections), MOST_TOLD + 1))
    wanted: dict[str, tuple[Any, ...]] = {}
    for section, table in sections.items():
        if isinstance(raw.get(section), list) and len(faults) <= MOST_TOLD:
            wanted[section] = tuple(_entries(table, raw[section], text, faults))
    # What an entry is kept as can only be asked of entries that have their form.
    if not faults:
        wanted = {key: tuple(_kept(sections[key], each, faults)) for key, each in wanted.items()}
        faults += [fault for key, each in wanted.items() for fault in _twice(sections[key], each)]
    if faults:
        raise _invalid_file_error(faults)
    return WorkspaceFile(workspace=raw["workspace"], entries={k: v for k, v in wanted.items() if v})


def _invalid_file_error(faults: list[str]) -> Invalid:
    told = faults[:MOST_TOLD]
    if len(faults) > MOST_TOLD:
        told.append("and more")
    return Invalid("; ".join(told), remedy="See docs/reference/apply.md.")


def _key_faults(raw: dict[str, Any], sections: Collection[str]) -> Iterator[str]:
    """What is wrong at the top of the file."""
    known = ("workspace", *sections)
    for key, value in raw.items():
        if key not in known:
            yield f"there is no key `{key}`{_key_suggestion(key, known)}"
        elif key != "workspace" and not isinstance(value, list):
            yield f"`{key}` is a list of tables: write [[{key}]]"
    if not isinstance(raw.get("workspace", ""), str):
        yield "workspace: wants a text"
    elif "workspace" not in raw:
        yield "it lacks the key `workspace`"


def _entries(
    table: FileTable[Any], raw: list[Any], text: str, faults: list[str]
) -> Iterator[Struct]:
    """The entries of a section; `faults` takes what one is refused for, one fault each."""
    lines = _line_numbers_of_tables(text, table.section)
    for place, each in enumerate(raw):
        if len(faults) > MOST_TOLD:
            return
        try:
            yield msgspec.convert(each, table.entry)
        except msgspec.ValidationError as fault:
            # A text can hold a line that looks like a table's head: rather no line is told than
            # a wrong one.
            line = f" (line {lines[place]})" if len(lines) == len(raw) else ""
            why = _explained_fault(str(fault), table.entry)
            faults.append(f"{table.section}[{place}]{line}: {why}")


def _kept(table: FileTable[Any], entries: Iterable[Any], faults: list[str]) -> Iterator[Any]:
    """The entries with their names as they are kept; `faults` takes those that cannot be."""
    for each in entries:
        try:
            yield table.kept(each)
        except Invalid as fault:
            faults.append(fault.detail)


def _line_numbers_of_tables(text: str, key: str) -> list[int]:
    """The lines on which the tables of a section begin."""
    head = re.compile(rf"\s*\[\[\s*{key}\s*\]\]")
    return [number for number, line in enumerate(text.splitlines(), 1) if head.match(line)]


def _explained_fault(message: str, kind: type[Struct]) -> str:
    """The fault of a table, with the keys or values there are."""
    unknown = _UNKNOWN.search(message)
    if unknown:
        return (
            f"there is no key `{unknown[1]}`{_key_suggestion(unknown[1], kind.__struct_fields__)}"
        )
    wrong = _ENUM.match(message)
    if wrong:
        hint = get_type_hints(kind).get(wrong[2] or "")
        if get_origin(hint) is Literal:
            return f"{wrong[2]}: {wrong[1]!r} is not one of {', '.join(get_args(hint))}"
    return message.replace("$.", "").replace("Object missing required field", "it lacks the key")


def _key_suggestion(key: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(key, known, 1)
    return f"; did you mean `{near[0]}`?" if near else f"; there are {', '.join(known)}"


def _twice(table: FileTable[Any], entries: Iterable[Any]) -> Iterator[str]:
    """What stands twice in a section."""
    for name, count in sorted(Counter(map(table.key, entries)).items()):
        if count > 1:
            yield f"{table.section}: {name} stands twice"
