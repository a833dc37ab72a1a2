"""Each promise of this release has a test that cites it, and each citation names a promise."""

import ast

from tests.guarantees import GUARANTEES
from tests.house.source import dotted, modules, told


def cited() -> dict[str, list[str]]:
    """Each cited id with the tests that cite it, as `path::test`."""
    found: dict[str, list[str]] = {}
    for m in modules("tests"):
        for node in m.nodes:
            place, marks = _marked(m.path, node)
            for name in (name for mark in marks for name in _names(mark)):
                found.setdefault(name, []).append(place)
    return found


def _marked(path: str, node: ast.AST) -> tuple[str, list[ast.expr]]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return f"{path}::{node.name}", node.decorator_list
    if isinstance(node, ast.Assign) and any(dotted(t) == "pytestmark" for t in node.targets):
        return path, [node.value]
    return path, []


def _names(mark: ast.expr) -> list[str]:
    return [
        str(call.args[0].value)
        for call in ast.walk(mark)
        if isinstance(call, ast.Call)
        and dotted(call.func).endswith("mark.guarantee")
        and isinstance(call.args[0], ast.Constant)
    ]


def test_each_promise_of_this_release_is_proved():
    proved = cited()
    faults = [name for name, promise in GUARANTEES.items() if promise.since and name not in proved]
    assert not faults, told(
        "A promise without a test is a wish.",
        faults,
        'cite it in the test that proves it: @pytest.mark.guarantee("...").',
    )


def test_each_citation_names_a_promise():
    faults = [
        f"{name} in {', '.join(tests)}" for name, tests in cited().items() if name not in GUARANTEES
    ]
    assert not faults, told(
        "A test cites a promise that nobody made.", faults, "use an id of tests/guarantees.py."
    )


def test_a_promise_is_kept_or_said_to_be_missing():
    faults = [name for name, p in GUARANTEES.items() if bool(p.since) == bool(p.missing)]
    assert not faults, told(
        "A promise is kept since a release, or it says what is missing.", faults, "say which."
    )
