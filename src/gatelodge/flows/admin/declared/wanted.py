"""The file of those who keep a workspace in version control: what should be, by name."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from gatelodge.core.catalog.server import (
    EraWish,
    HttpTransport,
    StdioTransport,
    Timing,
    Wait,
    Withholdable,
)
from gatelodge.core.people import Role
from gatelodge.core.policy.rules import Level
from gatelodge.flows.admin.definitions.proposals import Proposal

Principal = Annotated[str, Meta(pattern=r"^(member:[^@]+@[^@]+|agent:.+)$")]
"""`member:EMAIL` or `agent:NAME`."""

Grantee = Annotated[str, Meta(pattern=r"^(everyone|member:[^@]+@[^@]+|agent:.+|group:.+)$")]


class _Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the file."""


class WantedMember(_Part, frozen=True, kw_only=True):
    """A person and their role."""

    email: str
    name: str = ""
    role: Role = "member"


class WantedAgent(_Part, frozen=True, kw_only=True):
    """An agent and the e-mail address of the member who answers for it."""

    name: str
    owner: str


class WantedGroup(_Part, frozen=True, kw_only=True):
    """A group and who is in it."""

    name: str
    members: tuple[Principal, ...] = ()


class WantedServer(_Part, frozen=True, kw_only=True):
    """A server by `command` or by `url`. `approved` approves it when it is new or has changed."""

    alias: str
    command: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: str = ""
    run_as: Literal["own", "gateway"] = "own"
    url: str = ""
    headers: dict[str, str] = {}
    allow_private: bool = False
    era: EraWish = "auto"
    tags: tuple[str, ...] = ()
    withheld: tuple[Withholdable, ...] = ()
    start_seconds: Wait = 0.0
    call_seconds: Wait = 0.0
    longest_seconds: Wait = 0.0
    approved: bool = False

    @property
    def proposal(self) -> Proposal:
        """The same in the words of the catalog."""
        transport = (
            HttpTransport(url=self.url, headers=self.headers, allow_private=self.allow_private)
            if self.url
            else StdioTransport(
                command=self.command, env=self.env, cwd=self.cwd, run_as=self.run_as
            )
        )
        return Proposal(
            transport=transport,
            era=self.era,
            tags=tuple(sorted(set(self.tags))),
            withheld=tuple(sorted(set(self.withheld))),
            timing=Timing(
                start_seconds=self.start_seconds,
                call_seconds=self.call_seconds,
                longest_seconds=self.longest_seconds,
            ),
        )


class WantedGrant(_Part, frozen=True, kw_only=True):
    """Who may use which tools; an empty `tool` means each tool of the server."""

    to: Grantee
    server: str
    tool: str = ""
    level: Level = "use"
    expires: Annotated[datetime, Meta(tz=True)] | None = None
    ticket: str = ""


class WantedGuardrail(_Part, frozen=True, kw_only=True):
    """A forbid in Cedar."""

    name: str
    text: str
    mode: Literal["enforce", "observe"] = "enforce"


class Wanted(_Part, frozen=True, kw_only=True):
    """The whole file. `workspace` is the slug, so that a file never lands in another one."""

    workspace: str
    members: tuple[WantedMember, ...] = ()
    agents: tuple[WantedAgent, ...] = ()
    groups: tuple[WantedGroup, ...] = ()
    servers: tuple[WantedServer, ...] = ()
    grants: tuple[WantedGrant, ...] = ()
    guardrails: tuple[WantedGuardrail, ...] = ()
