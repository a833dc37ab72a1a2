"""A task that works for ever lets it be known when it fails: nothing fails for ever in silence."""

import ast

from tests.house.source import Function, Module, dotted, house, read, told

REPORTS = {"failed", "watched", "_run_watched", "_close_all"}
"""Calls that let Health know how it went (`flows/health.py`)."""
LOGS = {"debug", "info", "warning", "error", "exception"}
EXPECTED = {"TimeoutError", "CancelledError", "asyncio.CancelledError"}
SPEECHLESS = {"adapters/runtime/process/supervisor.py": "a process of its own, which has no log"}
"""Exceptions by which a loop goes on as it is meant to."""


def loops_in_silence(module: Module):
    """Each handler in an endless loop that neither raises, leaves, reports nor logs."""
    for node in module.nodes:
        if isinstance(node, Function):
            yield from _silent(module, node)


def _silent(module, function):
    loops = [n for n in ast.walk(function) if isinstance(n, ast.While)]
    endless = [each for each in loops if isinstance(each.test, ast.Constant)]
    attempts = [n for loop in endless for n in ast.walk(loop) if isinstance(n, ast.Try)]
    for handler in (h for each in attempts if not _reports(each.body) for h in each.handlers):
        if not (_expected(handler) or _reports(handler.body) or _ends(handler)):
            yield f"{module.path}:{handler.lineno} in {function.name}"


def _expected(handler):
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return all(kind is not None and dotted(kind) in EXPECTED for kind in kinds)


def _reports(body):
    for node in (node for line in body for node in ast.walk(line)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name = node.func.attr
            if name in REPORTS or (name in LOGS and dotted(node.func).startswith("log")):
                return True
    return False


def _ends(handler):
    return any(
        isinstance(n, ast.Raise | ast.Return) for line in handler.body for n in ast.walk(line)
    )


def test_no_endless_loop_swallows_a_fault_without_a_word():
    rooms = (m for m in house() if m.room and m.room not in SPEECHLESS)
    faults = [fault for module in rooms for fault in loops_in_silence(module)]
    assert not faults, told(
        "What fails in silence fails for ever.",
        faults,
        "let Health know (`with health.watched(...)`), log it, or let it end the task.",
    )


def test_a_silent_loop_is_found_and_one_that_reports_is_not():
    text = (
        "async def run(self):\n    while True:\n        try:\n            {}\n"
        "        except Unavailable:\n            {}\n"
    )
    assert list(loops_in_silence(read("src/a.py", text.format("await work()", "pass"))))
    spoken = [("await work()", "log.error('no')"), ("await work()", "health.failed('a', 'b')")]
    spoken += [("await self._run_watched('a', work())", "pass"), ("await work()", "raise")]
    for body, handler in spoken:
        assert not list(loops_in_silence(read("src/a.py", text.format(body, handler))))
