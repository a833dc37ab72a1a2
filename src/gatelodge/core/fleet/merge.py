"""Entries of many files made into distinct servers: what is the same is one, and nothing is lost.

Every entry ends in exactly one way: its server is taken from it, it is merged into a server that
another entry or the gate has already, or it is left with a reason.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, Literal
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.errors import Invalid
from gatelodge.core.fleet.entry import FleetEntry
from gatelodge.core.fleet.judge import LeftEntry, TakingRules, judged, origin_of
from gatelodge.core.fleet.launcher import LaunchedCommand
from gatelodge.core.fleet.normalise import STARS
from gatelodge.core.hosting.naming import alias_of_source
from gatelodge.core.protocol.shown.names import alias_for

EntryOutcome = Literal["taken", "merged", "left"]
ServerKey = tuple[object, ...]
_LONGEST_ALIAS: Final = 20


class EntryEnd(Struct, frozen=True, kw_only=True):
    """How one entry ended: `alias` of its server, or why it was left and what to do."""

    entry: FleetEntry
    outcome: EntryOutcome
    alias: str = ""
    reason: str = ""
    remedy: str = ""


class GovernedServer(Struct, frozen=True, kw_only=True):
    """A server that the gate has: its alias, and where it leads (`source` and `args`, or `url`).

    `vault` are the secrets of the vault that it is given, by the variable or the header.
    """

    alias: str
    source: str = ""
    args: tuple[str, ...] = ()
    url: str = ""
    vault: dict[str, str] = {}


class FleetServer(Struct, frozen=True, kw_only=True):
    """One distinct server of the fleet, and the entries that name it, in order.

    `launched` is how it is to be reached. `there` is the gate's own, where it has it already.
    """

    alias: str
    launched: LaunchedCommand
    entries: tuple[FleetEntry, ...]
    there: GovernedServer | None = None


class MergedFleet(Struct, frozen=True, kw_only=True):
    """What became of all entries: the distinct servers, and an end for each entry, in its order."""

    servers: tuple[FleetServer, ...]
    ends: tuple[EntryEnd, ...]


def merged(
    entries: Sequence[FleetEntry],
    rules: TakingRules,
    governed: Sequence[GovernedServer] = (),
    taken: Iterable[str] = (),
) -> MergedFleet:
    """What becomes of each entry. `taken` are aliases that are not to be given again."""
    versions = _versions(entries, rules)
    groups: dict[ServerKey, list[int]] = {}
    left: dict[int, LeftEntry] = {}
    for at, entry in enumerate(entries):
        why = judged(entry, rules) or _unpinned(entry, versions)
        if why is not None:
            left[at] = why
        else:
            groups.setdefault(server_key(entry), []).append(at)
    aliases = {*taken, *(each.alias for each in governed)}
    servers, ends = list[FleetServer](), dict[int, EntryEnd]()
    for places in groups.values():
        members = [entries[at] for at in places]
        launched = _at_version(members[0].launched, versions)
        there = _governed_by(launched, governed)
        alias = there.alias if there else _free_alias(members, launched, aliases)
        aliases.add(alias)
        servers.append(
            FleetServer(alias=alias, launched=launched, entries=tuple(members), there=there)
        )
        for nth, at in enumerate(places):
            ends[at] = _end(entries[at], servers[-1], first=nth == 0)
    for at, why in left.items():
        ends[at] = EntryEnd(entry=entries[at], outcome="left", reason=why.reason, remedy=why.remedy)
    return MergedFleet(servers=tuple(servers), ends=tuple(ends[at] for at in range(len(entries))))


def server_key(entry: FleetEntry) -> ServerKey:
    """What makes two entries one server: package or address, arguments, and plain values."""
    found = entry.launched
    plain = sorted((k, v) for k, v in entry.env.items() if isinstance(v, str))
    if found.kind == "remote":
        sent = sorted((k.lower(), v) for k, v in entry.headers.items() if isinstance(v, str))
        return ("remote", address_key(found.url), *sent)
    return (found.kind, package_key(found), found.script, found.args, *plain)


def package_key(found: LaunchedCommand) -> str:
    """`KIND:NAME` in the spelling in which the names of a registry are compared; "" for others."""
    if found.kind in ("remote", "program") or not found.name:
        return ""
    return f"{found.kind}:{folded_package(found.kind, found.name)}"


def folded_package(kind: str, name: str) -> str:
    """The name of a package as its registry compares it."""
    if kind == "pypi":
        return re.sub(r"[-_.]+", "-", name).lower()
    return name.lower()


def address_key(url: str) -> str:
    """An address in the one spelling in which two of them are compared."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    query = f"?{parts.query}" if parts.query else ""
    return f"{origin_of(url)}{parts.path.rstrip('/')}{query}"


def _versions(entries: Iterable[FleetEntry], rules: TakingRules) -> dict[str, str]:
    """The one exact version of each package: what was said, else what most have, else the last."""
    seen: dict[str, Counter[str]] = {}
    for entry in entries:
        found = entry.launched
        if found.exact and not entry.fault:
            seen.setdefault(package_key(found), Counter())[found.version] += 1
    chosen = {
        name: max(counted, key=lambda v, c=counted: (c[v], _ordered(v)))  # type: ignore[misc]
        for name, counted in seen.items()
    }
    said = {
        f"{kind}:{folded_package(kind, name)}": version
        for (kind, _, name), version in ((k.partition(":"), v) for k, v in rules.pins.items())
    }
    return chosen | said


def _ordered(version: str) -> list[tuple[int, str]]:
    return [
        (int(p) if p.isdecimal() and len(p) < 20 else -1, p) for p in re.split(r"[.+-]", version)
    ]


def _unpinned(entry: FleetEntry, versions: dict[str, str]) -> LeftEntry | None:
    found, name = entry.launched, package_key(entry.launched)
    if found.kind == "remote" or name in versions:
        return None
    said = f"{found.name}{'@' + found.version if found.version else ''}"
    example = "@sha256:DIGEST" if found.kind == "oci" else "@VERSION"
    return LeftEntry(
        f"{said} names no exact version, and nobody else does",
        f"Say which: --pin {found.kind}:{found.name}{example}",
    )


def _at_version(found: LaunchedCommand, versions: dict[str, str]) -> LaunchedCommand:
    version = versions.get(package_key(found))
    return replace(found, version=version) if version else found


def _governed_by(
    found: LaunchedCommand, governed: Sequence[GovernedServer]
) -> GovernedServer | None:
    return next((each for each in governed if same_server(found, each)), None)


def same_server(found: LaunchedCommand, known: GovernedServer) -> bool:
    """True when the gate's server is that one, at whatever version."""
    if found.kind == "remote":
        bare = known.url.partition("?")[0]
        return bool(known.url) and address_key(bare) == address_key(found.url.partition("?")[0])
    kind, _, rest = known.source.partition(":")
    name = rest.rpartition("@")[0] or (rest.rpartition(":")[0] if kind == "oci" else rest)
    same = package_key(found) == f"{kind}:{folded_package(kind, name)}"
    return bool(rest) and same and found.args == known.args


def _free_alias(
    entries: Sequence[FleetEntry], launched: LaunchedCommand, taken: Iterable[str]
) -> str:
    """What most call it, or what its package is called, with a number where that is taken."""
    names = Counter(e.place.name for e in entries if STARS not in e.place.name)
    if names:
        name = alias_for(min(names, key=lambda n: (-names[n], len(n), n)))
    else:
        try:
            name = alias_of_source(launched.source)
        except Invalid:
            name = "server"
    number, free = 1, name or "server"
    while free in set(taken):
        number += 1
        free = f"{name[: _LONGEST_ALIAS - 1 - len(str(number))].rstrip('-')}-{number}"
    return free


def _end(entry: FleetEntry, server: FleetServer, *, first: bool) -> EntryEnd:
    ran, runs = entry.launched.version, server.launched.version
    other = (
        f"; it ran {ran or 'whatever is newest'} there, and is {runs} now" if ran != runs else ""
    )
    if first and not server.there:
        return EntryEnd(entry=entry, outcome="taken", alias=server.alias, reason=other[2:])
    whose = "the gate has" if server.there else f"{server.entries[0].place} names"
    return EntryEnd(
        entry=entry, outcome="merged", alias=server.alias, reason=f"the same as {whose}{other}"
    )
