"""Has a package laid out by whatever is called `npm`; run as a program, by whoever runs it."""

import asyncio
import sys
from pathlib import Path

from gatelodge.adapters.runtime.packages.npm import NpmInstaller
from gatelodge.adapters.runtime.packages.sandbox import ToolSandbox
from gatelodge.adapters.runtime.packages.workshop import BuildLimits
from gatelodge.adapters.runtime.process.uids import UidAllocator
from gatelodge.core.errors import HouseError
from gatelodge.core.hosting.source import read_source


async def build(place: Path, most: int = 1 << 30, seconds: float = 60.0) -> bytes:
    """The lock of a package, with `data` in the place as the gate's own directory."""
    data = place / "data"
    limits = BuildLimits(seconds=seconds, bytes=most)
    installer = NpmInstaller(data / "builds", limits, ToolSandbox(data, UidAllocator(310_000)))

    async def report(_stage: str) -> None:
        """Nobody waits for it."""

    async with installer.laid_out(read_source("npm:tool@1.0.0"), "", report) as package:
        return package.lock


if __name__ == "__main__":
    try:
        asyncio.run(build(Path(sys.argv[1])))
    except HouseError as failed:
        sys.stdout.write(failed.detail)
