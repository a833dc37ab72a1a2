"""One word for one thing: names that say what they name, no rivals, no clock outside its room."""

import ast
import re
from pathlib import Path

from tests.house.source import definitions, dotted, house, imports, told

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

GLOSSARY = Path("docs/concepts/words.md")

CLOCKS = {"time", "uuid", "secrets", "random"}
"""Modules that look at a clock or at chance."""

CLOCK_CALLS = {"now", "utcnow", "today", "urandom", "getrandom"}


def test_a_class_is_called_by_the_word_of_the_house():
    faults = []
    for m in house():
        for node in definitions(m):
            if isinstance(node, ast.ClassDef):
                rivals = set(_words(node.name)) & RIVALS.keys()
                faults += [f"{m.path}:{node.lineno} {node.name}: {RIVALS[w]}" for w in rivals]
    assert not faults, told(
        "One word for one thing.", faults, "take the word of docs/concepts/words.md."
    )


def test_a_class_name_is_two_words_or_stands_in_the_glossary():
    known = set(re.findall(r"`([A-Z]\w+)`", GLOSSARY.read_text()))
    alone = {
        node.name: f"{m.path}:{node.lineno}"
        for m in house()
        for node in definitions(m)
        if isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and len(_words(node.name)) < 2
    }
    assert not alone.keys() - known, told(
        "One word is rarely enough to guess what a class is.",
        [f"{alone[name]} {name}" for name in sorted(alone.keys() - known)],
        f"say it in two words; a word of the field that needs none goes into {GLOSSARY}.",
    )
    assert known <= alone.keys(), f"no class is called so any more: {sorted(known - alone.keys())}"


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


def test_a_class_name_stands_for_one_class():
    places: dict[str, list[str]] = {}
    for m in house():
        for node in definitions(m):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(f"{m.path}:{node.lineno}")
    faults = [f"{name}: {', '.join(found)}" for name, found in places.items() if len(found) > 1]
    assert not faults, told(
        "Who looks for a class by its name finds one.",
        faults,
        "say in two words what each is: `DoctorFinding`, `FsckFinding`.",
    )
