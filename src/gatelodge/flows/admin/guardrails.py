"""Guardrails: forbids in Cedar that win over every grant. Each version is a row of its own.

A guardrail goes on holding for what it names: when a server, group, member or agent of a name that
a standing guardrail speaks of comes (back), the guardrail is published anew with the new id, in the
same transaction.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.errors import Forbidden, Invalid
from gatelodge.core.ids import GuardrailId, WorkspaceId
from gatelodge.core.people import folded
from gatelodge.core.policy.naming import (
    MOST_NEAR,
    BoundGuardrail,
    NamedEntities,
    UnmatchedMention,
    bind,
    mentions,
)
from gatelodge.core.policy.rules import Guardrail, GuardrailMode
from gatelodge.flows.act import GovernanceAct, a_name
from gatelodge.flows.admin.bearers import bearers
from gatelodge.ports.store import StoreTx

Scope = WorkspaceId | Literal[""]
"""A workspace, or the whole organization."""

LONGEST_TEXT = 16 * 1024
"""Bytes: the text stands in the leaf, so that the log alone can replay a decision."""


_PERSONS = frozenset({"Member", "Agent"})


class GuardrailDraft(Struct, frozen=True, kw_only=True):
    """A guardrail as somebody wants it.

    `unmatched` allows names that stand for nothing yet: the rule holds for them once they come.
    Only servers, tools, groups and tags can be awaited: a person's name must not stand in a log.
    """

    name: str
    text: str
    mode: GuardrailMode = "enforce"
    unmatched: bool = False


def listed(tx: StoreTx, scope: Scope) -> list[Guardrail]:
    """All versions of all guardrails of a scope, also retired ones, oldest first."""
    return tx.find(Guardrail, workspace=scope)


def publish(
    act: GovernanceAct, scope: Scope, draft: GuardrailDraft, validate: Callable[[str], None]
) -> Guardrail:
    """Put a guardrail in force; the version that stood under this name is retired with it.

    The same rule in the same mode changes nothing. Raises Invalid (also from `validate`, and for a
    name that stands for nothing), and Forbidden: only an operator publishes for the whole
    organization.
    """
    # First of all, since what is said of a draft tells the names of every workspace.
    reach(scope, local=act.local)
    name = a_name("a guardrail's name", draft.name)
    # `retired` is a mode of rows: published so, a rule would replace the one in force by nothing.
    if draft.mode not in ("enforce", "observe"):
        raise Invalid("a guardrail is published to enforce or to observe")
    bound = checked(act.tx, scope, draft.text, validate, unmatched=draft.unmatched)
    standing = [
        row for row in act.tx.find(Guardrail, workspace=scope, name=name) if row.mode != "retired"
    ]
    for row in standing:
        # Two leaves would say that a rule ended and another began, though nothing changed.
        if row.text == bound.text and row.mode == draft.mode:
            return row
    for row in standing:
        _retire_version(act, row)
    # The old version ends and the new one begins in one transaction: no view has both or neither.
    return _publish_new_version(act, scope, name, bound, draft.mode)


def check_length(text: str) -> None:
    """Raise Invalid for a text that is too long for its parser, or for the search for names."""
    # Both cost by its length, so this comes before them.
    if len(text.encode("utf-8", "surrogatepass")) > LONGEST_TEXT or "\0" in text:
        raise Invalid(f"a guardrail's text is at most {LONGEST_TEXT} bytes, without NUL")


def checked(
    tx: StoreTx,
    scope: Scope,
    text: str,
    validate: Callable[[str], None],
    *,
    unmatched: bool = False,
) -> BoundGuardrail:
    """The text in both forms, when it could be published. Raises Invalid.

    A name that stands for nothing is refused unless `unmatched`; a tool of a server whose tools
    nobody has read yet passes.
    """
    check_length(text)
    validate(text)
    bound = bind(text, bearers(tx, scope))
    refused = [
        each
        for each in bound.unmatched
        # A person's unbound name would stand in the leaf as it was written, and no leaf is erased.
        if each.mention.kind in _PERSONS or not (unmatched or each.unseen)
    ]
    if refused:
        raise _names_nothing(refused, scope)
    if bound.text != text:
        # Binding writes each name anew: what the parser has to accept is the text that is in force.
        validate(bound.text)
    return bound


def unmatched(row: Guardrail, here: NamedEntities) -> tuple[str, ...]:
    """What a guardrail names without effect now, as `Kind::"name"`.

    That is what stands for nothing, and what stood for nothing when it was published and was not
    bound since: in force is the text with ids, whatever its words would mean by now.
    """
    bound = bind(row.written, here)
    named = zip(mentions(row.written), mentions(bound.text), mentions(row.text), strict=True)
    unbound = [str(said) for said, now, then in named if now.name != then.name]
    return tuple(dict.fromkeys([*(str(each) for each in bound.unmatched), *unbound]))


def rebind(act: GovernanceAct, workspace: WorkspaceId, name: str) -> tuple[Guardrail, ...]:
    """Publish anew each standing guardrail that speaks of a name which now stands for another.

    To be called after something of that name has come. A guardrail of the whole organization is
    bound again by whoever brings the name: its words stay what the operator wrote.
    """
    changed = []
    for row in _standing_guardrails(act.tx, workspace):
        # A mention can hold more than the name (SERVER/TOOL, SLUG/ALIAS): a part of it is enough to
        # look closer, and what is bound as before changes nothing.
        if not any(folded(name) in folded(each.name) for each in mentions(row.written)):
            continue
        # With the text in force: a name that nobody bears now keeps the id that it stood for.
        bound = bind(row.written, bearers(act.tx, row.workspace), row.text)
        if bound.text != row.text:
            _retire_version(act, row)
            assert row.mode != "retired"
            changed.append(_publish_new_version(act, row.workspace, row.name, bound, row.mode))
    return tuple(changed)


def _standing_guardrails(tx: StoreTx, workspace: WorkspaceId) -> list[Guardrail]:
    rows = [*tx.find(Guardrail, workspace=""), *tx.find(Guardrail, workspace=workspace)]
    return [row for row in rows if row.mode != "retired"]


def _publish_new_version(
    act: GovernanceAct, scope: Scope, name: str, bound: BoundGuardrail, mode: GuardrailMode
) -> Guardrail:
    digest = sha256(bound.text.encode()).hexdigest()
    guardrail = Guardrail(
        id=GuardrailId(act.ids.new("grd")),
        workspace=scope,
        name=name,
        text=bound.text,
        written=bound.written,
        digest=digest,
        mode=mode,
        created_by=act.by,
        created_at=act.at,
    )
    # Each version has an id of its own: old records name the rule that decided, and its text has to
    # stay readable as it was.
    act.tx.put(guardrail)
    act.record(
        "guardrail.published",
        scope,
        guardrail=guardrail.id,
        digest=digest,
        text=bound.text,
        mode=mode,
    )
    return guardrail


def _names_nothing(refused: list[UnmatchedMention], scope: Scope) -> Invalid:
    told = []
    for each in refused[:MOST_NEAR]:
        near = f" (did you mean {' or '.join(each.near)}?)" if each.near else ""
        told.append(f"{each}{near}")
    remedy = "Name what is there: see `gatelodge server list`, `tool list`, `group list`."
    if not any(each.mention.kind in _PERSONS for each in refused):
        remedy += " A rule for what comes later is published with --unmatched."
    if not scope:
        remedy = "In a rule for every workspace a name begins with its workspace: main/crm."
    return Invalid(f"the guardrail names what is not there: {', '.join(told)}", remedy=remedy)


def retire(act: GovernanceAct, scope: Scope, guardrail: GuardrailId) -> Guardrail:
    """Take a guardrail out of force. Raises NotFound, Forbidden."""
    reach(scope, local=act.local)
    row = act.the(Guardrail, workspace=scope, id=guardrail)
    return row if row.mode == "retired" else _retire_version(act, row)


def _retire_version(act: GovernanceAct, row: Guardrail) -> Guardrail:
    retired = replace(row, mode="retired")
    act.tx.put(retired)
    act.record("guardrail.retired", row.workspace, guardrail=row.id)
    return retired


def reach(scope: Scope, *, local: bool) -> None:
    """Raise Forbidden where a rule for every workspace is nobody's but the operator's.

    What is said of one, also of a mere draft, tells the names of all workspaces.
    """
    if not scope and not local:
        raise Forbidden(
            "a guardrail for every workspace is published on the gate's own machine",
            remedy="Publish it for this workspace, or ask an operator.",
        )
