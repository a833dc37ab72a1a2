"""Scenarios in text: commands as a person types them, and what they print.

A scenario is a file of lines. `$ gatelodge ...` is a command, `$ call WHO TOOL JSON` a call of a
tool with the token `<WHO>`; what follows is the output that is expected, to the next empty line.

    <name>    one word, remembered: the same name later, in a command too, means the same word
    <*>       anything on the line
    ...       any lines
    exit 3    the exit code, when it is not 0

Runs of blanks count as one, so a wider column is no difference.
"""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

Run = Callable[[list[str]], str]
"""Runs the words of a command; returns what it printed, with `exit N` at the end if N is not 0."""


class Step(NamedTuple):
    """A command and the output that is expected."""

    line: int
    command: str
    expected: list[str]


def read(path: Path) -> list[Step]:
    """The steps of a scenario."""
    steps: list[Step] = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if line.startswith("$ "):
            steps.append(Step(number, line[2:], []))
        elif line.strip() and not line.startswith("#"):
            steps[-1].expected.append(line)
    return steps


def play(path: Path, known: dict[str, str], run: Run) -> None:
    """Run every step. Fails at the first that prints something else; `known` grows by names."""
    for step in read(path):
        command = re.sub(r"<(\w+)>", lambda found: known[found[1]], step.command)
        words = shlex.split(command)
        printed = [squeezed(line) for line in run(words).splitlines() if line.strip()]
        expected = [squeezed(line) for line in step.expected]
        place = f"{path.name}:{step.line} $ {step.command}"
        told = "\n".join([place, "expected:", *expected, "printed:", *printed])
        assert matches(expected, printed, known), told


def matches(expected: list[str], printed: list[str], known: dict[str, str]) -> bool:
    """Compare line by line; remembers the words that names stand for."""
    if not expected:
        return not printed
    head, *rest = expected
    if head == "...":
        return any(matches(rest, printed[at:], known) for at in range(len(printed) + 1))
    if not printed:
        return False
    seen: dict[str, str] = {}
    found = re.fullmatch(_pattern(head, {**known}, seen), printed[0])
    if found is None:
        return False
    known.update({name: found[group] for name, group in seen.items()})
    return matches(rest, printed[1:], known)


def _pattern(line: str, known: dict[str, str], seen: dict[str, str]) -> str:
    parts = []
    for part in re.split(r"(<\w+>|<\*>)", line):
        name = part[1:-1]
        if part == "<*>":
            parts.append(".*")
        elif not re.fullmatch(r"<\w+>", part):
            parts.append(re.escape(part))
        elif name in known:
            parts.append(re.escape(known[name]))
        else:
            seen[name] = name
            parts.append(rf"(?P<{name}>\S+)")
    return "".join(parts)


def squeezed(line: str) -> str:
    """The line with each run of blanks as one."""
    return " ".join(line.split())


def answer(body: dict[str, object]) -> str:
    """A JSON-RPC answer on one line: the result's content, or the error."""
    result = body.get("result")
    return json.dumps(result["content"] if isinstance(result, dict) else body["error"])
