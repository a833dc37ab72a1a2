"""Guardrails as the outside sees them: names for ids, nothing secret."""

from msgspec import Struct

from gatelodge.core.instant import rfc3339
from gatelodge.core.policy.rules import Guardrail


class GuardrailShape(Struct, frozen=True, kw_only=True):
    """A version of a guardrail. `scope` is the workspace, or everywhere.

    `text` is written with names, `with_ids` is what is evaluated and stands in the log; `digest` is
    of the latter. `unmatched` is what it names that is not there: for that it holds nothing now.
    Of a rule for every workspace only the local operator is told the names and what is unmatched.
    """

    id: str
    name: str
    mode: str
    scope: str
    digest: str
    text: str
    with_ids: str
    unmatched: tuple[str, ...]
    created_by: str
    created_at: str


def guardrail_shape(row: Guardrail, unmatched: tuple[str, ...]) -> GuardrailShape:
    """The outer shape of a guardrail, with what it names that is not there."""
    return GuardrailShape(
        id=row.id,
        name=row.name,
        mode=row.mode,
        scope="workspace" if row.workspace else "everywhere",
        digest=row.digest,
        text=row.written,
        with_ids=row.text,
        unmatched=unmatched,
        created_by=row.created_by,
        created_at=rfc3339(row.created_at),
    )
