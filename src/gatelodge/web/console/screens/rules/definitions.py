"""What a server says of a tool, as it can be read: its words, its schemas, what changed in them."""

import json
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Raw, Struct

from gatelodge.core.catalog.visible import visible
from gatelodge.core.catalog.words import WordComparison, WordRun
from gatelodge.flows.admin.definitions.shapes import ToolDetail, ToolShape

PARTS: Final = ("description", "title", "annotations", "inputSchema", "outputSchema")
"""Parts of a definition that stand first; whatever else it has follows."""
MOST_WHOLE: Final = 24
"""Tools that a server's page shows whole; each has a page of its own."""
MOST_LETTERS: Final = 400_000
"""Letters of definitions on one page."""


class DefinitionPart(Struct, frozen=True, kw_only=True):
    """One part of a definition: as it is, and word by word against the approved one."""

    name: str
    text: str
    runs: tuple[WordRun, ...] = ()


class ToolView(Struct, frozen=True, kw_only=True):
    """A tool as its page shows it; `changed` names the parts that are not as approved."""

    tool: ToolShape
    parts: tuple[DefinitionPart, ...]
    approved: tuple[DefinitionPart, ...]

    @property
    def changed(self) -> tuple[DefinitionPart, ...]:
        """The parts that are not as they were approved, word by word."""
        return tuple(each for each in self.parts if each.runs)

    @property
    def due(self) -> bool:
        """True when there is something to approve."""
        return self.tool.standing in ("new", "changed") or self.tool.digest != self.tool.approved


def views_of(details: Sequence[ToolDetail]) -> list[ToolView]:
    """Tools whole: as many as one page can show. Long work of a server's texts: beside the loop."""
    words, letters = WordComparison(), 0
    found: list[ToolView] = []
    for each in details:
        letters += len(bytes(each.definition)) + len(bytes(each.approved_definition or Raw()))
        # The first is shown whatever its length, which the catalog bounds.
        if found and (len(found) >= MOST_WHOLE or letters > MOST_LETTERS):
            break
        found.append(_view_of(each, words))
    return found


def text_runs(old: str, new: str) -> tuple[WordRun, ...]:
    """Two texts word by word; nothing where they are the same."""
    return () if old == new else WordComparison().runs(old, new)


def _view_of(detail: ToolDetail, words: WordComparison) -> ToolView:
    now = _texts_of(detail.definition)
    was = {} if detail.approved_definition is None else _texts_of(detail.approved_definition)
    compared = detail.approved_definition is not None and detail.tool.digest != detail.tool.approved
    parts = []
    for name in (*now, *(each for each in was if each not in now)):
        old, new = was.get(name, ""), now.get(name, "")
        runs = words.runs(old, new) if compared and old != new else ()
        parts.append(DefinitionPart(name=visible(name), text=visible(new), runs=runs))
    approved = [
        DefinitionPart(name=visible(name), text=visible(text)) for name, text in was.items()
    ]
    return ToolView(tool=detail.tool, parts=tuple(parts), approved=tuple(approved))


def _texts_of(definition: Raw) -> dict[str, str]:
    """The parts of a definition as texts, by name."""
    whole: dict[str, Any] = json.loads(bytes(definition))
    whole.pop("name", None)
    names = [str(each) for each in PARTS if each in whole]
    names += [each for each in whole if each not in PARTS]
    return {name: _text_of(whole[name]) for name in names}


def _text_of(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, indent=2)
