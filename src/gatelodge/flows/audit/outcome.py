"""How a record ended, in the words that lists show and filters take: the same ones."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import get_args

from gatelodge.core.errors import Invalid
from gatelodge.core.policy.decision import DenyReason
from gatelodge.core.records.governance import GovKind
from gatelodge.core.records.hosting_leaves import InstanceRefusal
from gatelodge.core.records.leaves import LEAVES, OPENS, Outcome, RefusedReason

Fields = Mapping[str, object]

_WORDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(get_args(Outcome), ()),
    "open": (),
    "unresolved": (),
    "denied": get_args(DenyReason),
    "refused": (*get_args(RefusedReason), *get_args(InstanceRefusal)),
    "closed": (),
    "withheld": (),
    "unauthenticated": (),
}
"""Each outcome, and what may stand behind its colon as far as that is a closed list."""

OUTCOMES: tuple[str, ...] = tuple(_WORDS)
"""The words alone."""

_WITH_REASON = {
    "call.denied": "denied",
    "request.refused": "refused",
    "instance.refused": "refused",
    "egress.refused": "refused",
    "auth.failed": "unauthenticated",
    "answer.withheld": "withheld",
}
"""Types of records that say why they ended at once."""


def outcome_of(leaf: Fields, closer: Fields | None) -> str:
    """How it ended, with the reason behind a colon where there is one."""
    t, reason = str(leaf.get("t")), leaf.get("reason", "")
    if t in _WITH_REASON:
        many = f" x{leaf['count']}" if "count" in leaf else ""
        return f"{_WITH_REASON[t]}: {reason}{many}" if reason else f"{_WITH_REASON[t]}{many}"
    if t in OPENS and closer is None:
        return "open"
    if t in OPENS and t != "call.intent":
        return f"closed: {(closer or {}).get('reason', '')}"
    return str(leaf.get("outcome", "") if closer is None else closer.get("outcome", "unresolved"))


def ends_as(shown: str, wanted: str) -> bool:
    """True when an outcome is the wanted one: the word alone, or the whole as a list shows it."""
    word, reason = parts_of_outcome(shown)
    asked, asked_reason = parts_of_outcome(wanted)
    return word == asked and asked_reason in ("", reason)


def parts_of_outcome(text: str) -> tuple[str, str]:
    """The word, and the reason without a count; for what is shown and for what is asked."""
    word, _, reason = text.partition(":")
    # A count stands behind the reason, or behind a word that has none.
    return _reason_without_count(word), _reason_without_count(reason)


def known_outcome(text: str) -> str:
    """The text, if something can end like that. Raises Invalid with the list of what can."""
    word, _, reason = text.partition(":")
    if word not in _WORDS:
        raise Invalid(
            f"outcome: nothing ends as {text!r}{_spelling_suggestion(word, _WORDS)}",
            remedy=f"It is one of: {', '.join(_WORDS)}.",
        )
    reasons = _WORDS[word]
    bare = _reason_without_count(reason)
    if bare and reasons and bare not in reasons:
        raise Invalid(
            f"outcome: nothing is {word} for {bare!r}{_spelling_suggestion(bare, reasons)}",
            remedy=f"It is one of: {', '.join(f'{word}: {each}' for each in reasons)}.",
        )
    return text


def known_type(text: str) -> str:
    """The text, if records of calls logs have such a type. Raises Invalid with the list."""
    if text in LEAVES:
        return text
    if text in get_args(GovKind):
        raise Invalid(
            f"type: {text} is a change of who may do what, and stands in the gov log",
            remedy=f"Run: gatelodge audit changes search --type {text}",
        )
    raise Invalid(
        f"type: no record is of type {text!r}{_spelling_suggestion(text, LEAVES)}",
        remedy=f"It is one of: {', '.join(LEAVES)}.",
    )


def known_change(text: str) -> str:
    """The text, if changes in the gov log have such a type. Raises Invalid with the list."""
    kinds = get_args(GovKind)
    if text in kinds:
        return text
    if text in LEAVES:
        raise Invalid(
            f"type: {text} stands in the log of calls",
            remedy=f"Run: gatelodge audit search --type {text}",
        )
    raise Invalid(
        f"type: no change is of type {text!r}{_spelling_suggestion(text, kinds)}",
        remedy=f"It is one of: {', '.join(kinds)}.",
    )


def _reason_without_count(reason: str) -> str:
    """A reason without the count that lists show behind it."""
    word, times, count = reason.strip().rpartition(" x")
    return word if times and count.isdecimal() else reason.strip()


def _spelling_suggestion(text: str, known: "Mapping[str, object] | tuple[str, ...]") -> str:
    near = get_close_matches(text, list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""
