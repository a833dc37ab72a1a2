"""No file, function, parameter list, nesting or folder outgrows what one reader can hold."""

import ast
from collections import Counter
from pathlib import PurePath

from tests.house.source import Function, definitions, modules, told

FILE_LINES = 400
FUNCTION_LINES = 60
PARAMETERS = 6
NESTING = 4
FOLDER_FILES = 12

REMEDY = "name a new thing and move it there; a size is never mended by a waiver."

_BLOCKS = (
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.With,
    ast.AsyncWith,
    ast.Try,
    ast.TryStar,
    ast.Match,
)


def test_no_file_is_longer_than_a_reader_holds():
    faults = [
        f"{m.path}: {lines} lines, at most {FILE_LINES}"
        for m in modules("src", "tests", "bench", "docs", "examples")
        if (lines := m.text.count("\n")) > FILE_LINES
    ]
    assert not faults, told("A file should be read in one sitting.", faults, REMEDY)


def test_no_function_is_longer_than_a_screen():
    faults = [
        f"{m.path}:{f.lineno} {f.name}: {lines} lines, at most {FUNCTION_LINES}"
        for m in modules("src", "tests", "bench", "docs")
        for f in definitions(m)
        if isinstance(f, Function)
        and (lines := (f.end_lineno or 0) - f.lineno + 1) > FUNCTION_LINES
    ]
    assert not faults, told("A function should be seen whole.", faults, REMEDY)


def test_no_function_takes_more_than_six_parameters_by_their_place():
    faults = [
        f"{m.path}:{f.lineno} {f.name}: {count} parameters before `*`, at most {PARAMETERS}"
        for m in modules("src")
        if not m.room.startswith("cli/")  # click hands each option over as a parameter
        for f in definitions(m)
        if isinstance(f, Function) and (count := _parameters(f)) > PARAMETERS
    ]
    assert not faults, told(
        "A caller mixes seven values up that have no names.",
        faults,
        "put `*` before those that are named, or group them into a struct.",
    )


def test_no_block_is_nested_deeper_than_four():
    faults = [
        f"{m.path}:{f.lineno} {f.name}: nested {depth} deep, at most {NESTING}"
        for m in modules("src", "tests")
        for f in definitions(m)
        if isinstance(f, Function) and (depth := _depth(f.body)) > NESTING
    ]
    assert not faults, told(
        "Deep nesting hides the case that matters.", faults, "return early or name the inner step."
    )


def test_no_folder_holds_more_than_twelve_files():
    count = Counter(
        str(PurePath(m.path).parent)
        for m in modules("src", "tests")
        if not m.path.endswith("__init__.py")
    )
    faults = [
        f"{folder}: {files} files, at most {FOLDER_FILES}"
        for folder, files in sorted(count.items())
        if files > FOLDER_FILES
    ]
    assert not faults, told(
        "A folder should be seen at a glance.", faults, "find the two rooms that are in it."
    )


def _parameters(function: Function) -> int:
    given = function.args
    named = [a.arg for a in (*given.posonlyargs, *given.args)]
    return len([name for name in named if name not in {"self", "cls"}])


def _depth(body: list[ast.stmt]) -> int:
    return max((_depth_of(statement) for statement in body), default=0)


def _depth_of(statement: ast.stmt) -> int:
    if not isinstance(statement, _BLOCKS):
        return 0
    inner = [_depth(part) for part in _bodies(statement)]
    chained = _chained_else(statement)
    if chained is not None:  # `elif` stands beside its `if`, not inside it
        return max(1 + _depth(statement.body), _depth_of(chained))
    return 1 + max(inner, default=0)


def _bodies(statement: ast.stmt) -> list[list[ast.stmt]]:
    if isinstance(statement, ast.Match):
        return [case.body for case in statement.cases]
    bodies = [getattr(statement, part, []) for part in ("body", "orelse", "finalbody")]
    return bodies + [handler.body for handler in getattr(statement, "handlers", [])]


def _chained_else(statement: ast.stmt) -> ast.If | None:
    if isinstance(statement, ast.If) and len(statement.orelse) == 1:
        only = statement.orelse[0]
        return only if isinstance(only, ast.If) else None
    return None
