"""The runtimes that the contract holds for. A further backend is one more row of KINDS."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, structs
from tests.upstreams.pools import ROOT

from gatelodge.adapters.runtime.process.runtime import ProcessRuntime
from gatelodge.config.schema import HostingSettings
from gatelodge.ports.runtime import LaunchSpec, Runtime

PROGRAM = "/usr/bin/python3"
"""A Python that every kind can run; the guest needs the standard library only."""
GUEST = Path(__file__).parent / "guest.py"


class RuntimeKind(Struct, frozen=True):
    """How a runtime is made (from its settings and the folder of its caches), and what it promises.

    `isolation` is the pattern of what its instances say; `own_uids` = no two instances share one.
    """

    make: Callable[[HostingSettings, Path], Runtime]
    isolation: str
    own_uids: bool = False
    usable: bool = True


def _process(settings: HostingSettings, caches: Path) -> Runtime:
    return ProcessRuntime(settings, root=False, caches=caches)


def _process_with_uids(settings: HostingSettings, caches: Path) -> Runtime:
    settings = structs.replace(settings, first_uid=ROOT.first_uid)
    return ProcessRuntime(settings, root=True, caches=caches)


KINDS = {
    "process": RuntimeKind(_process, r"not isolated"),
    "process with uids": RuntimeKind(
        _process_with_uids, r"not isolated, uid \d+", own_uids=True, usable=os.geteuid() == 0
    ),
}


def spec(script: str, *words: str, **fields: object) -> LaunchSpec:
    """The guest in one of its ways; `words` stand in its arguments, where they can be found."""
    given = {"server": "srv_one", "env": {}, "command": (PROGRAM, script, *words), **fields}
    return LaunchSpec(**given)  # type: ignore[arg-type]


def marked(word: str) -> list[int]:
    """The processes of this machine that bear the word among their arguments."""
    return [pid for pid, words in arguments().items() if word.encode() in words.split(b"\0")]


def arguments() -> dict[int, bytes]:
    """The arguments of each process; none of a zombie, which runs no more."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                found[int(folder.name)] = (folder / "cmdline").read_bytes()
            except OSError:
                continue
    return found


def run_and_kill_gate(kind: str, *words: str, started: Callable[[], bool]) -> None:
    """Have a process of its own start a guest, and kill it once that has `started`."""
    command = (sys.executable, "-m", "tests.contract.runtimes.gate", kind, *words)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as gate:
        try:
            assert gate.stdout is not None
            assert gate.stdout.readline() == b"up\n"
            while not started():
                assert gate.poll() is None
        finally:
            gate.send_signal(signal.SIGKILL)
