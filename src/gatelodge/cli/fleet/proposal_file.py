"""The proposal as a file for `gatelodge apply`: tables, and what is left as remarks behind them."""

from pathlib import Path

import tomli_w

from gatelodge.core.catalog.visible import visible_line
from gatelodge.core.fleet.inventory import FleetInventory
from gatelodge.core.fleet.proposal import FleetProposal
from gatelodge.flows.admin.declared.export import escaped_for_terminal

_HEAD = """\
# Proposed by `gatelodge import` of {owners} folders, {files} files, {found} servers named there.
# Look first:  gatelodge apply --dry-run FILE
# Then:        gatelodge apply FILE          (builds what is a package; approves nothing)
# Each value of a secret is set by `gatelodge secret set`; none is in this file.

"""

_LATER = """\
# Grants of single tools, as people's own filters named them. Apply it when the gate has seen the
# tools: gatelodge server observe ALIAS. A name that no tool has any more is to be taken out.

"""


def proposal_text(proposal: FleetProposal, found: FleetInventory, slug: str) -> str:
    """The text of the file. Whatever came from laptops is escaped: no line of theirs is ours."""
    parts: dict[str, object] = {"workspace": slug, **proposal.tables}
    head = _HEAD.format(owners=found.owners, files=found.files, found=found.found)
    return head + escaped_for_terminal(tomli_w.dumps(parts)) + "\n".join(_remarks(proposal, found))


def later_file(out: Path) -> Path:
    """Where the grants of single tools are written, beside the proposal."""
    return out.with_name(f"{out.stem}-tools{out.suffix}")


def later_text(proposal: FleetProposal, slug: str) -> str:
    """The file of the grants of single tools."""
    parts = {"workspace": slug, "grants": list(proposal.later)}
    return _LATER + escaped_for_terminal(tomli_w.dumps(parts))


def _remarks(proposal: FleetProposal, found: FleetInventory) -> list[str]:
    lines = ["", "# Taken and merged:"]
    for end in found.ends:
        if end.outcome != "left":
            why = f" ({end.reason})" if end.reason else ""
            lines.append(_remark(f"{end.outcome}: {end.entry.place} -> {end.alias}{why}"))
    lines.append("# Left, and what to do:")
    lines += [
        _remark(f"left: {end.entry.place}: {end.reason}. {end.remedy}")
        for end in found.ends
        if end.outcome == "left"
    ]
    lines += [
        _remark(f"not granted: {each.owner} on {each.alias}: {each.reason}. {each.remedy}")
        for each in proposal.ungranted
    ]
    for wanted in proposal.secrets:
        whose = "a value for all" if wanted.mode == "shared" else "a value of each member"
        lines.append(
            _remark(
                f"to set: {wanted.name}, {whose}, which {wanted.alias} gets as {wanted.variable}"
            )
        )
    return [*lines, ""]


def _remark(text: str) -> str:
    return f"#   {visible_line(text)}"
