"""The state that a change would leave, read within its transaction before that is given up."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.access.effects import effects
from gatelodge.core.catalog.server import Server, Tool
from gatelodge.core.ids import WorkspaceId
from gatelodge.core.people import Agent, Group, GroupMember, Member
from gatelodge.core.policy.rules import Grant, Guardrail
from gatelodge.core.records.governance import GovFact
from gatelodge.core.state import GovernanceState, Row
from gatelodge.flows.nouns import lookup
from gatelodge.ports.store import StoreTx

_ROWS: Final[dict[str, type[Row]]] = {
    "members": Member,
    "agents": Agent,
    "groups": Group,
    "group_members": GroupMember,
    "servers": Server,
    "tools": Tool,
    "grants": Grant,
    "guardrails": Guardrail,
}
"""What access depends on: a token is how somebody shows who they are."""


class CandidateState(Struct, frozen=True):
    """A state that may come, and what people call its members and agents."""

    state: GovernanceState
    names: dict[str, str]


def candidate(
    state: GovernanceState, tx: StoreTx, workspace: WorkspaceId, facts: Sequence[GovFact]
) -> CandidateState | None:
    """The state with what these facts changed in a workspace; None where no access can differ."""
    leaves = tuple(msgspec.json.encode({"t": fact.t, "subject": fact.subject}) for fact in facts)
    named = effects(leaves).nouns
    changed: dict[str, Any] = {}
    # Only what the facts are about is read anew: of a large catalog that is much.
    for noun in _ROWS if named is None else named & _ROWS.keys():
        places = {workspace, ""} if noun == "guardrails" else {workspace}
        kept = [row for row in getattr(state, noun) if row.workspace not in places]
        found = (tx.find(_ROWS[noun], workspace=place) for place in sorted(places))
        changed[noun] = (*kept, *(row for rows in found for row in rows))
    if not changed:
        return None
    return CandidateState(replace(state, **changed), lookup.names(tx, workspace, Member, Agent))
