"""Which of the two event loops a row of a contract is run on."""

from pathlib import Path
from typing import Any

import pytest


def leave_second_loop_to_weekly(
    items: list[pytest.Item], folder: Path, names: frozenset[str]
) -> None:
    """Have `make slow` run rows of these kinds on uvloop alone, which is the loop of the gate.

    What they do differently from the others happens in processes beside the loop.
    """
    for item in items:
        given = _parameters(item)
        if item.path.is_relative_to(folder) and "asyncio" in given and names & given:
            item.add_marker(pytest.mark.weekly)


def _parameters(item: Any) -> set[str]:
    call = getattr(item, "callspec", None)
    return (
        set() if call is None else {each for each in call.params.values() if isinstance(each, str)}
    )
