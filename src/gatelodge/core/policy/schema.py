"""The Cedar schema of the house, and the one place where Cedar entities are written.

One action, `call`, stands for every tool (an action per tool makes validation explode), and `get`
for the prompts and resources of a server, one entity of each with the server's own id. Ids of
principals, groups, servers and tools are percent-encoded where they hold anything but plain
characters, so that no text of ours is ever built from a character with a meaning; a tool's id is
`server/name`. Tags are free text and appear only as values.
"""

from functools import cache
from typing import Any, Literal, get_args
from urllib.parse import quote

import cedarpy
import msgspec

from gatelodge.core.ids import Instant
from gatelodge.core.instant import rfc3339
from gatelodge.core.view_entry import CallContext, Entry, PrincipalEntry, ToolEntry

Kind = Literal[
    "Workspace", "Group", "Member", "Agent", "Server", "Tag", "Tool", "Prompt", "Resource"
]
NAMED_KINDS: tuple[Kind, ...] = get_args(Kind)
"""Every type of entity that a policy can name, but actions."""

_TOOLS = """\
namespace Gatelodge {
  type Circumstances = { now: datetime, credential: String };
  entity Workspace;
  entity Tag;
  entity Group in [Workspace];
  entity Member in [Group, Workspace] { role: String };
  entity Agent in [Group, Workspace] { owner: Member };
  entity Server in [Workspace, Tag];
  entity Tool in [Server] {
    readOnly: Bool, destructive: Bool, openWorld: Bool, pinned: Bool
  };
  action use;
  action call in [use] appliesTo {
    principal: [Member, Agent], resource: [Tool], context: Circumstances
  };
"""
"""`credential` is "personal" or "agent"; the booleans of a tool are reviewed values."""

_READS = """\
  entity Prompt in [Server] {
    readOnly: Bool, destructive: Bool, openWorld: Bool, pinned: Bool
  };
  entity Resource in [Server] {
    readOnly: Bool, destructive: Bool, openWorld: Bool, pinned: Bool
  };
  action get in [use] appliesTo {
    principal: [Member, Agent], resource: [Prompt, Resource], context: Circumstances
  };
"""
"""The attributes of a tool, always true, false, true, true: what is written with tools in mind
means something for these too."""

SCHEMA = _TOOLS + _READS + "}\n"

ANY_USE = 'Gatelodge::Action::"use"'

_PLAIN = "_-.:@/"


@cache
def schema() -> cedarpy.Schema:
    """The parsed schema (a handle, made once)."""
    return cedarpy.Schema.from_str(SCHEMA)


@cache
def tools_schema() -> cedarpy.Schema:
    """The schema as if there were tools only (a handle, made once)."""
    return cedarpy.Schema.from_str(_TOOLS + "}\n")


def plain(ident: str) -> str:
    """An id in plain characters: unchanged when it is so already, else percent-encoded."""
    return quote(ident, safe=_PLAIN, errors="surrogatepass")


def uid(kind: Kind, ident: str) -> str:
    """An entity in Cedar's own syntax, safe to put into policy text."""
    return f'Gatelodge::{kind}::"{plain(ident)}"'


def tool_id(server: str, name: str) -> str:
    """The id of a tool entity, before encoding."""
    return f"{server}/{name}"


def moment(at: Instant) -> str:
    """A time as Cedar reads it: RFC 3339 in whole milliseconds, rounded down. Raises ValueError."""
    try:
        return rfc3339(at)[:-4] + "Z"
    except (OverflowError, OSError) as fault:
        raise ValueError(str(at)) from fault


def request_entities(principal: PrincipalEntry, entry: Entry) -> dict[str, dict[str, str]]:
    """Principal, action and resource of a request, in parts, which Cedar takes without parsing.

    The action is what can be done with the resource.
    """
    action = "call" if isinstance(entry, ToolEntry) else "get"
    return {
        "principal": _principal_ref(principal),
        "action": {"type": "Gatelodge::Action", "id": action},
        "resource": _resource_ref(entry),
    }


def as_text(ref: dict[str, str]) -> str:
    """An entity of a request in Cedar's own syntax: its id is in plain characters already."""
    return f'{ref["type"]}::"{ref["id"]}"'


def resource_kind(entry: Entry) -> Kind:
    """The type of the resource of a request."""
    if isinstance(entry, ToolEntry):
        return "Tool"
    return "Prompt" if entry.kind == "prompts" else "Resource"


def circumstances(at: Instant, context: CallContext) -> str:
    """The context of a request, as JSON."""
    # Neither value holds a character that JSON escapes: one is a time, one a fixed word.
    return (
        '{"now":{"__extn":{"fn":"datetime","arg":"' + moment(at) + '"}},'
        '"credential":"' + context.credential + '"}'
    )


UNKNOWN = (
    '{"now":{"__extn":{"fn":"unknown","arg":"now"}},'
    '"credential":{"__extn":{"fn":"unknown","arg":"credential"}}}'
)
"""A context of which nothing is known yet, for partial evaluation."""


def entities(principal: PrincipalEntry, entry: Entry) -> cedarpy.Entities:
    """The entities one request touches, checked against the schema.

    Built with the schema on purpose: without it the action hierarchy is absent and
    `action in ...` silently never matches.
    """
    found = [*_principal_entities(principal), _server_entity(entry), _resource_entity(entry)]
    text = msgspec.json.encode(found).decode()
    return cedarpy.Entities.from_json_str(text, schema())


def _principal_ref(principal: PrincipalEntry) -> dict[str, str]:
    return _entity_ref("Member" if principal.kind == "member" else "Agent", principal.id)


def _resource_ref(entry: Entry) -> dict[str, str]:
    ident = tool_id(entry.server, entry.name) if isinstance(entry, ToolEntry) else entry.server
    return _entity_ref(resource_kind(entry), ident)


def _entity_ref(kind: Kind, ident: str) -> dict[str, str]:
    # A tag comes in as JSON and never as policy text, so it stays as guardrails spell it.
    return {"type": f"Gatelodge::{kind}", "id": ident if kind == "Tag" else plain(ident)}


def _cedar_entity(uid: dict[str, str], attrs: dict[str, Any], parents: list[Any]) -> dict[str, Any]:
    return {"uid": uid, "attrs": attrs, "parents": parents}


def _principal_entities(principal: PrincipalEntry) -> list[dict[str, Any]]:
    """The principal, and the owner of an agent."""
    parents = [_entity_ref("Group", group) for group in principal.groups]
    parents.append(_entity_ref("Workspace", principal.workspace))
    if principal.owner is None:
        return [_cedar_entity(_principal_ref(principal), {"role": principal.role}, parents)]
    owner = {"__entity": _entity_ref("Member", principal.owner.id)}
    agent = _cedar_entity(_principal_ref(principal), {"owner": owner}, parents)
    return [agent, *_principal_entities(principal.owner)]


def _server_entity(entry: Entry) -> dict[str, Any]:
    parents = [_entity_ref("Tag", tag) for tag in dict.fromkeys(entry.tags)]
    parents.append(_entity_ref("Workspace", entry.workspace))
    return _cedar_entity(_entity_ref("Server", entry.server), {}, parents)


def _resource_entity(entry: Entry) -> dict[str, Any]:
    attrs = {
        "readOnly": entry.read_only,
        "destructive": entry.destructive,
        "openWorld": entry.open_world,
        "pinned": entry.standing == "pinned",
    }
    return _cedar_entity(_resource_ref(entry), attrs, [_entity_ref("Server", entry.server)])
