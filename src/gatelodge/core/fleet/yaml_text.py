"""YAML read as plain values: tables, lists and texts, by its events and not by its tags.

A tag can ask for an object, and an anchor can stand for a million others. Here a tag says nothing,
each anchor is read once, and depth, anchors and values are bounded before anything is built.
"""

from typing import Any, Final

import yaml  # type: ignore[import-untyped]

MOST_DEPTH: Final = 64
MOST_VALUES: Final = 50_000
_WORDS: Final = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "yes": True, "on": True,
    "false": False, "False": False, "FALSE": False, "no": False, "off": False,
}  # fmt: skip
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class YamlBuilder:
    """Builds the values of one document from its events."""

    def __init__(self) -> None:
        self.root: object = None
        self._open: list[tuple[Any, list[object]]] = []
        self._anchors: dict[str, object] = {}
        self._names: list[str | None] = []
        self._count = 0

    def take(self, event: Any) -> None:
        """Add what an event tells. Raises ValueError for more than is read."""
        self._count += 1
        if self._count > MOST_VALUES or len(self._open) > MOST_DEPTH:
            raise ValueError("more than is read")
        if isinstance(event, yaml.ScalarEvent):
            self._add(_scalar(event), event.anchor)
        elif isinstance(event, yaml.AliasEvent):
            self._add(self._anchors.get(event.anchor), None)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._open.append((isinstance(event, yaml.MappingStartEvent), []))
            self._names.append(event.anchor)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            table, items = self._open.pop()
            self._add(_mapping(items) if table else items, self._names.pop())

    def _add(self, value: object, anchor: str | None) -> None:
        if anchor:
            self._anchors[anchor] = value
        if self._open:
            self._open[-1][1].append(value)
        elif self.root is None:
            self.root = value


def read_yaml(text: str) -> object:
    """The values of the first document. Raises ValueError for what is none."""
    builder = YamlBuilder()
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.DocumentEndEvent):
                break
            builder.take(event)
    except yaml.YAMLError:
        raise ValueError("no YAML") from None
    return builder.root


def _scalar(event: Any) -> object:
    text = str(event.value)
    if event.style in ("'", '"', "|", ">"):
        return text
    return _WORDS.get(text, text)


def _mapping(items: list[object]) -> dict[str, object]:
    table = dict[str, object]()
    for name, value in zip(items[::2], items[1::2], strict=False):
        # A merged table lies under what the table says itself.
        if name == "<<" and isinstance(value, dict):
            table = {**dict(list(value.items())[:1_000]), **table}
        elif isinstance(name, str):
            table[name] = value
    return table
