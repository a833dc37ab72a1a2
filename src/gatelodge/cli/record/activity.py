"""`gatelodge audit activity | keeping`: how much was called lately, and how its logs are kept."""

from typing import Any

import click

from gatelodge.cli import output
from gatelodge.cli.lazy import JsonCommand
from gatelodge.cli.terminal import CommandRun
from gatelodge.core.pictures.hours import CallsOfHour, calls_chart
from gatelodge.core.pictures.recent import calls_title, share

_SAMPLED = "Not every record of these hours was read; ask again to count on."
_COLUMNS = ("at", "ok", "denied", "failed", "p50_ms", "p95_ms")


@click.command("activity", cls=JsonCommand)
@click.option("--hours", type=click.IntRange(1, 48), default=24, show_default=True)
@click.option("--svg", is_flag=True, help="Print the picture of calls an hour.")
@click.pass_obj
def activity(terminal: CommandRun, hours: int, *, svg: bool) -> None:
    """Count the calls of the last hours: how they ended, and how long they took, about.

    Counts and nobody's name; so no look at it is written down.
    """
    gate = terminal.gate
    told = gate.get(gate.here("audit", "activity"), hours=hours)
    if svg:
        click.echo(_drawn_activity(told))
        return
    terminal.show(told, _format_activity)


@click.command("keeping", cls=JsonCommand)
@click.pass_obj
def keeping(terminal: CommandRun) -> None:
    """Show how the logs are kept: sizes, checkpoints, keys, lag, and what fails of that work."""
    gate = terminal.gate
    terminal.show(gate.get(gate.here("audit", "keeping")), _format_keeping)


def _format_keeping(told: dict[str, Any]) -> str:
    rows = [
        {**log, "by": ", ".join(each["key_id"] for each in log["signatures"])}
        for log in told["logs"]
    ]
    lines = [output.listing(("log", "origin", "size", "signed", "by"), rows)]
    lines.append(f"All that stood in them was signed {told['signed_ago']} s ago.")
    lines.append(f"The disk has {told['disk_free'] / 2**30:.1f} GiB free.")
    lines += [
        f"fails: {output.clean(work)}: {output.clean(why)}" for work, why in told["failing"].items()
    ]
    lines += [f"late: {output.clean(work)}" for work in told["late"]]
    return "\n".join(lines)


def _drawn_activity(told: dict[str, Any]) -> str:
    hours = [
        CallsOfHour(
            at=str(each["at"]),
            ok=each["ok"],
            denied=each["denied"],
            failed=each["failed"],
            counted=each["counted"],
        )
        for each in told["hours"]
    ]
    title = calls_title([each.calls if each.counted else None for each in hours])
    return calls_chart(hours, title, _SAMPLED if _is_read_in_part(told) else "")


def _is_read_in_part(told: dict[str, Any]) -> bool:
    return any(each["read"] < each["leaves"] or not each["counted"] for each in told["hours"])


def _format_activity(told: dict[str, Any]) -> str:
    through = told["ok"] + told["failed"]
    lines = [output.listing(_COLUMNS, told["hours"])]
    lines.append(
        f"Together: {through + told['denied']} calls, {told['denied']} denied, "
        f"{share(told['failed'], through)} of the others failed."
    )
    if _is_read_in_part(told):
        lines.append(_SAMPLED)
    return "\n".join(lines)
