"""The fields that the code puts into gov leaves, read from the places that record them."""

import ast
from collections.abc import Iterator

from tests.house.source import house


def subjects() -> dict[str, tuple[str, ...]]:
    """Each kind of leaf that is recorded, with the fields of its subject in order."""
    found: dict[str, dict[str, None]] = {}
    for module in house():
        for node in module.nodes:
            for kind, fields in _recorded(node):
                found.setdefault(kind, {}).update(dict.fromkeys(fields))
    return {kind: tuple(fields) for kind, fields in found.items()}


def _recorded(node: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """`act.record("kind", workspace, field=...)`, or `GovFact(t="kind", subject={...})`."""
    if not isinstance(node, ast.Call):
        return
    given = {k.arg: k.value for k in node.keywords if k.arg}
    if isinstance(node.func, ast.Attribute) and node.func.attr == "record" and node.args:
        for kind in _texts(node.args[0]):
            yield kind, list(given)
    elif isinstance(node.func, ast.Name) and node.func.id == "GovFact" and "t" in given:
        subject = given.get("subject")
        keys = subject.keys if isinstance(subject, ast.Dict) else []
        for kind in _texts(given["t"]):
            yield kind, [text for key in keys if key is not None for text in _texts(key)]


def _texts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)
