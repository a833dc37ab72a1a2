"""Guardrails of all shapes, published in vain or not: measured, parsed and told in no time.

`python -m tests.fuzz.guardrails` runs for an hour, or for `GATELODGE_FUZZ_SECONDS`; a text that
brings the process down is the last one in the file that it names at its beginning.
"""

import random
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from tests.fuzz.guardrail_texts import any_text
from tests.fuzz.oracles import STALL, from_terminal, rss_mib, stood_still

from gatelodge.core.errors import Invalid
from gatelodge.core.policy.guardrails import validate

KEPT_MIB = 200


def fuzz(seconds: float, seed: int, last: Path | None = None) -> list[str]:
    """Run for so long; what was found, each with the seed that finds it again."""
    ends, number, found, held = time.monotonic() + seconds, 0, [], rss_mib()
    while time.monotonic() < ends and len(found) < 5:
        number += 1
        text = any_text(random.Random(f"{seed}:{number}"))
        if last is not None:
            last.write_text(text)
        with stood_still() as took:
            try:
                validate(text)
            except Invalid:
                pass
            except Exception as error:  # noqa: BLE001 - that is what is looked for
                found.append(f"seed {seed}:{number}: {error!r}"[:200])
        if took[0] > STALL:
            found.append(f"seed {seed}:{number}: took {took[0] * 1000:.0f} ms")
        if number % 50 == 0 and rss_mib() > held + KEPT_MIB:
            found.append(f"seed {seed}:{number}: {rss_mib() - held:.0f} MiB are kept")
    return found


if __name__ == "__main__":
    LAST = Path(tempfile.mkdtemp()) / "guardrail.cedar"
    sys.stdout.write(f"the text at hand is in {LAST}\n")
    from_terminal(partial(fuzz, last=LAST))
