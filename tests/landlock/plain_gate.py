"""A gate of any uid, which has one prober try things. `plain_gate.py CACHES HIDDEN COMMAND...`.

It reads attempts from its standard input, one JSON list, and writes what came of them, with the
facts and the pid; whoever runs it chooses the uid.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

import msgspec

from gatelodge.adapters.runtime.landlock.runtime import LandlockRuntime
from gatelodge.adapters.runtime.process.uids import UidAllocator
from gatelodge.config.schema import HostingSettings
from gatelodge.core.errors import HouseError
from gatelodge.ports.runtime import LaunchSpec


class Answers(asyncio.Protocol):
    """Its output, until a whole line is there."""

    def __init__(self):
        self.data = b""
        self.whole = asyncio.Event()

    def data_received(self, data):
        self.data += data
        if data.endswith(b"\n"):
            self.whole.set()

    def connection_lost(self, exc):
        self.whole.set()


async def main(caches, hidden, *command):
    asked = sys.stdin.readline().encode()
    settings = HostingSettings(stop_seconds=0.2)
    runtime = LandlockRuntime(
        settings,
        uids=UidAllocator(settings.first_uid) if os.geteuid() == 0 else None,
        caches=Path(caches),
        hidden=(Path(hidden),),
    )
    output, errors = Answers(), Answers()
    spec = LaunchSpec(server="srv_one", command=command, env={"TOKEN": "canary"}, tier="weak")
    instance = await runtime.start(spec, output, errors)
    try:
        instance.write(asked)
        await asyncio.wait_for(output.whole.wait(), 60)
    finally:
        await instance.stop(0.2)
        await runtime.close()
    sys.stderr.write(errors.data.decode(errors="replace"))
    facts = msgspec.to_builtins(instance.facts)
    print(json.dumps({"answers": json.loads(output.data), "facts": facts}))  # noqa: T201 - to the test


try:
    asyncio.run(main(*sys.argv[1:]))
except HouseError as refused:
    sys.exit(f"{refused.detail} {refused.remedy}")
