"""Ids that carry their kind, so that one can never be mistaken for another in a log or a URL."""

from typing import Literal, NewType

WorkspaceId = NewType("WorkspaceId", str)
MemberId = NewType("MemberId", str)
AgentId = NewType("AgentId", str)
GroupId = NewType("GroupId", str)
ServerId = NewType("ServerId", str)
GrantId = NewType("GrantId", str)
GuardrailId = NewType("GuardrailId", str)
CredentialId = NewType("CredentialId", str)
SecretId = NewType("SecretId", str)
CardId = NewType("CardId", str)

PrincipalId = NewType("PrincipalId", str)
"""A member's or an agent's id; the prefix tells which."""

Kind = Literal[
    "wsp", "mem", "agt", "grp", "srv", "grn", "grd", "crd", "nod", "dek", "inc", "job", "sec", "car"
]

Instant = NewType("Instant", int)
"""Microseconds since 1970-01-01T00:00:00 UTC."""


def is_agent(principal: str) -> bool:
    """True when the principal is an agent, false when it is a member."""
    return principal.startswith("agt_")
