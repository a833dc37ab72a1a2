"""Publishes, compiles and evaluates texts on a thread with a small stack; says which one it is at.

`python -m tests.unit.policy.parsing_child KIB`: texts as a JSON list on standard input.
"""

import json
import sys
import threading

from tests.unit.view.rows import guardrail, member, server, tool, view

from gatelodge.core.errors import Invalid
from gatelodge.core.policy.evaluate import PolicyQuestion, foresee, judge
from gatelodge.core.policy.guardrails import compile_guardrail, validate
from gatelodge.core.view_entry import PERSONAL


def _tell(word):
    sys.stdout.write(word)
    sys.stdout.flush()


def _tried(texts, kib):
    rules = view(member(), server(), tool())
    (who,) = rules.principals.values()
    entry = next(iter(rules.workspace(who.workspace).servers.values())).entries[0]
    for number, text in enumerate(texts):
        _tell(f"{number} ")
        if kib < 1024:
            try:
                validate(text)
            except Invalid:
                continue
        guard = compile_guardrail(guardrail(text, "grd_x"))
        question = foresee(guard, who, entry)
        if isinstance(question, PolicyQuestion):
            judge(question, 1_795_348_800_000_000, PERSONAL)
    _tell("end")


if __name__ == "__main__":
    kib = int(sys.argv[1])
    threading.stack_size(kib * 1024)
    thread = threading.Thread(target=_tried, args=(json.load(sys.stdin), kib))
    thread.start()
    thread.join()
