"""Who may come in: workspaces, members, agents, groups and the credentials they hold."""

import unicodedata
from typing import Literal

from msgspec import Struct

from gatelodge.core.ids import (
    AgentId,
    CredentialId,
    GroupId,
    Instant,
    MemberId,
    PrincipalId,
    WorkspaceId,
)

Role = Literal["owner", "security", "admin", "auditor", "member"]
Status = Literal["active", "suspended", "revoked"]
CredentialKind = Literal["personal", "agent"]


DEMO_NAME = "Demo data, made up"
"""The name of a workspace that the demo founded; it keeps it for good, in every copy too."""
LONGEST_NAME = 320
"""Characters of a name that is compared; an address has 254, what else has a name fewer."""


def folded(name: str) -> str:
    """The form in which names are compared: NFKC, case folded, without space around it.

    The one rule for e-mail addresses and for names of agents and groups, wherever one is kept or
    looked up: two spellings that any of these steps makes equal are one name. Folding can undo
    normal form and the other way round, so both are repeated until nothing changes (Unicode 5.18).
    What is longer than any name stays as it is, and so is nobody's: whoever asks for a name decides
    how long it is, and one character can become eighteen.
    """
    if len(name) > LONGEST_NAME:
        return name
    text = name.strip()
    while (again := unicodedata.normalize("NFKC", text).casefold().strip()) != text:
        text = again
    return text


class Workspace(Struct, frozen=True, kw_only=True):
    """A team's border: its URL, members, servers, policy and log."""

    id: WorkspaceId
    slug: str
    name: str
    created_at: Instant

    @property
    def demo(self) -> bool:
        """True when its history was made up: every page of it says so."""
        return self.name == DEMO_NAME


class Member(Struct, frozen=True, kw_only=True):
    """A person in one workspace. `generation` rises when all their credentials end at once."""

    id: MemberId
    workspace: WorkspaceId
    # Kept folded, so that the store finds it by an exact comparison.
    email: str
    display: str = ""
    role: Role = "member"
    status: Status = "active"
    generation: int = 0
    created_at: Instant


class Agent(Struct, frozen=True, kw_only=True):
    """A principal that is no person; a member answers for it."""

    id: AgentId
    workspace: WorkspaceId
    # Kept as it was written, for people to read: whoever looks it up folds it first.
    name: str
    owner: MemberId
    status: Status = "active"
    generation: int = 0
    created_at: Instant


class Group(Struct, frozen=True, kw_only=True):
    """A named set of principals."""

    id: GroupId
    workspace: WorkspaceId
    name: str
    created_at: Instant


class GroupMember(Struct, frozen=True, kw_only=True):
    """One principal's place in one group."""

    workspace: WorkspaceId
    group: GroupId
    principal: PrincipalId


class Credential(Struct, frozen=True, kw_only=True):
    """A token that was issued: never the token itself, only its keyed digest.

    `digest` is hex HMAC-SHA256(pepper, token); `generation` must equal the principal's. `parent` is
    the credential with which it was issued, empty on the gate's own machine: it ends with that one
    and never lives longer.
    """

    id: CredentialId
    workspace: WorkspaceId
    principal: PrincipalId
    kind: CredentialKind
    label: str
    digest: str
    pepper: str
    # Of the checksum, not of the secret: it tells tokens apart and gives nothing away.
    last4: str
    generation: int
    created_at: Instant
    expires_at: Instant
    revoked_at: Instant | None = None
    parent: CredentialId | Literal[""] = ""
