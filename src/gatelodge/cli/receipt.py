"""How commands that end access show what came of it."""

from typing import Any

from gatelodge.cli import output
from gatelodge.cli.terminal import CommandRun
from gatelodge.flows.identity.revocation import ended_kinds


def show_receipt(terminal: CommandRun, receipt: dict[str, Any], name: str) -> None:
    """Print a revocation receipt: when it was certain, where, and what ended with it."""
    terminal.show(receipt, lambda it: _format_receipt(it, name))


def show_changes(terminal: CommandRun, rehearsal: dict[str, Any]) -> None:
    """Print what a dry run would have changed."""
    terminal.show(rehearsal, _format_changes)


def _format_receipt(receipt: dict[str, Any], name: str) -> str:
    head = (
        f"Done for {output.clean(name)}: certain everywhere after {receipt['completed_ms']} ms "
        f"(bound {receipt['bound_ms']} ms), gov log size {receipt['gov']}."
    )
    lines = [head]
    if receipt["nodes"]:
        columns = ("node", "how", "after_ms", "streams", "calls")
        lines.append(output.listing(columns, receipt["nodes"]))
    else:
        lines.append("No node is running, so there was nothing to cut.")
    if receipt.get("cascade"):
        lines.append("With it:")
        lines += _cascade_lines(receipt["cascade"], receipt.get("named", {}))
    return "\n".join(lines)


def _cascade_lines(cascade: list[str], named: dict[str, str]) -> list[str]:
    """What ended with it, kind by kind: by name, and by id where it has none."""
    return [
        f"  {each.kind}: {output.clean(list(each.names))}"
        if each.kind
        else f"  {output.clean(list(each.names))}"
        for each in ended_kinds(cascade, named)
    ]


def _format_changes(rehearsal: dict[str, Any]) -> str:
    changes = rehearsal["changes"]
    if not changes:
        return "Nothing would change."
    lines = [f"{output.clean(each['what'])}  {output.clean(each['subject'])}" for each in changes]
    lines.insert(0, "Would change (dry run, nothing was kept):")
    # An older gate does not foresee access.
    if rehearsal.get("access"):
        columns = ("principal", "tool", "change")
        lines += ["", output.listing(columns, rehearsal["access"])]
        lines.append(f"Access: {rehearsal['gained']} gained, {rehearsal['lost']} lost.")
    return "\n".join(lines)
