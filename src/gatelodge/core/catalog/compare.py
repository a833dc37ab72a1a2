"""What differs between two definitions: the words of their texts, the places in their schemas."""

import json
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from typing import Any, Final

from msgspec import Struct

from gatelodge.core.catalog.pin import definition_digest
from gatelodge.core.errors import Invalid

MOST_WORDS: Final = 600
"""Words that are laid side by side after what both begin and end with; longer ones differ whole."""
MOST_CELLS: Final = 3 * MOST_WORDS**2
"""Pairs of words that one comparison looks at; texts that would need more differ whole."""
MOST_PLACES: Final = 400
MOST_NAME: Final = 100
"""Letters of a member's name in a path; paths are told for every place below it."""
_PROSE: Final = frozenset(("description", "title", "$comment"))
_SETS: Final = frozenset(("required", "type"))


class TextChange(Struct, frozen=True):
    """A text that differs, by its place: the words that went and those that came, in order."""

    where: str
    removed: tuple[str, ...]
    added: tuple[str, ...]


class DefinitionComparison(Struct, frozen=True, kw_only=True):
    """Two definitions side by side. A place is a path such as `inputSchema.properties.to.type`.

    `added`, `removed` and `changed` are places with what stands there, as JSON.
    """

    texts: tuple[TextChange, ...] = ()
    added: dict[str, str] = {}
    removed: dict[str, str] = {}
    changed: dict[str, tuple[str, str]] = {}
    cut: bool = False
    """There is more than is told here."""


def compare_texts(old: str, new: str, where: str = "") -> TextChange:
    """The words in which two texts differ; each run of them is one entry.

    Texts of the same words that differ in the space between them differ whole.
    """
    return _compare_texts_within(old, new, where, MOST_WORDS**2)[0]


def _compare_texts_within(old: str, new: str, where: str, room: int) -> tuple[TextChange, int]:
    """The change, and how many pairs of words were looked at; none where `room` is too small."""
    removed, added, looked = _removed_and_added_runs(old.split(), new.split(), room)
    if old != new and not removed and not added:
        removed, added = [old] * bool(old), [new] * bool(new)
    return TextChange(where, tuple(removed), tuple(added)), looked


def changed_places(old: str, new: str, most: int) -> list[str]:
    """The first places in which two definitions differ; none where either is no JSON."""
    try:
        found = _differences_between(json.loads(old) if old else {}, json.loads(new), "")
        return [where for _, where, _, _ in islice(found, most)]
    except (ValueError, RecursionError):
        return []


def compare_definitions(old: str, new: str) -> DefinitionComparison:
    """What differs between two definitions (JSON texts); of no old one, everything is added.

    Never raises: a text that is no JSON is compared as a text.
    """
    try:
        found = _first_differences(json.loads(old) if old else {}, json.loads(new))
    except (ValueError, RecursionError):
        return DefinitionComparison(texts=(compare_texts(old, new),))
    # `json.loads` keeps the last of two equal keys and rounds numbers: a difference that only
    # the digest sees must not be shown as none.
    if not found and _are_two(old, new):
        return DefinitionComparison(texts=(compare_texts(old, new),))
    texts, places, room = [], found[:MOST_PLACES], MOST_CELLS
    for kind, where, before, after in places:
        if kind == "text":
            change, looked = _compare_texts_within(before, after, where, min(room, MOST_WORDS**2))
            texts.append(change)
            room -= looked
    return DefinitionComparison(
        texts=tuple(texts),
        added={where: _json_text(new) for kind, where, _, new in places if kind == "added"},
        removed={where: _json_text(old) for kind, where, old, _ in places if kind == "removed"},
        changed={
            where: (_json_text(old), _json_text(new))
            for kind, where, old, new in places
            if kind == "changed"
        },
        cut=len(found) > MOST_PLACES,
    )


def _first_differences(old: Any, new: Any) -> "list[_Difference]":
    """Texts first, since what a model reads is never cut off; of each no more than are told."""
    texts: list[_Difference] = []
    others: list[_Difference] = []
    for each in _differences_between(old, new, ""):
        kept = texts if each[0] == "text" else others
        if len(kept) <= MOST_PLACES:
            kept.append(each)
    return texts + others


def _are_two(old: str, new: str) -> bool:
    """True for definitions that differ, though in nothing that JSON's readers tell apart."""
    try:
        return definition_digest(old or "{}") != definition_digest(new)
    except Invalid:
        return old != new


_Difference = tuple[str, str, Any, Any]
"""text, added, removed or changed; where; what stood there, and what stands there now."""


def _differences_between(old: Any, new: Any, at: str) -> Iterator[_Difference]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in (*old, *(each for each in new if each not in old)):
            where = _path_of_member(at, name)
            if name not in new:
                yield "removed", where, old[name], None
            elif name not in old:
                yield "added", where, None, new[name]
            else:
                yield from _differences_between(old[name], new[name], where)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _of_lists(old, new, at)
    elif isinstance(old, str) and isinstance(new, str) and at.rpartition(".")[2] in _PROSE:
        if old != new:
            yield "text", at, old, new
    # In Python 1, 1.0 and True are equal; in a schema they are not.
    elif type(old) is not type(new) or old != new:
        yield "changed", at, old, new


def _of_lists(old: list[Any], new: list[Any], at: str) -> Iterator[_Difference]:
    texts = all(isinstance(each, str) for each in (*old, *new))
    # The order of a set is in no digest (decision 0018): shown, it would hide real changes.
    if texts and (at.rpartition(".")[2] in _SETS or ".dependentRequired." in at):
        for gone in sorted(set(old) - set(new)):
            yield "removed", f"{at}[{_json_text(gone)}]", gone, None
        for came in sorted(set(new) - set(old)):
            yield "added", f"{at}[{_json_text(came)}]", None, came
        return
    for place, (before, after) in enumerate(zip(old, new, strict=False)):
        yield from _differences_between(before, after, f"{at}[{place}]")
    for place in range(len(new), len(old)):
        yield "removed", f"{at}[{place}]", old[place], None
    for place in range(len(old), len(new)):
        yield "added", f"{at}[{place}]", None, new[place]


def _path_of_member(at: str, name: str) -> str:
    plain = name.isidentifier() or (name[:1] == "$" and name[1:].isidentifier())
    # It is shown on terminals: what none of them prints is escaped, marks of direction too.
    shown = name if plain else _json_text(name) if name.isprintable() else json.dumps(name)
    if len(shown) > MOST_NAME:
        # With a digest: two names that begin alike must not be shown as one place.
        shown = f"{shown[:MOST_NAME]}...{sha256(name.encode('utf-8', 'replace')).hexdigest()[:32]}"
    return f"{at}.{shown}" if at else shown


def _json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _removed_and_added_runs(
    old: list[str], new: list[str], room: int
) -> tuple[list[str], list[str], int]:
    """The runs of words that went, those that came, and how many pairs of words that took."""
    # The table of `common_subsequence_flags` grows with the product of both lengths, so what is
    # alike at both ends is taken off first.
    begin = 0
    while begin < min(len(old), len(new)) and old[begin] == new[begin]:
        begin += 1
    end = 0
    while end < min(len(old), len(new)) - begin and old[-1 - end] == new[-1 - end]:
        end += 1
    old, new = old[begin : len(old) - end], new[begin : len(new) - end]
    cells = len(old) * len(new)
    if max(len(old), len(new)) > MOST_WORDS or cells > room:
        return [" ".join(old)] * bool(old), [" ".join(new)] * bool(new), 0
    stays, stayed = common_subsequence_flags(old, new)
    runs = _runs_of_unmatched_words(old, stays), _runs_of_unmatched_words(new, stayed)
    return *runs, cells


def common_subsequence_flags(old: list[str], new: list[str]) -> tuple[list[bool], list[bool]]:
    """Which words of each stay, by one longest common sequence: the same words, in one order."""
    lengths = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i in range(len(old) - 1, -1, -1):
        row, below = lengths[i], lengths[i + 1]
        for j in range(len(new) - 1, -1, -1):
            row[j] = below[j + 1] + 1 if old[i] == new[j] else max(row[j + 1], below[j])
    stays, stayed = [False] * len(old), [False] * len(new)
    i = j = 0
    while i < len(old) and j < len(new):
        if old[i] == new[j]:
            stays[i] = stayed[j] = True
            i, j = i + 1, j + 1
        elif lengths[i][j + 1] >= lengths[i + 1][j]:
            j += 1
        else:
            i += 1
    return stays, stayed


def _runs_of_unmatched_words(words: list[str], kept: list[bool]) -> list[str]:
    runs: list[list[str]] = []
    last = True
    for word, same in zip(words, kept, strict=True):
        if not same:
            if last:
                runs.append([])
            runs[-1].append(word)
        last = same
    return [" ".join(run) for run in runs]
