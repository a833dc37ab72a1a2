"""The whole governance state of the organization at one size of the gov log, as plain values."""

from msgspec import Struct

from gatelodge.core.catalog.server import Server, Tool
from gatelodge.core.people import Agent, Credential, Group, GroupMember, Member, Workspace
from gatelodge.core.policy.rules import Grant, Guardrail
from gatelodge.core.trust.card import TrustCard
from gatelodge.core.vault.secret import SealedValue, VaultSecret

Row = (
    Workspace
    | Member
    | Agent
    | Group
    | GroupMember
    | Credential
    | Server
    | Tool
    | Grant
    | Guardrail
    | VaultSecret
    | SealedValue
    | TrustCard
)
"""Anything the store keeps as one row of governance state."""

NOUNS: tuple[type[Row], ...] = (
    Workspace,
    Member,
    Agent,
    Group,
    GroupMember,
    Credential,
    Server,
    Tool,
    Grant,
    Guardrail,
    VaultSecret,
    SealedValue,
    TrustCard,
)


class GovernanceState(Struct, frozen=True, kw_only=True):
    """Every row of every noun, as of `gov` (the number of leaves in the gov log).

    `epoch` names one history of the log: it differs after a restore from backup.
    """

    gov: int
    epoch: str
    workspaces: tuple[Workspace, ...] = ()
    members: tuple[Member, ...] = ()
    agents: tuple[Agent, ...] = ()
    groups: tuple[Group, ...] = ()
    group_members: tuple[GroupMember, ...] = ()
    credentials: tuple[Credential, ...] = ()
    servers: tuple[Server, ...] = ()
    tools: tuple[Tool, ...] = ()
    grants: tuple[Grant, ...] = ()
    guardrails: tuple[Guardrail, ...] = ()
    secrets: tuple[VaultSecret, ...] = ()
    secret_values: tuple[SealedValue, ...] = ()
    cards: tuple[TrustCard, ...] = ()
