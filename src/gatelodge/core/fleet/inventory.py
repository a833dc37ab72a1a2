"""What a fleet has, as a list that may be kept: servers, who has them, what is governed. No secret.

A server that runs on laptops and that no gate governs is a *shadow server* (OWASP MCP09).
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from gatelodge.core.fleet.entry import FleetEntry
from gatelodge.core.fleet.findings import FleetFinding, findings
from gatelodge.core.fleet.judge import address_kind, is_gate
from gatelodge.core.fleet.looks import url_without_secrets
from gatelodge.core.fleet.merge import (
    EntryEnd,
    GovernedServer,
    MergedFleet,
    ServerKey,
    package_key,
    same_server,
    server_key,
)

SHADOW_LABEL: Final = "MCP09:2025 Shadow MCP Servers"


class InventoryServer(Struct, frozen=True, kw_only=True):
    """One distinct server as it is found: what it is, by what names, whose, and what is odd of it.

    `governed` is the alias under which the gate has it, "" for a shadow server. `secrets` are names
    and lengths. `asked` is False where no gate could be asked.
    """

    kind: str
    what: str
    version: str
    names: tuple[str, ...]
    owners: tuple[str, ...]
    clients: tuple[str, ...]
    entries: int
    governed: str = ""
    odd: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()


class FleetInventory(Struct, frozen=True, kw_only=True):
    """The whole of a fleet: counts, distinct servers, findings, and how each entry ended."""

    owners: int
    files: int
    found: int
    taken: int
    merged: int
    left: int
    servers: tuple[InventoryServer, ...]
    findings: tuple[FleetFinding, ...]
    ends: tuple[EntryEnd, ...]

    @property
    def shadow(self) -> tuple[InventoryServer, ...]:
        """The servers that no gate governs."""
        return tuple(each for each in self.servers if not each.governed)


def inventory(
    fleet: MergedFleet,
    *,
    owners: int,
    files: int,
    governed: Sequence[GovernedServer] = (),
    gates: tuple[str, ...] = (),
) -> FleetInventory:
    """The list of what was found; what leads to one of `gates`, their origins, is governed."""
    counted = {"taken": 0, "merged": 0, "left": 0}
    for end in fleet.ends:
        counted[end.outcome] += 1
    entries = [end.entry for end in fleet.ends]
    groups: dict[ServerKey, list[FleetEntry]] = {}
    for entry in entries:
        key = ("fault", str(entry.place)) if entry.fault else server_key(entry)
        groups.setdefault(key, []).append(entry)
    servers = [_server(those, governed) for those in groups.values() if not _leads(those, gates)]
    return FleetInventory(
        owners=owners,
        files=files,
        found=len(entries),
        **counted,
        servers=tuple(sorted(servers, key=lambda s: (-len(s.owners), s.kind, s.what, s.names))),
        findings=tuple(findings(entries)),
        ends=fleet.ends,
    )


def told_server(entry: FleetEntry) -> str:
    """What a server is, in one text without a secret and without its arguments."""
    found = entry.launched
    if entry.fault:
        return "cannot be read"
    if found.kind == "remote":
        return url_without_secrets(found.url)
    if found.name:
        return package_key(found)
    # Arguments are left out: a short word among them may be a secret that looks like none.
    program = found.args[0] if found.args else "nothing"
    return f"program {program.replace(chr(92), '/').rpartition('/')[2]}"


def _leads(entries: Sequence[FleetEntry], gates: tuple[str, ...]) -> bool:
    return bool(gates) and is_gate(entries[0].launched.url, gates)


def _server(entries: Sequence[FleetEntry], governed: Sequence[GovernedServer]) -> InventoryServer:
    first = entries[0]
    known = [g.alias for g in governed if not first.fault and same_server(first.launched, g)]
    versions = sorted({e.launched.version or "any" for e in entries if e.launched.name})
    return InventoryServer(
        kind="unread" if first.fault else first.launched.kind,
        what=told_server(first),
        version=", ".join(versions[:5]),
        names=tuple(sorted({e.place.name for e in entries}))[:10],
        owners=tuple(sorted({e.place.owner for e in entries})),
        clients=tuple(sorted({e.place.client for e in entries if e.place.client})),
        entries=len(entries),
        governed=known[0] if known else "",
        odd=_odd(entries),
        secrets=tuple(sorted({str(s) for e in entries for s in e.secrets}))[:20],
    )


def _odd(entries: Sequence[FleetEntry]) -> tuple[str, ...]:
    first = entries[0].launched
    odd = {"unpinned" for e in entries if e.launched.name and not e.launched.exact}
    kind = address_kind(first.url) if first.url else ""
    if kind in ("plain", "both"):
        odd.add("plain HTTP")
    if kind in ("private", "both"):
        odd.add("own network")
    if any(e.misplaced for e in entries):
        odd.add("secret in words")
    elif any(s.sure for e in entries for s in e.secrets):
        odd.add("secret in file")
    return tuple(sorted(odd))
