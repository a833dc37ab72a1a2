"""Guardrails of all shapes, published in vain or not: measured, parsed and told in no time.

`python -m tests.fuzz.guardrails` runs for an hour, or for `GATELODGE_FUZZ_SECONDS`; a text that
brings the process down is the last one in the file that it names at its beginning.
"""

import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import cedarpy
from tests.fuzz.guardrail_texts import any_text
from tests.fuzz.oracles import STALL, Stall, finds, from_terminal, stood_still

from gatelodge.core.errors import Invalid
from gatelodge.core.policy import guardrails
from gatelodge.core.policy.guardrails import validate

KEPT_MIB = 200
LONGEST_SECONDS = 0.4
"""Of the thread that publishes it: Cedar tells each fault of a text, for each kind of request."""


async def visit(dice: random.Random, last: Path | None = None) -> list[str]:
    """One text; what was wrong."""
    text = any_text(dice)
    if last is not None:
        last.write_text(text)  # noqa: ASYNC240 - nothing else runs
    faults: list[str] = []
    with timed_beside_others() as beside, stood_still() as took:
        try:
            validate(text)
        except Invalid:
            pass
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            faults.append(repr(error)[:200])
    if took[0] - sum(beside) > STALL:
        faults.append(Stall(f"held the interpreter for {(took[0] - sum(beside)) * 1000:.0f} ms"))
    if took[0] > LONGEST_SECONDS:
        faults.append(Stall(f"took {took[0] * 1000:.0f} ms"))
    return faults


@contextlib.contextmanager
def timed_beside_others() -> Iterator[list[float]]:
    """Processor seconds of each call of Cedar that lets other threads run meanwhile."""
    took: list[float] = []

    def timed(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any, release_gil: bool = False) -> Any:
            before = time.thread_time()
            try:
                return call(*given, release_gil=release_gil)
            finally:
                took.extend([time.thread_time() - before] * release_gil)

        return run

    parse, real = timed(cedarpy.PolicySet.from_str), cedarpy.validate_policies
    watched = {
        **vars(cedarpy),
        "PolicySet": SimpleNamespace(from_str=parse),
        "validate_policies": timed(real),
    }
    with patch.object(guardrails, "cedarpy", SimpleNamespace(**watched)):
        yield took


async def fuzz(seconds: float, seed: int, last: Path | None = None) -> list[str]:
    """Run for so long; what was found, each with the seed that finds it again."""
    return await finds(seconds, seed, partial(visit, last=last), KEPT_MIB)


if __name__ == "__main__":
    LAST = Path(tempfile.mkdtemp()) / "guardrail.cedar"
    sys.stdout.write(f"the text at hand is in {LAST}\n")
    from_terminal(partial(fuzz, last=LAST))
