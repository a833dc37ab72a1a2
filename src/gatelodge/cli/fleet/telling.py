"""What an import found, for people and for machines: names escaped, values absent."""

from pathlib import Path
from typing import Any

import msgspec

from gatelodge.cli import output
from gatelodge.cli.fleet.gate_facts import GateFacts
from gatelodge.cli.fleet.proposal_file import later_file
from gatelodge.cli.fleet.reading import ReadFleet
from gatelodge.core.fleet.entry import FleetEntry
from gatelodge.core.fleet.inventory import SHADOW_LABEL, FleetInventory, told_server
from gatelodge.core.fleet.merge import EntryEnd
from gatelodge.core.fleet.proposal import FleetProposal

_MOST_LINES = 40


def inventory_json(
    found: FleetInventory, proposal: FleetProposal, read: ReadFleet, known: GateFacts
) -> dict[str, Any]:
    """The whole list as plain values, without arguments, values of variables, or marks."""
    return {
        "counts": {
            name: getattr(found, name)
            for name in ("owners", "files", "found", "taken", "merged", "left")
        },
        "gate_asked": known.asked,
        "servers": msgspec.to_builtins(found.servers),
        "shadow": {
            "label": SHADOW_LABEL,
            "gate_asked": known.asked,
            "servers": msgspec.to_builtins(found.shadow),
        },
        "findings": msgspec.to_builtins(found.findings),
        "entries": [_entry_json(end) for end in found.ends],
        "granted_later": list(proposal.later),
        "not_granted": msgspec.to_builtins(proposal.ungranted),
        "to_set": [
            {"name": s.name, "mode": s.mode, "server": s.alias, "variable": s.variable}
            for s in proposal.secrets
        ],
        "skipped": msgspec.to_builtins(read.skipped),
    }


def _entry_json(end: EntryEnd) -> dict[str, Any]:
    entry: FleetEntry = end.entry
    return {
        **msgspec.to_builtins(entry.place),
        "server": told_server(entry),
        "version": entry.launched.version,
        "outcome": end.outcome,
        "alias": end.alias,
        "reason": end.reason,
        "remedy": end.remedy,
        "switched_off": entry.off,
        "secrets": [str(each) for each in entry.secrets],
        "inputs": list(entry.inputs),
    }


def told_fleet(
    found: FleetInventory, proposal: FleetProposal, read: ReadFleet, out: Path | None
) -> str:
    """What a person reads: the servers, what is odd, what is left, and what to do next."""
    ended = f"{found.taken} taken, {found.merged} merged, {found.left} left"
    lines = [
        f"{found.owners} folders, {found.files} files, {found.found} entries: {ended}.",
    ]
    if found.servers:
        rows = [
            (s.names, s.what, s.version, len(s.owners), s.governed or "shadow", s.odd)
            for s in found.servers
        ]
        head = ("name", "server", "version", "people", "governed", "odd")
        lines += ["", output.table(head, rows[:_MOST_LINES]), *_more(len(rows))]
    odd = [f"  {output.clean(each.says)}" for each in found.findings]
    lines += _section("Odd:", odd)
    left = [
        f"  {output.clean(f'{e.entry.place}: {e.reason}')}\n    {output.clean(e.remedy)}"
        for e in found.ends
        if e.outcome == "left"
    ]
    lines += _section("Left, and what to do:", left)
    ungranted = [
        f"  {output.clean(f'{u.owner} on {u.alias}: {u.reason}')}\n    {output.clean(u.remedy)}"
        for u in proposal.ungranted
    ]
    lines += _section("Not granted:", ungranted)
    passed = [f"  {output.clean(f'{s.file}: {s.reason}')}" for s in read.skipped]
    lines += _section("Not read:", passed)
    written = f"Written: {out}\nNext: gatelodge apply --dry-run {out}" if out else ""
    if out and proposal.later:
        written += f"\nWhen its tools were seen: gatelodge apply {later_file(out)}"
    lines += ["", written or "Nothing was written: --out FILE writes the proposal."]
    return "\n".join(lines)


def shadow_text(found: FleetInventory, known: GateFacts) -> str:
    """The servers that no gate governs, for people."""
    asked = "" if known.asked else " No gate was asked: all that leads to none counts."
    if not found.shadow:
        return f"No shadow server ({SHADOW_LABEL}).{asked}"
    rows = [(s.names, s.what, s.version, s.owners, s.odd) for s in found.shadow]
    head = f"{len(rows)} shadow servers ({SHADOW_LABEL}).{asked}"
    return f"{head}\n\n{output.table(('name', 'server', 'version', 'people', 'odd'), rows)}"


def _section(head: str, lines: list[str]) -> list[str]:
    return ["", head, *lines[:_MOST_LINES], *_more(len(lines))] if lines else []


def _more(count: int) -> list[str]:
    more = count - _MOST_LINES
    return [f"  and {more} more: --json, or --inventory FILE"] if more > 0 else []
