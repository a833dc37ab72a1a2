"""What a plan is made of: one struct for each kind of change, each a line for people as text."""

from msgspec import Struct

from gatelodge.core.ids import GrantId, GuardrailId
from gatelodge.core.people import Role
from gatelodge.core.policy.rules import GuardrailMode
from gatelodge.flows.admin.declared.wanted import WantedGrant
from gatelodge.flows.admin.definitions.proposals import Proposal


def in_words(grant: WantedGrant) -> str:
    """A wanted grant in one line."""
    until = f" until {grant.expires.isoformat()}" if grant.expires else ""
    return f"{grant.to} may {grant.level} {grant.server}/{grant.tool or '*'}{until}"


class AddMember(Struct, frozen=True, tag="member.add"):
    """Let a person in."""

    email: str
    display: str
    role: Role

    def __str__(self) -> str:
        return f"+ member {self.email} as {self.role}"


class Rename(Struct, frozen=True, tag="member.rename"):
    """Call a member something else."""

    email: str
    display: str

    def __str__(self) -> str:
        return f"~ member {self.email} is called {self.display!r}"


class SetRole(Struct, frozen=True, tag="member.role"):
    """Give a member another role."""

    email: str
    role: Role

    def __str__(self) -> str:
        return f"~ member {self.email} becomes {self.role}"


class AddAgent(Struct, frozen=True, tag="agent.add"):
    """Let an agent in."""

    name: str
    owner: str

    def __str__(self) -> str:
        return f"+ agent {self.name}, owned by {self.owner}"


class HandOver(Struct, frozen=True, tag="agent.hand_over"):
    """Let another member answer for an agent; its tokens end."""

    name: str
    owner: str

    def __str__(self) -> str:
        return f"~ agent {self.name} goes to {self.owner}; its tokens end"


class CreateGroup(Struct, frozen=True, tag="group.create"):
    """Make a group."""

    name: str

    def __str__(self) -> str:
        return f"+ group {self.name}"


class Join(Struct, frozen=True, tag="group.join"):
    """Put a principal into a group."""

    group: str
    who: str

    def __str__(self) -> str:
        return f"+ {self.who} joins group {self.group}"


class Part(Struct, frozen=True, tag="group.part"):
    """Take a principal out of a group."""

    group: str
    who: str

    def __str__(self) -> str:
        return f"- {self.who} parts from group {self.group}"


class Register(Struct, frozen=True, tag="server.register"):
    """Propose a server."""

    alias: str
    proposal: Proposal

    def __str__(self) -> str:
        return f"+ server {self.alias}"


class Revise(Struct, frozen=True, tag="server.revise"):
    """Propose another way to reach a server; until it is approved again, nobody reaches it."""

    alias: str
    proposal: Proposal

    def __str__(self) -> str:
        return f"~ server {self.alias} is reached in another way, so it waits for approval again"


class Retime(Struct, frozen=True, tag="server.retime"):
    """Let a server take longer or less long."""

    alias: str
    proposal: Proposal

    def __str__(self) -> str:
        return f"~ server {self.alias} may take another time"


class Approve(Struct, frozen=True, tag="server.approve"):
    """Let the gate reach a server."""

    alias: str

    def __str__(self) -> str:
        return f"~ server {self.alias} is approved"


class Give(Struct, frozen=True, tag="grant.create"):
    """Make a grant."""

    grant: WantedGrant

    def __str__(self) -> str:
        return f"+ grant {in_words(self.grant)}"


class Revoke(Struct, frozen=True, tag="grant.revoke"):
    """Take a grant back; `grant` says which, for people."""

    id: GrantId
    grant: str

    def __str__(self) -> str:
        return f"- grant {self.grant}"


class Publish(Struct, frozen=True, tag="guardrail.publish"):
    """Put a guardrail in force."""

    name: str
    text: str
    mode: GuardrailMode

    def __str__(self) -> str:
        return f"+ guardrail {self.name} ({self.mode})"


class Retire(Struct, frozen=True, tag="guardrail.retire"):
    """Take a guardrail out of force."""

    id: GuardrailId
    name: str

    def __str__(self) -> str:
        return f"- guardrail {self.name}"


Change = (
    AddMember
    | Rename
    | SetRole
    | AddAgent
    | HandOver
    | CreateGroup
    | Join
    | Part
    | Register
    | Revise
    | Retime
    | Approve
    | Give
    | Revoke
    | Publish
    | Retire
)
