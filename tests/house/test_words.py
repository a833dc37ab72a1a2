"""One word for one thing: no empty names, no rival names, and no clock outside its room."""

import ast
import re
from pathlib import PurePath

from tests.house.source import definitions, dotted, house, imports, told

EMPTY = {
    "manager", "helper", "helpers", "util", "utils", "service", "services", "handler", "handlers",
    "processor", "data", "info", "base", "common", "misc", "do",
}  # fmt: skip
"""Words that say nothing of what a thing is."""

RIVALS = {
    "tenant": "workspace",
    "user": "member or principal",
    "account": "member",
    "backend": "server",
    "marketplace": "catalog",
    "acl": "grant",
    "permission": "grant",
    "ruleset": "policy",
    "verdict": "decision",
    "pod": "instance",
    "replica": "instance",
    "invocation": "call",
    "sth": "checkpoint",
    "notary": "witness",
    "apikey": "token",
}
"""Words for which the house has another; the glossary is docs/concepts/words.md."""

GIVEN = {"data_received", "pipe_data_received", "user_agent", "server_info"}
"""Names that asyncio, HTTP or MCP gave."""

CLOCKS = {"time", "uuid", "secrets", "random"}
"""Modules that look at a clock or at chance."""

CLOCK_CALLS = {"now", "utcnow", "today", "urandom", "getrandom"}


def test_names_say_what_a_thing_is():
    faults = []
    for m in house():
        named = [(m.path, PurePath(m.path).stem)]
        named += [(f"{m.path}:{d.lineno}", d.name) for d in definitions(m)]
        for place, name in named:
            words = set(_words(name)) if name not in GIVEN else set()
            faults += [f"{place} {name}: '{word}' says nothing" for word in words & EMPTY]
            faults += [f"{place} {name}: here it is {RIVALS[w]}" for w in words & RIVALS.keys()]
    assert not faults, told(
        "A name says what a thing is, in the words of docs/concepts/words.md.",
        faults,
        "name it for its outcome or for the noun of the house.",
    )


def test_clocks_and_chance_come_in_through_ports():
    faults = []
    for m in house():
        if m.room.startswith("adapters/"):
            continue
        faults += [
            f"{m.path}:{line} imports {name}"
            for line, name in imports(m)
            if name.split(".")[0] in CLOCKS
        ]
        faults += [
            f"{m.path}:{node.lineno} {dotted(node)}"
            for node in m.nodes
            if isinstance(node, ast.Attribute)
            and node.attr in CLOCK_CALLS
            and dotted(node.value).split(".")[-1] in {"datetime", "date", "os"}
        ]
    assert not faults, told(
        "Only adapters may look at a clock or at chance, so that tests can turn them.",
        faults,
        "take a Clock or Ids (ports/world.py) through the constructor.",
    )


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return [part.lower() for part in spaced.split("_") if part]
