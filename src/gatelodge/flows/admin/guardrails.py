"""Guardrails: forbids in Cedar that win over every grant. Each version is a row of its own."""

from collections.abc import Callable
from hashlib import sha256
from typing import Literal

from msgspec.structs import replace

from gatelodge.core.errors import Forbidden, Invalid
from gatelodge.core.ids import GuardrailId, WorkspaceId
from gatelodge.core.policy.rules import Guardrail, GuardrailMode
from gatelodge.flows.act import OPERATORS, Act, a_line
from gatelodge.ports.store import Tx

Scope = WorkspaceId | Literal[""]
"""A workspace, or the whole organization."""

LONGEST_TEXT = 16 * 1024
"""Bytes: the text stands in the leaf, so that the log alone can replay a decision."""


def listed(tx: Tx, scope: Scope) -> list[Guardrail]:
    """All versions of all guardrails of a scope, also retired ones, oldest first."""
    return tx.find(Guardrail, workspace=scope)


def publish(
    act: Act,
    scope: Scope,
    name: str,
    text: str,
    mode: GuardrailMode,
    validate: Callable[[str], None],
) -> Guardrail:
    """Put a guardrail in force; the version that stood under this name is retired with it.

    The same text in the same mode changes nothing. Raises Invalid (also from `validate`), and
    Forbidden: only an operator publishes for the whole organization.
    """
    _reach(act, scope)
    name = a_line("a guardrail's name", name, 64)
    if mode not in ("enforce", "observe"):
        raise Invalid("a guardrail is published to enforce or to observe")
    if len(text.encode()) > LONGEST_TEXT or "\0" in text:
        raise Invalid(f"a guardrail's text is at most {LONGEST_TEXT} bytes, without NUL")
    validate(text)
    digest = sha256(text.encode()).hexdigest()
    standing = [
        row for row in act.tx.find(Guardrail, workspace=scope, name=name) if row.mode != "retired"
    ]
    for row in standing:
        if row.digest == digest and row.mode == mode:
            return row
    for row in standing:
        _retired(act, row)
    guardrail = Guardrail(
        id=GuardrailId(act.ids.new("grd")),
        workspace=scope,
        name=name,
        text=text,
        digest=digest,
        mode=mode,
        created_by=act.by,
        created_at=act.at,
    )
    act.tx.put(guardrail)
    act.record(
        "guardrail.published",
        scope,
        guardrail=guardrail.id,
        digest=digest,
        text=text,
        mode=mode,
    )
    return guardrail


def retire(act: Act, scope: Scope, guardrail: GuardrailId) -> Guardrail:
    """Take a guardrail out of force. Raises NotFound, Forbidden."""
    _reach(act, scope)
    row = act.the(Guardrail, workspace=scope, id=guardrail)
    return row if row.mode == "retired" else _retired(act, row)


def _retired(act: Act, row: Guardrail) -> Guardrail:
    retired = replace(row, mode="retired")
    act.tx.put(retired)
    act.record("guardrail.retired", row.workspace, guardrail=row.id)
    return retired


def _reach(act: Act, scope: Scope) -> None:
    if not scope and act.by not in OPERATORS:
        raise Forbidden(
            "a guardrail for every workspace is published on the gate's own machine",
            remedy="Publish it for this workspace, or ask an operator.",
        )
