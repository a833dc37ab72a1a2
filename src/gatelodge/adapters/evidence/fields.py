"""Fields of strangers' documents, each read alone: what is not of its type was not stated."""

import re
from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec

from gatelodge.core.ids import Instant
from gatelodge.core.instant import parse_rfc3339

T = TypeVar("T")
UNSTATED: Final = msgspec.Raw()
"""A field that is not there: no JSON is empty."""
FAULTS: Final = (msgspec.DecodeError, RecursionError, UnicodeError)
"""What a document that nobody can read raises; one that is too deep, too."""
_UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+")


def stated(raw: msgspec.Raw | None, form: type[T]) -> T | None:
    """The field as it should be; None where it is missing, null, or something else."""
    if not raw:
        return None
    try:
        return msgspec.json.decode(raw, type=form)
    except FAULTS:
        return None


def one_line(text: str | None, most: int = 300) -> str:
    """A stranger's text on one line, without what is not seen; cut where it is long."""
    clean = " ".join(_UNSEEN.sub(" ", (text or "")[: 4 * most]).split())
    return clean if len(clean) <= most else f"{clean[: most - 1]}\u2026"


def lines(texts: Iterable[str], most: int = 50) -> tuple[str, ...]:
    """Such lines, each once, without empty ones; the first of them."""
    found = (one_line(each) for each in texts)
    return tuple(dict.fromkeys(each for each in found if each))[:most]


def instant(text: str | None) -> Instant | None:
    """The time that a text names; None when it names none after 1970."""
    try:
        at = parse_rfc3339(text or "")
    except (ValueError, OverflowError):
        return None
    return at if at > 0 else None
