"""Whoever sees a log line finds in docs/debugging.md what it means."""

import ast
import re
from collections.abc import Iterator

from tests.house.source import ROOT, Module, dotted, house, told

PAGE = "docs/debugging.md"
LEVELS = {"debug", "info", "warning", "error", "exception"}


def test_each_log_line_of_the_process_is_explained():
    page = (ROOT / PAGE).read_text("utf-8")
    texts = {name: text for module in house() for name, text in _assigned(module)}
    lines = [(place, text) for module in house() for place, text in _lines(module, texts)]
    assert len(lines) > 30
    faults = [f"{place}: {text}" for place, text in lines if _longest_part(text) not in page]
    assert not faults, told(
        "A line that nobody can act on is noise.",
        faults,
        f"say in {PAGE} when it comes and what to do, in its own words.",
    )


def _lines(module: Module, texts: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Where each line is logged, and its text, which may stand in a name of this file."""
    own = {**texts, **dict(_assigned(module))}
    for node in module.nodes:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr in LEVELS and dotted(node.func.value) in {"log", "_log"}:
            place = f"{module.path}:{node.lineno}"
            for text in _said(module, node, own):
                yield place, text


def _said(module: Module, call: ast.Call, texts: dict[str, str]) -> list[str]:
    first = call.args[0]
    if isinstance(first, ast.Constant):
        return [str(first.value)]
    assert isinstance(first, ast.Name), f"{module.path}:{call.lineno}: what is logged?"
    before = [n for n in module.nodes if isinstance(n, ast.Assign) and n.lineno < call.lineno]
    near = [text for n in sorted(before, key=lambda n: n.lineno) for text in _value(n, first.id)]
    return [near[-1] if near else texts[first.id]]


def _assigned(module: Module) -> Iterator[tuple[str, str]]:
    for node in module.nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            for text in _value(node, node.targets[0].id):
                yield node.targets[0].id, text


def _value(node: ast.Assign, name: str) -> list[str]:
    """The text that is given to this name, with the names in it left out as `%s`."""
    if not isinstance(node.targets[0], ast.Name) or node.targets[0].id != name:
        return []
    parts = node.value.values if isinstance(node.value, ast.JoinedStr) else [node.value]
    if not all(isinstance(part, ast.Constant | ast.FormattedValue) for part in parts):
        return []
    return ["".join(str(p.value) if isinstance(p, ast.Constant) else "%s" for p in parts)]


def _longest_part(text: str) -> str:
    return max(re.split(r"%[sd]", text), key=len).strip(" :;,.")
