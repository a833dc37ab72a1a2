"""The figures of the second bench, `bench/view.py`, which leaves them in a JSON file."""

from pathlib import Path

import msgspec
from msgspec import Struct


class Size(Struct, frozen=True):
    """How large the view was."""

    members: int
    servers: int
    tools: int
    grants: int
    credentials: int


class Stall(Struct, frozen=True):
    """How long an event loop beside the compilation stood still, in milliseconds."""

    longest: float
    longest_of_median_run: float


class ViewFigures(Struct, frozen=True):
    """What compiling and swapping a large view costs."""

    state: Size
    cold_ms: float
    warm_ms: dict[str, float]
    without_ms: float
    stall_ms: dict[str, Stall]


def read_view(file: Path) -> ViewFigures | None:
    """Give the figures, or None when that bench has not run."""
    if not file.exists():
        return None
    return msgspec.json.decode(file.read_bytes(), type=ViewFigures)


def section(view: ViewFigures | None) -> list[str]:
    if view is None:
        return []
    of = view.state
    lines = [
        "## A large view",
        "",
        f"{of.members:,} members, {of.servers:,} servers, {of.tools:,} tools, {of.grants:,} grants",
        f"and {of.credentials:,} credentials, compiled in a thread beside an event loop that ticks",
        "each millisecond. `control` is a thread of plain Python, for comparison.",
        "",
        "| change | compiled in | longest stall, median run | longest stall of all runs |",
        "|---|---:|---:|---:|",
    ]
    times = {"cold": view.cold_ms, **view.warm_ms}
    for name, stall in view.stall_ms.items():
        took = f"{times[name]:.1f} ms" if name in times else ""
        lines.append(
            f"| {name.replace('_', ' ')} | {took} | {stall.longest_of_median_run:.1f} ms"
            f" | {stall.longest:.1f} ms |"
        )
    lines += ["", f"Denying at once, before any compilation: {view.without_ms:.2f} ms.", ""]
    return lines
