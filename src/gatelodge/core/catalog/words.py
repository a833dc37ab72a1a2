"""Two texts side by side, word by word, with what nobody sees in them written out."""

import re
from typing import Final, Literal

from msgspec import Struct

from gatelodge.core.catalog.compare import MOST_CELLS, MOST_WORDS, common_subsequence_flags
from gatelodge.core.catalog.visible import visible

_WORD: Final = re.compile(r"\s*\S+|\s+$")
RunKind = Literal["same", "removed", "added"]


class WordRun(Struct, frozen=True):
    """Words in a row that stayed, went or came; as they can be read."""

    kind: RunKind
    text: str


class WordComparison:
    """Compares texts word by word; all of its comparisons together look at so many pairs."""

    def __init__(self, room: int = MOST_CELLS) -> None:
        self._room = room

    def runs(self, old: str, new: str) -> tuple[WordRun, ...]:
        """What stayed, went and came, in order. Texts that are too long for it differ whole."""
        before, after = _WORD.findall(old), _WORD.findall(new)
        begin = _alike(before, after)
        end = _alike(before[begin:][::-1], after[begin:][::-1])
        gone, came = before[begin : len(before) - end], after[begin : len(after) - end]
        middle = self._middle(gone, came)
        tail = before[len(before) - end :]
        found = [("same", each) for each in before[:begin]]
        return _joined([*found, *middle, *(("same", each) for each in tail)])  # type: ignore[list-item]

    def _middle(self, old: list[str], new: list[str]) -> list[tuple[str, str]]:
        cells = len(old) * len(new)
        if max(len(old), len(new)) > MOST_WORDS or cells > self._room:
            return [*(("removed", each) for each in old), *(("added", each) for each in new)]
        self._room -= cells
        stays, stayed = common_subsequence_flags(old, new)
        found: list[tuple[str, str]] = []
        at = 0
        for word, kept in zip(old, stays, strict=True):
            if not kept:
                found.append(("removed", word))
                continue
            while not stayed[at]:
                found.append(("added", new[at]))
                at += 1
            found.append(("same", word))
            at += 1
        return [*found, *(("added", word) for word in new[at:])]


def _alike(old: list[str], new: list[str]) -> int:
    """How many words both begin with."""
    for at, (one, other) in enumerate(zip(old, new, strict=False)):
        if one != other:
            return at
    return min(len(old), len(new))


def _joined(words: list[tuple[RunKind, str]]) -> tuple[WordRun, ...]:
    runs: list[tuple[RunKind, list[str]]] = []
    for kind, word in words:
        if not runs or runs[-1][0] != kind:
            runs.append((kind, []))
        runs[-1][1].append(word)
    return tuple(WordRun(kind, visible("".join(each))) for kind, each in runs)
