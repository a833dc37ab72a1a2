"""Grants: who may use which tools of a server. Nothing is allowed that no grant allows."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

from msgspec import Struct

from gatelodge.core.catalog.server import Server, Tool
from gatelodge.core.errors import Conflict, Invalid
from gatelodge.core.ids import GrantId, Instant, WorkspaceId
from gatelodge.core.instant import parse_rfc3339, rfc3339
from gatelodge.core.people import Agent, Group, Member
from gatelodge.core.policy.rules import Grant, GranteeKind, Level
from gatelodge.core.protocol.bridge.tasks import TASKS_ONLY
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.act import ticket as reason
from gatelodge.flows.admin.definitions.standing import for_tasks
from gatelodge.flows.identity.ending import EndedAccess
from gatelodge.flows.nouns import lookup
from gatelodge.flows.nouns.noun import Noun, RowByName, ShowContext, Wording
from gatelodge.flows.nouns.shown import shown_as
from gatelodge.ports.store import StoreTx

Grantee = Member | Agent | Group | Literal["everyone"]

_LONGEST_SECONDS = 10 * 366 * 86_400
_LEVELS = "read: reviewed read-only tools; use: all but destructive ones; all: all."
_REVIEWED = {"read": "reviewed as read-only", "use": "reviewed as not destructive"}
_UNITS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}

grant = Noun(
    Grant,
    plural="grants",
    find=lookup.grant,
    called="ID",
    about="Who may use which tools.",
    columns=(
        "id",
        "grantee",
        "server",
        "tool",
        "level",
        "reaches",
        "of",
        "expires_at",
        "ticket",
    ),
    empty="No grants yet, so nobody may use anything. Give one: "
    "gatelodge grant add --everyone --server ALIAS",
)


class GrantShape(Struct, frozen=True, kw_only=True):
    """A grant, by the names of grantee and server; an empty `tool` means each of the server.

    `reaches` of the `of` approved tools that it is about are within its level now;
    `reaches_nothing` says why none is reached, where none is.
    """

    id: str
    grantee_kind: str
    grantee: str
    server: str
    tool: str
    level: str
    expires_at: str | None
    expired: bool
    reaches: int
    of: int
    reaches_nothing: str
    ticket: str
    created_by: str
    created_at: str


@grant.shown
def shapes(tx: StoreTx, rows: Sequence[Grant], context: ShowContext) -> list[GrantShape]:
    """Grants, expired ones too, with the names of whom and what they are about."""
    here = rows[0].workspace
    names = lookup.names(tx, here, Member, Agent, Group) | {"": "everyone"}
    servers = {each.id: each for each in tx.find(Server, workspace=here)}
    tools: dict[str, list[Tool]] = {}
    for tool in tx.find(Tool, workspace=here):
        tools.setdefault(tool.server, []).append(tool)
    made = []
    for row in rows:
        server = servers[row.server]
        of_server = [each for each in tools.get(row.server, ()) if row.tool in {"", each.name}]
        # No grant reaches a tool that is not as approved, or that the gate leaves out, so it is
        # not counted as reached.
        about = [each for each in of_server if each.pinned and not for_tasks(each)]
        reached = sum(_within(each, row.level) for each in about)
        reached = reached if server.status == "approved" else 0
        expired = row.expires_at is not None and row.expires_at <= context.at
        why = "" if reached else _why_nothing(row, server, of_server)
        made.append(
            shown_as(
                GrantShape,
                row,
                grantee=names.get(row.grantee, row.grantee),
                server=server.alias,
                expired=expired,
                reaches=reached,
                of=len(about),
                reaches_nothing=why,
            )
        )
    return made


def seconds(text: str) -> int:
    """How long `8h` is: a number and m, h, d or w. Raises Invalid."""
    found = re.fullmatch(r"([1-9]\d{0,6})([mhdw])", text.strip())
    if found is None:
        raise Invalid(
            "for: not a number and m, h, d or w", remedy="Say how long it lasts, such as 8h or 30d."
        )
    return int(found[1]) * _UNITS[found[2]]


def _told(made: dict[str, Any]) -> str:
    what = f"{made['server']}/{made['tool'] or '*'}"
    reaches, of = made["reaches"], made["of"]
    lines = [f"{made['grantee']} may use {what}: {reaches} of {of} approved tools now."]
    if not reaches:
        lines.append(made["reaches_nothing"])
    elif reaches < of:
        lines.append(
            f"Level {made['level']} reaches what is {_REVIEWED[made['level']]}: "
            f"gatelodge tool review {made['server']} TOOL; or grant --level all."
        )
    lines.append(f"Take it back: gatelodge grant revoke {made['id']}")
    return "\n".join(lines)


def _clear(given: Any) -> None:
    """Raise Invalid unless it is given to one grantee, and ends at one time at most."""
    # With `everyone` beside a name the grant would go to all, whatever the name was meant to say.
    if sum(map(bool, (given.member, given.agent, given.group, given.everyone))) != 1:
        raise Invalid("give exactly one of member, agent, group and everyone")
    if given.for_seconds is not None and given.until:
        raise Invalid("give either how long it lasts or when it ends, not both")


@grant.verb(_told, name="add", act="grant.create", check=_clear, foreseen=True)
def create(
    act: GovernanceAct,
    workspace: WorkspaceId,
    *,
    member: Annotated[Member | None, RowByName(lookup.member, "EMAIL", "To a person.")] = None,
    agent: Annotated[Agent | None, RowByName(lookup.agent, "NAME", "To an agent.")] = None,
    group: Annotated[Group | None, RowByName(lookup.group, "NAME", "To a group.")] = None,
    everyone: Annotated[bool, Wording("To each member and agent of the workspace.")] = False,
    server: Annotated[Server, RowByName(lookup.server, "ALIAS", option=True)],
    tool: Annotated[str, Wording("One tool; else each of the server.", "NAME")] = "",
    level: Annotated[Level, Wording(_LEVELS)] = "use",
    for_seconds: Annotated[
        int | None, Wording("Ends after m, h, d or w.", "8h", "for", seconds)
    ] = None,
    until: Annotated[str, Wording("Ends then (RFC 3339).", "TIME")] = "",
    ticket: Annotated[str, Wording("Where it was asked for.")] = "",
) -> Grant:
    """Let somebody use tools; without a grant nobody may.

    Exactly one of member, agent, group and everyone gets it. It may end after a while or at a time.

    Raises Invalid, NotFound (the tool), Conflict (granted already, or the grantee is revoked).
    """
    to: Grantee | None = "everyone" if everyone else member or agent or group
    # Every face runs `_clear` first, so that one of them is given.
    assert to is not None
    ends = _end(for_seconds, until, act.at)
    return give(act, workspace, to, server, tool=tool, level=level, expires_at=ends, ticket=ticket)


def give(
    act: GovernanceAct,
    workspace: WorkspaceId,
    to: Grantee,
    server: Server,
    *,
    tool: str = "",
    level: Level = "use",
    expires_at: Instant | None = None,
    ticket: str = "",
) -> Grant:
    """Grant a tool of a server; an empty `tool` means each of them, also later ones.

    Raises Invalid, NotFound (the tool), Conflict (granted already, or the grantee is revoked).
    """
    if level not in get_args(Level):
        raise Invalid(f"there is no such level; there are {', '.join(get_args(Level))}")
    if expires_at is not None and expires_at <= act.at:
        raise Invalid("a grant cannot end before it begins", remedy="Name a time to come.")
    kind, grantee = _grantee(to)
    if tool:
        # A grant on a misspelled tool would look given and reach nothing.
        act.the(Tool, name=tool, workspace=workspace, server=server.id)
    made = Grant(
        id=GrantId(act.ids.new("grn")),
        workspace=workspace,
        grantee_kind=kind,
        grantee=grantee,
        server=server.id,
        tool=tool,
        level=level,
        expires_at=expires_at,
        ticket=reason(ticket) if ticket else "",
        created_by=act.by,
        created_at=act.at,
    )
    # A second grant of the same would keep the access alive when the first one is revoked.
    _must_be_new(act, made)
    act.tx.put(made)
    act.record(
        "grant.created",
        workspace,
        grant=made.id,
        grantee_kind=kind,
        grantee=grantee,
        server=made.server,
        tool=tool,
        level=level,
        expires_at=None if expires_at is None else rfc3339(expires_at),
        ticket=made.ticket,
    )
    return made


@grant.verb(removes=True, ends="grant")
def revoke(act: GovernanceAct, grant: Grant) -> EndedAccess:
    """Take a grant back, with a receipt that says when it was certain on every node."""
    # The row can go: `grant.created` in the log keeps all that it said.
    act.tx.remove(grant)
    act.record("grant.revoked", grant.workspace, grant=grant.id)
    return EndedAccess(grants=(grant.id,))


def _end(for_seconds: int | None, until: str, now: Instant) -> Instant | None:
    if for_seconds is not None:
        if not 0 < for_seconds <= _LONGEST_SECONDS:
            raise Invalid("for_seconds: between a second and ten years")
        return Instant(now + for_seconds * 1_000_000)
    if not until:
        return None
    try:
        return parse_rfc3339(until)
    except ValueError:
        raise Invalid("until: wants a time such as 2026-12-01T18:00:00Z") from None


def _grantee(to: Grantee) -> tuple[GranteeKind, str]:
    """The kind and the id of whom it is given to. Raises Conflict for who is revoked."""
    if to == "everyone":
        return "everyone", ""
    if isinstance(to, Group):
        return "group", to.id
    # Who was revoked comes back under another id, so this grant would never hold for anybody.
    if to.status == "revoked":
        raise Conflict(f"{to.id} is revoked", remedy="Grant it to someone who has access.")
    return ("member" if isinstance(to, Member) else "agent"), to.id


def _must_be_new(act: GovernanceAct, wanted: Grant) -> None:
    """Raise Conflict when the same is granted already."""
    for same in act.tx.find(
        Grant,
        workspace=wanted.workspace,
        grantee_kind=wanted.grantee_kind,
        grantee=wanted.grantee,
        server=wanted.server,
        tool=wanted.tool,
        level=wanted.level,
    ):
        # The row of a grant that has expired stays, and must not keep the access from being given
        # anew.
        if same.expires_at is None or same.expires_at > act.at:
            raise Conflict(
                f"this is granted already ({same.id})",
                remedy="Revoke that grant first, if it should end at another time.",
            )


def _why_nothing(row: Grant, server: Server, tools: Sequence[Tool]) -> str:
    """Why the grant reaches no tool now, and what to do."""
    alias, here = server.alias, [each for each in tools if each.present]
    if server.status == "disabled":
        return f"{alias} is disabled: gatelodge server enable {alias}"
    if not here:
        return f"No tool of it was read yet: gatelodge server observe {alias}"
    if server.status == "proposed":
        return f"{alias} waits for its approval: gatelodge server approve {alias}"
    pinned = [each for each in here if each.pinned]
    if not pinned:
        return f"No tool of it stands approved now: gatelodge server approve {alias}"
    if all(map(for_tasks, pinned)):
        return f"Left out: {TASKS_ONLY}"
    return (
        f"Level {row.level} reaches what is {_REVIEWED[row.level]}, and nothing of it is: "
        f"gatelodge tool review {alias} TOOL; or grant --level all."
    )


def _within(tool: Tool, level: Level) -> bool:
    """True when a grant of this level reaches the tool as it was reviewed."""
    # By the reviewed values: a server's own hints would let the server widen the grant.
    read_only, destructive, _ = tool.effect
    return level == "all" or (read_only if level == "read" else not destructive)
