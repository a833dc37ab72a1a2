"""Every text that a template writes shows what stands there: no template has to say so.

Names of tools, clients and people come from outside. A letter that nobody sees, or that looks like
another one, is written out wherever a page tells a text, by the engine and not by each template: no
new page forgets it. What is sent back to the gate stays as it is: values of fields, and addresses.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from jinja2.ext import Extension
from markupsafe import Markup

from gatelodge.core.catalog.visible import visible

FILTER: Final = "visible"
_TOLD: Final = ("title", "aria-label", "alt")
"""Attributes that a reader is told, as text."""
_SENT_BACK: Final = ("textarea", "option")
"""Elements of which the text is the value of a field."""
_VERBATIM: Final = "leaf_text"
"""A filter: the verifier in the page compares what it gives with a leaf's bytes."""
_TOKEN: Final = re.compile(
    r"(?P<said>\{[%#].*?[%#]\})|\{\{(?P<told>.*?)\}\}"
    r"|(?P<opens></?(?P<name>[a-zA-Z][\w-]*)|<!)|(?P<quote>[\"'])|(?P<closes>>)",
    re.DOTALL,
)
_ATTRIBUTE: Final = re.compile(r"([\w-]+)\s*=\s*$")
_LONGEST: Final = 64
"""Letters in which the name of an attribute is looked for."""


class VisibleText(Extension):
    """Puts the filter on each expression that stands where a reader is told a text."""

    def preprocess(self, source: str, *_: Any, **__: Any) -> str:
        """The template with the filter in it; its lines stay where they were."""
        return "".join(_with_filters(source))


def shown(value: Any) -> Any:
    """A text with what cannot be seen in it written out; anything else as it is.

    Any: what templates write. Markup was made by templates and pictures of ours, which did so.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    # Most of what a large page tells.
    return value if value.isascii() and value.isprintable() else visible(value)


def _with_filters(source: str) -> Iterator[str]:
    at, tag, quote, attribute, inside = 0, "", "", "", ""
    for found in _TOKEN.finditer(source):
        yield source[at : found.start()]
        at, text = found.end(), found[0]
        if found["told"] is not None:
            told = attribute in _TOLD if quote else not tag and inside not in _SENT_BACK
            if told and _VERBATIM not in text:
                text = f"{{{{ ({found['told'].strip()})|{FILTER} }}}}"
        elif tag and found["quote"]:
            if not quote:
                before = _ATTRIBUTE.search(source[max(0, at - _LONGEST) : found.start()])
                quote, attribute = text, "" if before is None else before[1]
            elif quote == text:
                quote = ""
        elif tag and found["closes"] and not quote:
            inside = "" if tag.startswith("</") else tag[1:].lower()
            tag = ""
        elif not tag and found["opens"]:
            tag = text
        yield text
    yield source[at:]
