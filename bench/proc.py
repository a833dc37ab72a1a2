"""Processes under measurement: started on one core, accounted as a tree, ended in order."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024


class Unready(Exception):
    """A process did not do what it was started for; the text is fit for the report."""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def compile_c(source: Path, into: Path) -> Path:
    """Give the program built from one C file; gcc is asked only when the source is newer."""
    program = into / source.stem
    parts = [source, *source.parent.glob("*.h")]
    if program.exists() and all(p.stat().st_mtime < program.stat().st_mtime for p in parts):
        return program
    into.mkdir(parents=True, exist_ok=True)
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-o", program, source], check=True)
    return program


def start(
    command: Sequence[str | Path],
    *,
    core: int,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process in a process group of its own, on one core."""
    with log.open("ab") as out:
        return subprocess.Popen(
            ["taskset", "-c", str(core), *map(str, command)],
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=None if env is None else {**os.environ, **env},
            cwd=cwd,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes], seconds: float = 10) -> None:
    """End a process: asked first, then told, then with its whole group."""
    for sign in (signal.SIGINT, signal.SIGTERM):
        if process.poll() is None:
            process.send_signal(sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
    # What a target left behind would take part of the next target's core.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def tree(pid: int) -> list[int]:
    """Give a process and all that stand below it, as far as they live now."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, task.read_text().split())
    return found


def cpu_seconds(pids: Sequence[int]) -> float:
    """Sum user and kernel time; that of children which ended and were waited for counts too."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            # the name may hold spaces, so the fields are counted from behind its bracket
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / TICKS


def pss_mib(pids: Sequence[int]) -> float:
    """Sum the proportional set sizes: a page shared by two processes counts once in all."""
    kib = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    kib += int(line.split()[1])
    return kib * 1024 / MIB


def wait_for_port(port: int, process: subprocess.Popen[bytes], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise Unready(f"ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.005)
    raise Unready(f"its port did not open in {seconds:.0f} s")
