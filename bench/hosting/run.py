"""Measures hosted servers.

python -m bench hosting [--starts 10] [--rounds 5] [--cold 4] [--write]
"""

import argparse
import asyncio
import datetime as dt
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import BUILD, LOAD_CORE, ROOT, machine, proc, wire
from bench.hosting.calls import CONNECTIONS, Burst, HostingGate
from bench.hosting.kinds import KINDS, HostedKind, image_of_server
from bench.hosting.report import HostingFigures, hosting_section, write_section
from bench.hosting.starts import starts

PAGE = ROOT / "docs" / "performance.md"
STORE = Path("starts", "state")
Calls = tuple[dict[str, list[Burst]], dict[str, list[float]]]


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench hosting")
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cold", type=int, default=4)
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    return parser.parse_args(words)


def _gates(
    folder: Path, caches: str, kinds: list[HostedKind], stack: ExitStack
) -> dict[str, HostingGate]:
    """Two gates, since one runs all its images with the runtime that its settings name."""
    by_kind: dict[str, HostingGate] = {}
    weak = [kind for kind in kinds if kind.runtime == "landlock"]
    for name, chosen in (("first", [k for k in kinds if k not in weak]), ("second", weak)):
        if not chosen:
            continue
        (folder / name).mkdir()
        gate = HostingGate(folder / name, caches, chosen)
        stack.callback(gate.stop)
        shutil.copytree(folder / STORE, gate.data)
        gate.set_up()
        by_kind |= {kind.name: gate for kind in chosen}
    return by_kind


def _calls(folder: Path, caches: str, kinds: list[HostedKind], given: argparse.Namespace) -> Calls:
    bursts: dict[str, list[Burst]] = {kind.name: [] for kind in kinds}
    cold: dict[str, list[float]] = {kind.name: [] for kind in kinds}
    with ExitStack() as stack:
        gates = _gates(folder, caches, kinds, stack)
        for number in range(given.rounds):
            for connections in CONNECTIONS:
                for kind in kinds if number % 2 else kinds[::-1]:
                    burst = gates[kind.name].burst(kind, connections)
                    bursts[kind.name].append(burst)
                    print(f"{kind.name} {burst}", flush=True)
        for _ in range(given.cold):
            for gate in set(gates.values()):
                gate.wait_until_idle()
            for kind in kinds:
                if kind.runtime:  # child processes are not ended for being idle
                    cold[kind.name].append(gates[kind.name].cold_call(kind))
    return bursts, cold


def measure_hosting(words: Sequence[str]) -> None:
    """Measure, print the section, and write it with --write."""
    given = _arguments(words)
    before, mine = os.getloadavg()[0], os.sched_getaffinity(0)
    BUILD.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="hosting-", dir=BUILD))
    # Where the uids of instances can pass.
    caches = tempfile.mkdtemp(prefix="gatelodge-bench-")
    Path(caches).chmod(0o711)
    absent = {k.name: why for k in KINDS if (why := k.absent()) is not None}
    kinds = [kind for kind in KINDS if kind.name not in absent]
    try:
        images, image = image_of_server(folder / STORE, caches)
        by_name = {kind.name: kind for kind in kinds}
        began = asyncio.run(starts(by_name, images, image, folder, given.starts))
        os.sched_setaffinity(0, {LOAD_CORE})
        bursts, cold = _calls(folder, caches, kinds, given)
    except (proc.Unready, wire.Refused) as error:
        sys.exit(f"bench hosting: {error}; see the logs in {folder}")
    finally:
        os.sched_setaffinity(0, mine)
        shutil.rmtree(caches, ignore_errors=True)
    found = HostingFigures(
        taken=dt.datetime.now(dt.UTC).date().isoformat(),
        machine=machine.describe(folder),
        loads=(before, os.getloadavg()[0]),
        kinds=KINDS,
        absent=absent,
        starts=began,
        bursts=bursts,
        cold=cold,
    )
    shutil.rmtree(folder)
    print(hosting_section(found))
    if given.write:
        write_section(PAGE, hosting_section(found))
