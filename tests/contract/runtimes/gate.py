"""A process that has a runtime start a guest, and waits to be killed."""

import asyncio
import os
import sys
from pathlib import Path

from tests.contract.runtimes.kinds import KINDS, PAUSES, spec

from gatelodge.config.schema import HostingSettings


async def main(kind: str, caches: str, script: str, *words: str) -> None:
    runtime = KINDS[kind].make(HostingSettings(stop_seconds=0.2), Path(caches))
    instance = await runtime.start(
        spec(kind, script, *words), asyncio.Protocol(), asyncio.Protocol()
    )
    if os.environ.get(PAUSES):
        gap = await instance.pause()
        assert gap is None, gap
    print("up", flush=True)  # noqa: T201 - the one line that the test reads
    await asyncio.sleep(600)


asyncio.run(main(*sys.argv[1:]))
