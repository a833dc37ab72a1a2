"""The figures of the second bench, `bench/view.py`, which leaves them in a JSON file."""

from pathlib import Path

import msgspec
from msgspec import Struct


class ViewFigures(Struct, frozen=True):
    """What compiling and swapping a large view costs."""

    members: int
    servers: int
    tools: int
    compile_ms: float
    largest_stall_ms: float  # of an event loop that serves calls, while views are swapped
    swaps: int


def read_view(file: Path) -> ViewFigures | None:
    """Give the figures, or None when that bench has not run."""
    if not file.exists():
        return None
    return msgspec.json.decode(file.read_bytes(), type=ViewFigures)


def section(view: ViewFigures | None) -> list[str]:
    if view is None:
        return []
    return [
        "## A large view",
        "",
        f"{view.members:,} members, {view.servers:,} servers, {view.tools:,} tools.",
        "",
        "| figure | measured |",
        "|---|---:|",
        f"| compiling the whole view | {view.compile_ms:.1f} ms |",
        f"| largest stall of the loop in {view.swaps} swaps | {view.largest_stall_ms:.1f} ms |",
        "",
    ]
