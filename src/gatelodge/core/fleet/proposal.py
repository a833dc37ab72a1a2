"""What a workspace should have so that a fleet goes on behind the gate: least privilege, by name.

Each person is granted the servers that they had and no other, of these only the tools that their
own filters let through. What cannot be said so is told and granted to nobody.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.catalog.references import half_reference, reference
from gatelodge.core.fleet.entry import FleetEntry, FoundSecret
from gatelodge.core.fleet.judge import address_kind
from gatelodge.core.fleet.looks import AskedValue
from gatelodge.core.fleet.merge import FleetServer, GovernedServer, MergedFleet
from gatelodge.core.policy.rules import Level

_LONGEST_SECRET: Final = 64
_LONGEST_GROUP: Final = 64
NamedTools = tuple[str, ...] | None
"""The tools that are granted, by name; None = all of the server."""


class SecretWanted(Struct, frozen=True, kw_only=True):
    """A secret that a server needs, its values never here.

    `marks` are those of the values that were found, by owner; `asked` when some were placeholders.
    """

    name: str
    mode: Literal["shared", "member"]
    alias: str
    place: Literal["env", "header"]
    variable: str
    marks: dict[str, str] = {}
    asked: bool = False


class UngrantedAccess(Struct, frozen=True, kw_only=True):
    """Access that somebody had and that the proposal does not give, and what to do about it."""

    owner: str
    alias: str
    reason: str
    remedy: str


class FleetProposal(Struct, frozen=True, kw_only=True):
    """The tables of a file for `gatelodge apply`, the secrets to set, and what is not granted.

    `secrets_there` are those that a server of the gate is given already, by the gate's names.
    `later` are the grants of single tools: nobody can be granted a tool that the gate has not seen.
    """

    tables: dict[str, list[dict[str, object]]]
    later: tuple[dict[str, object], ...] = ()
    secrets: tuple[SecretWanted, ...] = ()
    secrets_there: tuple[SecretWanted, ...] = ()
    ungranted: tuple[UngrantedAccess, ...] = ()


class ProposalWishes(Struct, frozen=True, kw_only=True):
    """`addresses` are the e-mail addresses of owners. `members` are there already, as `groups` are.

    `level` is that of all grants; `private` what an admin said of addresses of own networks.
    """

    addresses: dict[str, str]
    members: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    level: Level = "use"
    private: bool = False


def proposed(fleet: MergedFleet, wishes: ProposalWishes) -> FleetProposal:
    """The proposal for a merged fleet. Each list is in the order of its names."""
    servers, secrets = list[dict[str, object]](), list[SecretWanted]()
    there = list[SecretWanted]()
    for server in sorted(fleet.servers, key=lambda each: each.alias):
        wanted = _secrets_of(server)
        if server.there is not None:
            there += _kept_there(server.there, wanted)
        else:
            secrets += wanted
            servers.append(_server_table(server, wanted, wishes))
    held, ungranted = _held(fleet.servers, wishes.addresses)
    groups, grants = _grants(held, wishes)
    granted = sorted({who for holders in held.values() for who in holders})
    tables: dict[str, list[dict[str, object]]] = {
        "members": [{"email": who} for who in granted if who not in wishes.members],
        "groups": groups,
        "secrets": [_secret_table(each) for each in secrets],
        "servers": servers,
        "grants": [each for each in grants if "tool" not in each],
    }
    return FleetProposal(
        tables={name: rows for name, rows in tables.items() if rows},
        later=tuple(each for each in grants if "tool" in each),
        secrets=tuple(secrets),
        secrets_there=tuple(there),
        ungranted=tuple(ungranted),
    )


def _secret_table(wanted: SecretWanted) -> dict[str, object]:
    told = f"{wanted.variable} of {wanted.alias}"
    # What is as ever is left out, as an export does.
    mode = {} if wanted.mode == "shared" else {"mode": wanted.mode}
    return {"name": wanted.name, **mode, "description": told}


def _secrets_of(server: FleetServer) -> list[SecretWanted]:
    remote = server.launched.kind == "remote"
    place: Literal["env", "header"] = "header" if remote else "env"
    names: dict[str, list[tuple[str, FoundSecret | AskedValue]]] = {}
    for entry in server.entries:
        for name, value in (entry.headers if remote else entry.env).items():
            if not isinstance(value, str):
                names.setdefault(name, []).append((entry.place.owner, value))
    wanted, taken = list[SecretWanted](), set[str]()
    for name, values in sorted(names.items()):
        marks = {who: v.mark for who, v in values if isinstance(v, FoundSecret)}
        asked = any(isinstance(v, AskedValue) for _, v in values)
        # The headers of a remote server are everybody's; else only a value that several had in
        # common is shared, and one person's own stays theirs.
        common = len(marks) > 1 and len(set(marks.values())) == 1 and not asked
        called = _secret_name(server.alias, name, taken)
        wanted.append(
            SecretWanted(
                name=called,
                mode="shared" if remote or common else "member",
                alias=server.alias,
                place=place,
                variable=name,
                marks=marks,
                asked=asked,
            )
        )
    return wanted


def _kept_there(there: GovernedServer, wanted: Sequence[SecretWanted]) -> list[SecretWanted]:
    """Of these what the gate's server is given from the vault, by the name that it has there."""
    return [
        replace(each, name=there.vault[each.variable])
        for each in wanted
        if each.variable in there.vault
    ]


def _secret_name(alias: str, name: str, taken: set[str]) -> str:
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{alias}-{name}")[:_LONGEST_SECRET]
    free, number = plain, 1
    while free in taken:
        number += 1
        free = f"{plain[: _LONGEST_SECRET - 6]}-{number}"
    taken.add(free)
    return free


def _server_table(
    server: FleetServer, wanted: Sequence[SecretWanted], wishes: ProposalWishes
) -> dict[str, object]:
    found, remote = server.launched, server.launched.kind == "remote"
    values: dict[str, str] = {}
    for entry in reversed(server.entries):
        for name, value in (entry.headers if remote else entry.env).items():
            values[name] = value if isinstance(value, str) else value.before
    given = {name: _as_text(text) for name, text in values.items()}
    for each in wanted:
        given[each.variable] = f"{values[each.variable]}vault:{each.name}"
    pairs = dict(sorted(given.items()))
    if remote:
        table: dict[str, object] = {"alias": server.alias, "url": found.url}
        return table | _said(headers=pairs, allow_private=wishes.private and _is_own(server))
    own = any(each.mode == "member" for each in wanted)
    return {
        "alias": server.alias,
        "source": found.source,
        **_said(args=list(found.args), env=pairs, scope="per_user" if own else ""),
        **_said(script=found.script),
    }


def _said(**parts: object) -> dict[str, object]:
    return {name: value for name, value in parts.items() if value}


def _is_own(server: FleetServer) -> bool:
    return bool(address_kind(server.launched.url))


def _as_text(value: str) -> str:
    looks = reference(value) is not None or half_reference(value)
    # A laptop's text is a text: it must not have the gate read a file or a variable of its own.
    return f"text:{value}" if looks or value.startswith("text:") else value


def _held(
    servers: Sequence[FleetServer], addresses: Mapping[str, str]
) -> tuple[dict[tuple[str, NamedTools], set[str]], list[UngrantedAccess]]:
    """Who had which tools of which server; and what of it is granted to nobody, and why."""
    held: dict[tuple[str, NamedTools], set[str]] = {}
    ungranted = list[UngrantedAccess]()
    for server in servers:
        theirs: dict[str, list[FleetEntry]] = {}
        for entry in server.entries:
            theirs.setdefault(entry.place.owner, []).append(entry)
        for owner, entries in sorted(theirs.items()):
            why = _no_grant(owner, entries, addresses)
            if why is not None:
                told = UngrantedAccess(
                    owner=owner, alias=server.alias, reason=why[0], remedy=why[1]
                )
                ungranted.append(told)
                continue
            held.setdefault((server.alias, _named_tools(entries)), set()).add(addresses[owner])
    return held, ungranted


def _no_grant(
    owner: str, entries: Sequence[FleetEntry], addresses: Mapping[str, str]
) -> tuple[str, str] | None:
    if owner not in addresses:
        return (
            "nobody knows their e-mail address",
            "Say it: --owners FILE (lines of FOLDER,EMAIL), or --domain example.com.",
        )
    tools = _named_tools(entries)
    if tools is None and all(entry.tools.never for entry in entries):
        never = sorted(set.intersection(*(set(e.tools.never) for e in entries)))
        if never:
            return (
                f"their filter takes tools away ({', '.join(never[:5])}), and a grant cannot",
                "Grant the others by name: gatelodge grant add --server ALIAS --tool NAME",
            )
    if tools == ():
        return "their filter lets no tool through", "Grant what they need by hand."
    return None


def _named_tools(entries: Sequence[FleetEntry]) -> NamedTools:
    """What the filters of one person let through together; None for everything."""
    names = set[str]()
    for entry in entries:
        if entry.tools.only is None:
            return None
        names |= set(entry.tools.only) - set(entry.tools.never)
    return tuple(sorted(names))


def _grants(
    held: Mapping[tuple[str, NamedTools], set[str]], wishes: ProposalWishes
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Groups of those who had the same, and the grants: to a group, or to the only one."""
    sets: dict[frozenset[str], list[tuple[str, NamedTools]]] = {}
    for what, holders in sorted(held.items(), key=lambda each: (each[0][0], each[0][1] or ())):
        sets.setdefault(frozenset(holders), []).append(what)
    groups, grants = list[dict[str, object]](), list[dict[str, object]]()
    taken = set(wishes.groups)
    for together, had in sets.items():
        to = f"member:{min(together)}"
        if len(together) > 1:
            called = _group_name([alias for alias, _ in had], taken)
            taken.add(called)
            groups.append(
                {"name": called, "members": [f"member:{who}" for who in sorted(together)]}
            )
            to = f"group:{called}"
        for alias, tools in had:
            for tool in tools if tools is not None else ("",):
                level = {} if wishes.level == "use" else {"level": wishes.level}
                grants.append({"to": to, "server": alias, **_said(tool=tool), **level})
    return groups, grants


def _group_name(aliases: Sequence[str], taken: set[str]) -> str:
    names = list(dict.fromkeys(aliases))
    more = f"-and-{len(names) - 2}-more" if len(names) > 2 else ""
    plain = f"had-{'-'.join(names[:2])}{more}"[: _LONGEST_GROUP - 4]
    free, number = plain, 1
    while free in taken:
        number += 1
        free = f"{plain}-{number}"
    return free
