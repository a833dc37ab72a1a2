"""What is wrong with a fleet before it is governed: counted, and named without values."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

from msgspec import Struct

from gatelodge.core.fleet.entry import FleetEntry, FoundSecret
from gatelodge.core.fleet.judge import address_kind
from gatelodge.core.fleet.looks import url_without_secrets
from gatelodge.core.fleet.merge import package_key, server_key

FindingKind = Literal[
    "versions",
    "unpinned",
    "shared-secret",
    "secret-in-words",
    "secret-in-file",
    "plain-http",
    "private-address",
    "same-name",
]


class FleetFinding(Struct, frozen=True, kw_only=True):
    """One thing that somebody should know: what it is about, a sentence, and whose it is."""

    kind: FindingKind
    about: str
    says: str
    owners: tuple[str, ...]


def findings(entries: Sequence[FleetEntry]) -> list[FleetFinding]:
    """All of a fleet, the kinds in the order of their table."""
    read = [entry for entry in entries if not entry.fault]
    found: list[FleetFinding] = []
    for look in (_versions, _unpinned, _shared_secrets, _secrets, _addresses, _names):
        found += look(read)
    return found


def _grouped(
    entries: Iterable[FleetEntry], key: Callable[[FleetEntry], str]
) -> Iterator[tuple[str, list[FleetEntry]]]:
    groups: dict[str, list[FleetEntry]] = defaultdict(list)
    for entry in entries:
        name = key(entry)
        if name:
            groups[name].append(entry)
    yield from sorted(groups.items())


def _owners(entries: Iterable[FleetEntry]) -> tuple[str, ...]:
    return tuple(sorted({entry.place.owner for entry in entries}))


def people(count: int) -> str:
    """So many people, in words."""
    return "1 person" if count == 1 else f"{count} people"


def _versions(entries: Sequence[FleetEntry]) -> Iterator[FleetFinding]:
    for package, those in _grouped(entries, lambda e: package_key(e.launched)):
        ran: dict[str, set[str]] = defaultdict(set)
        for entry in those:
            ran[entry.launched.version or "no version"].add(entry.place.owner)
        if len(ran) > 1:
            owners = _owners(those)
            told = ", ".join(f"{version} ({len(who)})" for version, who in sorted(ran.items()))
            verb = "runs" if len(owners) == 1 else "run"
            says = f"{people(len(owners))} {verb} {len(ran)} versions of {package}: {told}"
            yield FleetFinding(kind="versions", about=package, says=says, owners=owners)


def _unpinned(entries: Sequence[FleetEntry]) -> Iterator[FleetFinding]:
    loose = [e for e in entries if package_key(e.launched) and not e.launched.exact]
    for package, those in _grouped(loose, lambda e: package_key(e.launched)):
        owners = _owners(those)
        who = people(len(owners))
        runs = f"{who} runs" if len(owners) == 1 else f"{who} run"
        says = f"{package} names no exact version: its publisher decides what {runs}"
        yield FleetFinding(
            kind="unpinned", about=package, says=says,
            owners=owners,
        )  # fmt: skip


def _shared_secrets(entries: Sequence[FleetEntry]) -> Iterator[FleetFinding]:
    held: dict[str, list[tuple[FleetEntry, str, int]]] = defaultdict(list)
    for entry in entries:
        for each in _sure(entry):
            held[each.mark].append((entry, each.name, each.length))
    for those in held.values():
        owners = _owners(entry for entry, _, _ in those)
        if len(owners) > 1:
            names = sorted({name for _, name, _ in those})
            called = f"{', '.join(names[:5])} ({those[0][2]} characters)"
            says = f"the same secret is used by {people(len(owners))}: {called}"
            yield FleetFinding(kind="shared-secret", about=called, says=says, owners=owners)


def _sure(entry: FleetEntry) -> list[FoundSecret]:
    return [each for each in entry.secrets if each.sure]


def _secrets(entries: Sequence[FleetEntry]) -> Iterator[FleetFinding]:
    for in_words in (True, False):
        those = [e for e in entries if (e.misplaced if in_words else _sure(e))]
        if not those:
            continue
        count = sum(len(e.misplaced if in_words else _sure(e)) for e in those)
        owners = _owners(those)
        where = "arguments or addresses" if in_words else "their files"
        says = f"{people(len(owners))}: secrets in plain text in {where}: {count}"
        kind: FindingKind = "secret-in-words" if in_words else "secret-in-file"
        yield FleetFinding(kind=kind, about=where, says=says, owners=owners)


def _addresses(entries: Sequence[FleetEntry]) -> Iterator[FleetFinding]:
    remote = [e for e in entries if e.launched.kind == "remote"]
    for url, those in _grouped(remote, lambda e: url_without_secrets(e.launched.url)):
        kind = address_kind(url)
        owners = _owners(those)
        if kind in ("plain", "both"):
            says = f"{url} is plain HTTP: whoever is between reads and changes it"
            yield FleetFinding(kind="plain-http", about=url, says=says, owners=owners)
        if kind in ("private", "both"):
            says = f"{url} is an address of an own network or of that machine"
            yield FleetFinding(kind="private-address", about=url, says=says, owners=owners)


def _names(entries: Sequence[FleetEntry]) -> Iterator[FleetFinding]:
    for name, those in _grouped(entries, lambda e: e.place.name.lower()):
        if name.startswith("***"):
            continue
        servers = {server_key(entry) for entry in those}
        owners = _owners(those)
        if len(servers) > 1:
            says = f"{name} is the name of {len(servers)} different servers"
            yield FleetFinding(kind="same-name", about=name, says=says, owners=owners)
