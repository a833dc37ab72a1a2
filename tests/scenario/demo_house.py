"""A house with the demo's fortnight of history, and a gate over it: nothing is fetched for it."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.gate import Gate

from gatelodge.app.demonstration.past import live_through
from gatelodge.config.schema import Settings


def lived(directory: Path) -> str:
    """Make the history there; the owner's token."""
    settings = Settings(data_dir=str(directory))
    # In a thread of its own: a browser's library has a loop running in this one.
    with ThreadPoolExecutor(1) as aside:
        return aside.submit(lambda: asyncio.run(live_through(settings))).result(120)


def gate_with_history(directory: Path, *sets: str) -> Gate:
    """A gate over a house that has it; its servers rest, as where none of them can be built."""
    gate = Gate(directory, *sets)
    gate.token = lived(directory)
    return gate
