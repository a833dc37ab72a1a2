"""The source of the house as trees, parsed once, for the tests that read it."""

import ast
import os
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
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
    """Every path that git knows, in order; without git, all but what `.gitignore` names.

    What else lies in a checkout is nobody's affair: a new file is looked at once it is added. Git
    knows nothing of a copy without its history that lies inside another repository.
    """
    listing = ["git", "ls-files", "-z", "--cached"]
    try:
        out = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, timeout=30).stdout
    except (OSError, subprocess.CalledProcessError):
        out = b""
    known = sorted(p for p in out.decode().split("\0") if p and (ROOT / p).is_file())
    return tuple(known or sorted(unignored(ROOT)))


def unignored(root: Path) -> Iterator[str]:
    """Every file below a folder but those that its `.gitignore` names, and git's own."""
    lines = (root / ".gitignore").read_text("utf-8").split()
    names = {".git", *(line.rstrip("/") for line in lines)}
    for folder, folders, files in os.walk(root):
        here = Path(folder).relative_to(root)
        folders[:] = [name for name in folders if not _is_named(here / name, names)]
        yield from (str(here / name) for name in files if not _is_named(here / name, names))


def _is_named(path: Path, names: set[str]) -> bool:
    """Say whether a line of `.gitignore` is for it: by its name anywhere, or by its whole path."""
    return any(
        fnmatch(str(path), name.lstrip("/")) if "/" in name else fnmatch(path.name, name)
        for name in names
    )


def is_there(path: Path) -> bool:
    """Say whether this file, or a file in this folder, is one that git knows."""
    name = os.path.relpath(path, ROOT)  # not resolved: a link may lead out of the checkout
    return name == "." or any(each == name or each.startswith(f"{name}/") for each in tracked())


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
