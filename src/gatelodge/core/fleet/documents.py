"""The text of a configuration file made into plain values, whatever a person or a program left.

JSON with comments, trailing commas and a byte order mark; TOML; YAML without its tags. Nothing but
`Invalid` is raised for any bytes, and its words hold nothing of the file.
"""

import codecs
import json
import re
import tomllib
from typing import Any, Final, Literal

from gatelodge.core.errors import Invalid
from gatelodge.core.fleet.yaml_text import read_yaml

DocumentForm = Literal["json", "toml", "yaml"]

LARGEST_FILE: Final = 4 * 1024 * 1024
"""Bytes of one file that are read: settings of a client with a long history are a megabyte."""
_LARGEST: Final[dict[DocumentForm, int]] = {"json": LARGEST_FILE, "toml": 256 * 1024}
_LARGEST_YAML: Final = 512 * 1024
_MOST_DOTS: Final = 64
_QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*+"|\'[^\'\n]*\'')
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SIGN = re.compile(r'"(?:[^"\\]|\\.)*+"?|//[^\n]*|/\*|[\]},]', re.DOTALL)
"""What matters of JSON with comments. A text that never ends is taken whole, so that it is once."""


class RepeatedKeys(dict[str, Any]):
    """A table in which some keys were written more than once; the last of each is in it."""

    repeated: tuple[str, ...] = ()


def read_document(octets: bytes, form: DocumentForm) -> object:
    """The values of a file. Raises Invalid for one that is too large or is none of that form."""
    if len(octets) > _LARGEST.get(form, _LARGEST_YAML):
        raise Invalid("the file is too large", remedy="Name the servers in one of their own.")
    text = decoded(octets)
    if not text.strip("\ufeff\x00 \t\r\n"):
        return {}
    try:
        if form == "toml":
            _check_dots(text)
            return tomllib.loads(text)
        if form == "yaml":
            return read_yaml(text)
        return _read_json(text)
    except (ValueError, RecursionError):
        # Whatever the parser says may hold a part of the file, and that a secret.
        raise Invalid(f"it is no {form.upper()}, or too deeply nested") from None


def decoded(octets: bytes) -> str:
    """The text of a file, in the encoding that its first bytes tell, or in the most likely one."""
    for mark, encoding in _MARKS:
        if octets.startswith(mark):
            return octets[len(mark) :].decode(encoding, "replace")
    # Without a mark every second byte of a Latin text in UTF-16 is zero.
    if octets[1:2] == b"\0" or octets[:1] == b"\0":
        return octets.decode("utf-16-le" if octets[1:2] == b"\0" else "utf-16-be", "replace")
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def _check_dots(text: str) -> None:
    # The parser keeps each beginning of a dotted name: a long one would take all memory.
    for line in text.splitlines():
        if line.count(".") > _MOST_DOTS and _QUOTED.sub("", line).count(".") > _MOST_DOTS:
            raise ValueError


def _read_json(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_table)
    except ValueError:
        # Only then: most files are plain, and this takes longer.
        return json.loads(_plain_json(text), object_pairs_hook=_table, strict=False)


def _plain_json(text: str) -> str:
    """Without comments and without commas before an end; each letter is looked at once."""
    parts, at, comma = list[str](), 0, -1
    while found := _SIGN.search(text, at):
        between, sign = text[at : found.start()], found[0]
        parts.append(between)
        at = found.end()
        if between.strip() or sign.startswith('"'):
            comma = -1
        if sign.startswith("//"):
            continue
        if sign == "/*":
            ends = text.find("*/", at)
            at = len(text) if ends < 0 else ends + 2
            continue
        if sign in ("]", "}") and comma >= 0:
            parts[comma] = ""
        parts.append(sign)
        comma = len(parts) - 1 if sign == "," else -1
    return "".join((*parts, text[at:]))


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = RepeatedKeys(pairs)
    if len(table) != len(pairs):
        seen, repeated = set[str](), list[str]()
        for name, _ in pairs:
            repeated += [name] if name in seen else []
            seen.add(name)
        table.repeated = tuple(repeated)
    return table
