"""How much a policy text asks of Cedar's parser: told by one linear scan, before it is parsed.

Cedar's parser and what stands behind it call themselves once for each level of a text, and native
code that runs out of stack ends the whole process: no handler sees it. And where a sign does not
fit, the parser walks its whole stack before it goes on with the next one: a text of nothing but
such signs below sixty levels takes twenty times as long as one that parses. So a text is measured
before any native code reads it.
"""

import re
from typing import Final

from msgspec import Struct

from gatelodge.core.errors import Invalid

LEVELS: Final = 64
"""The levels of a text that may be published: half of what a stack of 512 KiB holds."""
LEVELS_STORED: Final = 100
"""The levels of a text that may stand in the store: older releases published up to so many."""
SIGNS: Final = 4_000
"""The words and signs of a text: it is parsed and validated in some milliseconds."""
WORK: Final = 48_000
"""The levels above all signs of a text together: what its parsing takes where nothing fits."""

_SIGN: Final = re.compile(
    r'//[^\n\r]*|"(?:[^"\\]|\\.)*+(")?|[A-Za-z_][A-Za-z0-9_]*+|[0-9]++|::|&&|\|\||[=!<>]=|\S',
    re.DOTALL,
)
_ROWS: Final = frozenset(("&&", "||", "if", "when", "unless"))
"""What puts a level above all that stands beside it, up to the comma or bracket around."""
_STEPS: Final = frozenset((
    "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "%", ".",
    "in", "has", "like", "is", "(", "[", "{",
))  # fmt: skip
"""What puts a level above its own operand: up to the next `&&` too."""
_OPENS: Final = {"(": ")", "[": "]", "{": "}"}
_CLOSES: Final = frozenset(_OPENS.values())
_REMEDY: Final = (
    "Split it into several guardrails, or name entities in a set: [A, B].contains(resource)."
)


class _Group(Struct):
    """What stands in one bracket, in levels; `above` is what the bracket stands in.

    `steps` and `inner` (closed brackets) are of the operand that is being read, `operand` is the
    deepest one before it, `part` the deepest part before a comma.
    """

    end: str
    above: int
    rows: int = 0
    steps: int = 0
    inner: int = 0
    operand: int = 0
    part: int = 0

    def levels(self) -> int:
        """How deep the part that is being read goes."""
        return self.rows + max(self.operand, self.steps + self.inner)

    def deepest(self) -> int:
        """How deep the bracket went so far: a comma that does not fit ends no part of it."""
        return self.above + max(self.part, self.levels())


def check_extent(text: str, levels: int = LEVELS, work: int = WORK) -> None:
    """Return when the text is safe to be parsed, else raise Invalid with the place.

    A bracket counts as two levels, an operator or a dot as one; what stands beside each other is
    counted once, by its deepest, unless a row of operators binds it: such a row is a nest. The sum
    is never less than the parser's own nesting. `work` bounds the sum of those levels over all
    signs.
    """
    stack = [_Group("", 0)]
    signs = done = 0
    for found in _SIGN.finditer(text):
        sign = found[0]
        if sign.startswith("//"):
            continue
        # The limits are asked at each sign: what follows in a hostile text is not scanned at all.
        signs += 1
        fault = _count_sign(stack, sign)
        done += stack[-1].deepest()
        if sign.startswith('"') and not found[1]:
            fault = "a string has no end"
        elif signs > SIGNS:
            fault = f"the guardrail has more than {SIGNS} words and signs"
        elif stack[-1].above + stack[-1].levels() > levels:
            fault = (
                f"the guardrail nests deeper than {levels} levels, where a bracket counts as two "
                "and an operator or a dot as one"
            )
        elif done > work:
            fault = "the guardrail has too many words and signs below so many levels"
        if fault:
            line = len(text[: found.start() + 1].splitlines())
            raise Invalid(f"Line {line}: {fault}.", remedy=_REMEDY)


def check_stored_extent(text: str) -> None:
    """Return when a text that was published once is safe to be parsed, else raise Invalid.

    It parsed then, so its signs fit: the work that `check_extent` bounds is not done for it.
    """
    check_extent(text, LEVELS_STORED, LEVELS_STORED * SIGNS)


def strings_and_comments(text: str) -> list[tuple[int, int]]:
    """Where each string and comment of the text begins and ends: nothing in them is a word."""
    return [found.span() for found in _SIGN.finditer(text) if found[0].startswith(('"', "//"))]


def _count_sign(stack: list[_Group], sign: str) -> str:
    """Count one sign. Returns what is wrong with it, mostly nothing."""
    group = stack[-1]
    if sign in _ROWS:
        group.rows += 1
        group.operand = max(group.operand, group.steps + group.inner)
        group.steps = group.inner = 0
    elif sign in _STEPS:
        group.steps += 1
        if sign in _OPENS:
            # A bracket counts as two levels: this one, and the step that was counted above.
            stack.append(_Group(_OPENS[sign], group.above + group.rows + group.steps + 1))
    elif sign == ",":
        group.part = max(group.part, group.levels())
        group.rows = group.steps = group.inner = group.operand = 0
    elif sign in _CLOSES:
        if sign != group.end:
            # Where brackets do not match, the count would no longer bound the parser's nesting.
            return f"unexpected token `{sign}`"
        stack.pop()
        stack[-1].inner = max(stack[-1].inner, 1 + group.part, 1 + group.levels())
    return ""
