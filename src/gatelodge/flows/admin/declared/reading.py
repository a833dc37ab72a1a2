"""The file of `apply` read: all its faults at once, each with its line and what would be right."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from gatelodge.core.errors import Invalid
from gatelodge.core.people import folded
from gatelodge.flows.admin.declared.wanted import (
    Wanted,
    WantedAgent,
    WantedGrant,
    WantedGroup,
    WantedGuardrail,
    WantedMember,
    WantedServer,
)
from gatelodge.flows.admin.members import email_of

MOST_TOLD = 20
"""Faults that one answer names."""

LONGEST = 1024 * 1024
"""Characters of a file: thousands of tables."""

_SECTIONS: dict[str, type[Struct]] = {
    "members": WantedMember,
    "agents": WantedAgent,
    "groups": WantedGroup,
    "servers": WantedServer,
    "grants": WantedGrant,
    "guardrails": WantedGuardrail,
}
_LONG_KEY = re.compile(
    r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){16}""", re.ASCII
)
"""The parser's work grows with the square of a key's parts; no key here has more than two."""
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")
_ENUM = re.compile(r"Invalid enum value '?(.*?)'?(?: - at `\$\.(\w+)`)?$")


def parse(text: str) -> Wanted:
    """The file behind TOML text. Raises Invalid with every fault and its place."""
    if len(text) > LONGEST:
        raise Invalid(f"the file is longer than {LONGEST} characters", remedy="Split it.")
    if _LONG_KEY.search(text):
        raise Invalid("not such a file: a key of more than 16 parts")
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise Invalid(f"not TOML: {fault}") from None
    except RecursionError:
        raise Invalid("not TOML: nested too deeply") from None
    except ValueError:
        raise Invalid("not TOML: a number of too many digits, or no date") from None
    faults = list(islice(_faults(raw, text), MOST_TOLD + 1))
    if not faults:
        try:
            wanted = msgspec.convert(raw, Wanted)
        except msgspec.ValidationError as fault:
            raise _refusal([str(fault)]) from None
        faults = [*_twice(wanted), *_unclear(wanted)]
        if not faults:
            return wanted
    raise _refusal(faults)


def _refusal(faults: list[str]) -> Invalid:
    told = faults[:MOST_TOLD]
    if len(faults) > MOST_TOLD:
        told.append("and more")
    return Invalid("; ".join(told), remedy="See docs/reference/apply.md.")


def _faults(raw: dict[str, Any], text: str) -> Iterator[str]:
    """What each table of the file is refused for, one fault a table."""
    for key, value in raw.items():
        kind = _SECTIONS.get(key)
        if kind is None:
            if key not in Wanted.__struct_fields__:
                yield f"there is no key `{key}`{_meant(key, Wanted.__struct_fields__)}"
            continue
        if not isinstance(value, list):
            yield f"`{key}` is a list of tables: write [[{key}]]"
            continue
        lines = _lines(text, key)
        for place, table in enumerate(value):
            try:
                msgspec.convert(table, kind)
            except msgspec.ValidationError as fault:
                line = f" (line {lines[place]})" if len(lines) == len(value) else ""
                yield f"{key}[{place}]{line}: {_told(str(fault), kind)}"


def _lines(text: str, key: str) -> list[int]:
    """The lines on which the tables of a section begin."""
    head = re.compile(rf"\s*\[\[\s*{key}\s*\]\]")
    return [number for number, line in enumerate(text.splitlines(), 1) if head.match(line)]


def _told(message: str, kind: type[Struct]) -> str:
    """The fault of a table, with the keys or values there are."""
    unknown = _UNKNOWN.search(message)
    if unknown:
        return f"there is no key `{unknown[1]}`{_meant(unknown[1], kind.__struct_fields__)}"
    wrong = _ENUM.match(message)
    if wrong:
        values = _values(get_type_hints(kind).get(wrong[2] or ""))
        if values:
            return f"{wrong[2]}: {wrong[1]!r} is not one of {', '.join(values)}"
    return message.replace("$.", "").replace("Object missing required field", "it lacks the key")


def _values(hint: Any) -> tuple[str, ...]:
    if get_origin(hint) is Literal:
        return tuple(map(str, get_args(hint)))
    return ()


def _meant(key: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(key, known, 1)
    return f"; did you mean `{near[0]}`?" if near else f"; there are {', '.join(known)}"


def _twice(wanted: Wanted) -> list[str]:
    named = {
        "members": [folded(each.email) for each in wanted.members],
        "agents": [folded(each.name) for each in wanted.agents],
        "groups": [folded(each.name) for each in wanted.groups],
        "servers": [each.alias for each in wanted.servers],
        "guardrails": [each.name for each in wanted.guardrails],
        "grants": [f"{g.to} on {g.server}/{g.tool} ({g.level})" for g in wanted.grants],
    }
    return [
        f"{what}: {name} stands twice"
        for what, names in named.items()
        for name, count in sorted(Counter(names).items())
        if count > 1
    ]


def _unclear(wanted: Wanted) -> list[str]:
    addresses = [
        *(("members", each.email) for each in wanted.members),
        *(("agents", each.owner) for each in wanted.agents),
    ]
    return [
        *(f"{what}: {text!r} is not an e-mail address" for what, text in addresses if _no(text)),
        *(
            f"servers: {each.alias} needs a command or a url, not both"
            for each in wanted.servers
            if bool(each.command) == bool(each.url)
        ),
    ]


def _no(address: str) -> bool:
    try:
        email_of(address)
    except Invalid:
        return True
    return False
