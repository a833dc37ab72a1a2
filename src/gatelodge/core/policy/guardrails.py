"""Guardrails: what an admin may publish, and a published text made ready to evaluate."""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import cedarpy
from cedarpy import pst
from msgspec import Struct

from gatelodge.core.errors import Invalid
from gatelodge.core.ids import GuardrailId
from gatelodge.core.policy.decision import Deny
from gatelodge.core.policy.extent import check_extent, check_stored_extent, strings_and_comments
from gatelodge.core.policy.rules import Guardrail
from gatelodge.core.policy.schema import plain, schema, tools_schema

LONGEST_TEXT = 16_384
LONGEST_REASON = 500

PINNED = "g-pinned"
"""The id of the built-in guardrail."""

PINNED_TEXT = f"""\
@id("{PINNED}")
@reason("This tool changed since it was approved.")
@advice("Ask an admin to review the change.")
forbid (principal, action in Gatelodge::Action::"use", resource)
unless {{ resource.pinned }};"""

_ANYONE = '@id("anyone") permit (principal, action, resource);\n'
_END = "unexpected end of input"
_CLOSED = "unexpected token `;`"
_MOST_QUOTED = 4


class CompiledGuardrail(Struct, frozen=True, eq=False, gc=False):
    """A guardrail ready to evaluate; compared by identity.

    `policies` holds it beside one permit for all, so that Deny means that it forbids; None when
    its text is not one forbid, and then `text` forbids everything. `named` are the
    entities its text names (type, id), `reads` the attributes it asks for: together they bound
    what it can tell apart.
    """

    guardrail: Guardrail
    text: str
    policies: cedarpy.PolicySet | None
    hiding: Deny
    telling: Deny
    failing: Deny
    named: frozenset[tuple[str, str]]
    reads: frozenset[str]

    @property
    def id(self) -> GuardrailId:
        """The guardrail's id."""
        return self.guardrail.id


def validate(text: str) -> None:
    """Return when the text may be published as a guardrail, else raise Invalid with the place.

    It must be exactly one Cedar `forbid` with an `@reason`, without `@id` and without slots, and
    pass Cedar's strict validation against the schema of the house. A text that makes sense for
    tools alone (`[Gatelodge::Tool::"..."].contains(resource)`) passes too: prompts and resources
    have no other attributes, so it can be evaluated for them all the same.
    """
    # Length comes first: the scan that measures a text takes as long as the text is.
    if len(text) > LONGEST_TEXT:
        raise Invalid(f"The guardrail is longer than {LONGEST_TEXT} characters.")
    check_extent(text)
    policy = _only_policy(text)
    if policy.effect != "forbid":
        raise Invalid(
            f"Line {_line_of(text, 'permit')}: a guardrail can only forbid.",
            remedy="Write `forbid`, or make a grant for what should be allowed.",
        )
    _check_annotations(text, policy)
    faults = cedarpy.validate_policies(text, schema(), release_gil=True).errors
    if not faults or not cedarpy.validate_policies(text, tools_schema(), release_gil=True).errors:
        return
    for fault in faults:
        message = fault.error.replace("for policy `policy0`, ", "")
        raise Invalid(
            f"Line {_line_of(text, *_backquoted_words(message))}: {message}.",
            remedy="See docs/reference/policy.md for the entities and attributes there are.",
        )


def compile_guardrail(guardrail: Guardrail) -> CompiledGuardrail:
    """Make a published guardrail ready to evaluate. Never raises: a broken text fails closed."""
    rule = plain(guardrail.id)
    text = f'@id("{rule}")\n{guardrail.text.strip()}'
    failing = Deny("policy_error", rule, f"The guardrail {rule} cannot be evaluated.")
    try:
        # Rows that an older release wrote, or somebody with the database at hand, come here too.
        check_stored_extent(text)
        policy = _only_policy(text)
        policies = cedarpy.PolicySet.from_str(_ANYONE + text)
    except (ValueError, Invalid):
        policy = None
    if policy is None or policy.effect != "forbid":
        # The policy text forbids everything in its place, so that referee and tables agree.
        shut = f'@id("{rule}")\nforbid (principal, action, resource);'
        return CompiledGuardrail(
            guardrail, shut, None, failing, failing, failing, frozenset(), frozenset()
        )
    reason = policy.annotations.get("reason", "")
    advice = policy.annotations.get("advice", "")
    return CompiledGuardrail(
        guardrail,
        text,
        policies,
        Deny("guardrail", rule, reason, advice, hidden=True),
        Deny("guardrail", rule, reason, advice),
        failing,
        frozenset((found.type.basename, found.id) for found in pst.entity_uids(policy)),
        frozenset(_attributes_of_policy(policy)),
    )


def _only_policy(text: str) -> pst.Template:
    """The one policy of the text. Raises Invalid when it does not parse or is not alone."""
    try:
        # First without the GIL: a text in which nothing fits takes its time, and the loop goes on.
        cedarpy.PolicySet.from_str(text, release_gil=True)
        parsed = cedarpy.policies_to_pst(text)
    except ValueError as fault:
        message = str(fault)
        raise Invalid(
            f"Line {_failing_line(text, message)}: {message}.",
            remedy="A guardrail is one Cedar policy, ending in a semicolon.",
        ) from fault
    if parsed.templates:
        raise Invalid("A guardrail has no slots: name the principal and resource it is about.")
    if len(parsed.static_policies) != 1:
        raise Invalid(
            f"A guardrail is exactly one policy; this text holds {len(parsed.static_policies)}.",
            remedy="Publish each policy as a guardrail of its own.",
        )
    (policy,) = parsed.static_policies.values()
    return policy


def _check_annotations(text: str, policy: pst.Template) -> None:
    if "id" in policy.annotations:
        raise Invalid(
            f"Line {_line_of(text, '@id')}: the gate sets @id itself.", remedy="Remove the @id."
        )
    reason = policy.annotations.get("reason", "").strip()
    if not reason:
        raise Invalid(
            'Line 1: the guardrail has no @reason("...").',
            remedy="Say in one sentence, shown to whoever is stopped, why this is forbidden.",
        )
    if max(len(reason), len(policy.annotations.get("advice", ""))) > LONGEST_REASON:
        raise Invalid(f"@reason and @advice hold at most {LONGEST_REASON} characters.")


def _failing_line(text: str, message: str) -> int:
    """The first line at which the parser stops asking for more (it tells no position itself).

    Each look parses the text up to a place, as it stands there. What follows a fault is passed over
    up to a semicolon, and a text that ends before it may only want more: so the policy is sought
    that fails, and each of its lines is closed with one. What is wrong with a policy as a whole is
    told where it ends. A string that goes on behind the line ends with it: one without an end would
    be a fault of its own.
    """
    lines = text.splitlines(keepends=True)
    if message == _END:
        return len(lines)
    strings = [span for span in strings_and_comments(text) if text[span[0]] == '"']
    ends = [found.end() for found in re.finditer(";", _said_outside_strings(text))] + [len(text)]

    def fails(part: str) -> bool:
        try:
            cedarpy.PolicySet.from_str(part, release_gil=True)
        except ValueError as fault:
            return str(fault) == message
        return False

    def fails_by(line: int) -> bool:
        begun = "".join(lines[:line])
        if len(begun) >= end:
            return True
        begun += '"' * any(start < len(begun) < end for start, end in strings)
        return fails(begun + "\n;") or (text[end - 1] != ";" and fails(begun))

    which = _first_that(0, len(ends) - 1, lambda each: fails(text[: ends[each]]))
    end = ends[which]
    least, most = (_lines_to(text, place) for place in (ends[which - 1] if which else 0, end))
    if message == _CLOSED or not fails(text[:end] + "\n;"):
        return most
    return _first_that(least, most, fails_by)


def _first_that(least: int, most: int, holds: Callable[[int], bool]) -> int:
    """The first number for which it holds, the last where it holds for none.

    The numbers looked at lie twice as far apart each time, so that few looks read what comes after
    the fault, then halved towards.
    """
    tried, width = least, 1
    while tried < most and not holds(tried):
        least, width = tried + 1, width * 2
        tried = least + width - 1
    most = min(tried, most)
    return least + bisect_left(range(least, most), True, key=holds)


def _lines_to(text: str, place: int) -> int:
    """The line on which a place of the text stands, or what is before it ends."""
    return max(1, len(text[:place].splitlines()))


def _line_of(text: str, *words: str) -> int:
    """The first line that holds one of the words, else the first.

    What a string or a comment says is looked at last: a reason may name what is not allowed.
    """
    said = _said_outside_strings(text)
    for word in words:
        for looked in (said, text):
            for number, line in enumerate(looked.splitlines(), 1):
                if word in line:
                    return number
    return 1


def _said_outside_strings(text: str) -> str:
    """The text with spaces for what its strings and comments say, each sign at its place."""
    said, at = "", 0
    for start, end in strings_and_comments(text):
        said += text[at:start] + re.sub(r"\S", " ", text[start:end])
        at = end
    return said + text[at:]


def _backquoted_words(message: str) -> list[str]:
    """The first words a validation message puts between backquotes; the text can bring many."""
    return message.split("`", 2 * _MOST_QUOTED)[1::2]


def _attributes_of_policy(root: pst.PstNode) -> Iterator[str]:
    """Every attribute name the policy asks for, at any depth."""
    stack: list[Any] = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, pst.GetAttr):
            yield node.attr
        elif isinstance(node, pst.HasAttr):
            yield from node.attrs
        if isinstance(node, dict):
            stack.extend(node.values())
        elif isinstance(node, tuple):
            stack.extend(node)
        elif is_dataclass(node):
            stack.extend(getattr(node, field.name) for field in fields(node))
