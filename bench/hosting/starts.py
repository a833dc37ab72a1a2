"""From the start to the first answer, and what an instance then takes; no gate is in between."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from bench import proc
from bench.hosting.kinds import PYTHON, SERVER, HostedKind
from gatelodge.adapters.images.store import OciImageStore
from gatelodge.ports.runtime import LaunchSpec, Runtime

HELLO = b'{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{}}\n'
ANSWER_SECONDS = 30


class OneStart(Struct, frozen=True):
    """Milliseconds until the answer; MiB as the processes say, and as their control group does."""

    ms: float
    pss_mib: float
    group_mib: float


class _FirstLine(asyncio.Protocol):
    def __init__(self) -> None:
        self.heard = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        if b"\n" in data and not self.heard.done():
            self.heard.set_result(None)

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.heard.done():
            self.heard.set_exception(proc.Unready("it ended before it answered"))


async def _one_start(runtime: Runtime, kind: HostedKind, image: str) -> OneStart:
    command = () if kind.runtime else (PYTHON, str(SERVER))
    spec = LaunchSpec(
        server="srv_bench",
        command=command,
        env={},
        own_uid=bool(kind.runtime),
        image=image if kind.runtime else "",
        tier=kind.tier,
    )
    output, began = _FirstLine(), time.monotonic()
    instance = await runtime.start(spec, output, asyncio.Protocol())
    try:
        instance.write(HELLO)
        await asyncio.wait_for(output.heard, ANSWER_SECONDS)
        took = (time.monotonic() - began) * 1000
        stats = await instance.stats()
        pss = proc.pss_mib(proc.tree(instance.pid))
        return OneStart(took, pss, stats.memory_bytes / proc.MIB)
    finally:
        await instance.stop(0.5)


async def _bare_start() -> OneStart:
    """Without anything of the gate's: what the program itself takes."""
    began = time.monotonic()
    pipe = asyncio.subprocess.PIPE
    bare = await asyncio.create_subprocess_exec(PYTHON, str(SERVER), stdin=pipe, stdout=pipe)
    assert bare.stdin is not None
    assert bare.stdout is not None
    bare.stdin.write(HELLO)
    await asyncio.wait_for(bare.stdout.readline(), ANSWER_SECONDS)
    took = (time.monotonic() - began) * 1000
    pss = proc.pss_mib([bare.pid])
    bare.stdin.close()
    await bare.wait()
    return OneStart(took, pss, 0)


async def starts(
    kinds: Mapping[str, HostedKind], images: OciImageStore, image: str, folder: Path, rounds: int
) -> dict[str, list[OneStart]]:
    """Start each in turn, again and again; the first round warms the caches and counts for none."""
    runtimes = {name: kind.made(images, folder) for name, kind in kinds.items()}
    found: dict[str, list[OneStart]] = {name: [] for name in ("bare", *kinds)}
    try:
        for number in range(rounds + 1):
            seen = {"bare": await _bare_start()}
            for name, kind in kinds.items():
                seen[name] = await _one_start(runtimes[name], kind, image)
            if number:
                for name, one in seen.items():
                    found[name].append(one)
    finally:
        for runtime in runtimes.values():
            await runtime.close()
    return found
