"""The source of the house as trees, parsed once, for the tests that read it."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "gatelodge"


class Module(NamedTuple):
    """One Python file: its path from the root of the repository, its text, all its nodes."""

    path: str
    text: str
    nodes: tuple[ast.AST, ...]

    @property
    def room(self) -> str:
        """The path below the package, such as `flows/gateway/call.py`; empty outside of it."""
        return self.path.removeprefix("src/gatelodge/") if self.path.startswith("src/") else ""


@cache
def modules(*folders: str) -> tuple[Module, ...]:
    """Every Python file below these folders, in the order of their paths."""
    paths = (p for folder in folders for p in sorted(tracked()) if p.startswith(f"{folder}/"))
    return tuple(_parsed(ROOT / path) for path in paths if path.endswith(".py"))


@cache
def _parsed(file: Path) -> Module:
    text = file.read_text("utf-8")
    return read(str(file.relative_to(ROOT)), text)


def read(path: str, text: str) -> Module:
    """The module of this text."""
    return Module(path, text, tuple(ast.walk(ast.parse(text, path))))


def house() -> tuple[Module, ...]:
    """The product itself."""
    return modules("src/gatelodge")


@cache
def tracked() -> tuple[str, ...]:
    """Every path that git knows; without git, all but what is ignored by name.

    What else lies in a checkout is nobody's affair: a new file is looked at once it is added.
    """
    listing = ["git", "ls-files", "-z", "--cached"]
    try:
        out = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, timeout=30).stdout
    except (OSError, subprocess.CalledProcessError):
        skipped = {".git", ".venv", "node_modules", "build"}
        files = (p for p in ROOT.rglob("*") if p.is_file())
        return tuple(str(p.relative_to(ROOT)) for p in files if not skipped & set(p.parts))
    return tuple(p for p in out.decode().split("\0") if p and (ROOT / p).is_file())


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Function = ast.FunctionDef | ast.AsyncFunctionDef


def definitions(module: Module) -> Iterator[Definition]:
    """Each function and class, also the nested ones."""
    for node in module.nodes:
        if isinstance(node, Definition):
            yield node


def dotted(node: ast.expr) -> str:
    """`a.b.c` for a chain of names and attributes; what cannot be named is left out."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}".lstrip(".")
    return node.id if isinstance(node, ast.Name) else ""


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """Line and full name of all that is imported, lazily or not."""
    for node in module.nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def told(rule: str, faults: list[str], remedy: str) -> str:
    """The message of a failed house test: the rule and its reason, each fault, the remedy."""
    return "\n".join([rule, *(f"  {fault}" for fault in faults), f"Remedy: {remedy}"])
