"""The file of those who keep a workspace in version control: what should be, by name."""

import tomllib
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from gatelodge.core.catalog.server import EraWish, HttpTransport, StdioTransport, Withholdable
from gatelodge.core.errors import Invalid
from gatelodge.core.people import Role, folded
from gatelodge.core.policy.rules import Level
from gatelodge.flows.admin.members import email_of
from gatelodge.flows.admin.servers import Proposal

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


def parse(text: str) -> Wanted:
    """The file behind TOML text. Raises Invalid with every fault and its place."""
    try:
        wanted = msgspec.convert(tomllib.loads(text), Wanted)
    except tomllib.TOMLDecodeError as fault:
        raise Invalid(f"not TOML: {fault}") from None
    except msgspec.ValidationError as fault:
        raise Invalid(str(fault), remedy="See docs/reference/apply.md.") from None
    faults = [*_twice(wanted), *_unclear(wanted)]
    if faults:
        raise Invalid("; ".join(faults))
    return wanted


def _twice(wanted: Wanted) -> list[str]:
    named = {
        "members": [email_of(each.email) for each in wanted.members],
        "agents": [folded(each.name) for each in wanted.agents],
        "groups": [folded(each.name) for each in wanted.groups],
        "servers": [each.alias for each in wanted.servers],
        "guardrails": [each.name for each in wanted.guardrails],
        "grants": [f"{g.to} on {g.server}/{g.tool} ({g.level})" for g in wanted.grants],
    }
    return [
        f"{what}: {name} stands twice"
        for what, names in named.items()
        for name in sorted({name for name in names if names.count(name) > 1})
    ]


def _unclear(wanted: Wanted) -> list[str]:
    return [
        f"servers: {each.alias} needs a command or a url, not both"
        for each in wanted.servers
        if bool(each.command) == bool(each.url)
    ]
