"""What it costs the call path that people watch calls as they come.

One running gate is loaded in turns: with nobody watching, and with streams of the console open, all
of them read. Both stand next to each other in time, so what else runs on the machine counts for
both; what a call costs is processor time of the gate.
"""

import argparse
import http.client
import json
import os
import selectors
import shutil
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import Struct

from bench import BUILD, LOAD_CORE, ROOT, proc
from bench.run import Plan, Stretch, Stub, load, load_command
from bench.sections import write_section
from bench.targets.gatelodge import Gatelodge
from bench.targets.target import Place
from bench.wire import Refused, Shape

TITLE = "## Calls while people watch them"
OF_PERSON = 4
"""Streams that one person may have open."""
_ENOUGH = 65536


class Turn(Struct, frozen=True):
    """One stretch of load: with how many streams, calls a second, ms, and µs of the gate a call."""

    streams: int
    rps: float
    p50: float
    p99: float
    cpu_us: float


class Watchers:
    """Open streams of the console, whose events are read and counted."""

    def __init__(self) -> None:
        self.bytes = 0
        self.stopped = False
        self._selector = selectors.DefaultSelector()

    def open(self, port: int, cookie: str) -> None:
        """Open one stream; it was answered when this returns."""
        stream = socket.create_connection(("127.0.0.1", port), 10)
        head = f"GET /console/w/main/live/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        stream.sendall(f"{head}Cookie: {cookie}\r\n\r\n".encode())
        first = stream.recv(4096)
        if not first.startswith(b"HTTP/1.1 200"):
            raise Refused(first[:300].decode(errors="replace"))
        self._selector.register(stream, selectors.EVENT_READ)

    def read(self) -> None:
        """Read what comes, until stopped."""
        while not self.stopped:
            for key, _ in self._selector.select(0.1):
                self.bytes += len(key.fileobj.recv(_ENOUGH))  # type: ignore[union-attr]

    def close(self) -> None:
        """Close every stream."""
        for key in tuple(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()


class WatchedGate(Gatelodge):
    """A gate with people who may watch."""

    def sessions(self, count: int) -> list[str]:
        """The cookies of so many people's sessions."""
        found = []
        for number in range(count):
            email = f"watcher{number}@example.test"
            self._do("member", "add", email, "--role", "auditor")
            token = json.loads(self._do("token", "create", "--member", email, "--json"))["token"]
            link = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
            headers = {
                "Authorization": f"Bearer {token}",
                "Origin": f"http://127.0.0.1:{self._port}",
            }
            link.request("POST", "/console/session", b"", headers)
            answer = link.getresponse()
            if answer.status != 204:
                raise Refused(f"{answer.status}: {answer.read()[:300]!r}")
            found.append(str(answer.getheader("set-cookie")).partition(";")[0])
            link.close()
        return found


@contextmanager
def _watched(port: int, cookies: list[str]) -> Iterator[Watchers]:
    watchers = Watchers()
    for cookie in cookies:
        for _ in range(OF_PERSON):
            watchers.open(port, cookie)
    reader = threading.Thread(target=watchers.read)
    reader.start()
    try:
        yield watchers
    finally:
        watchers.stopped = True
        reader.join()
        watchers.close()


def _turn(gate: WatchedGate, shape: Shape, how: Stretch, streams: int, folder: Path) -> Turn:
    report, cpu = load(load_command(shape, how, folder), gate.pids())
    return Turn(
        streams,
        report["rps"],
        report["p50"] / 1000,
        report["p99"] / 1000,
        cpu / max(1.0, report["requests"]) * 1e6,
    )


def _measure(given: argparse.Namespace, folder: Path) -> tuple[list[Turn], int]:
    stub = Stub(folder, Plan())
    gate = WatchedGate("strict", "every record synced")
    turns: list[Turn] = []
    heard = 0
    with ExitStack() as stack:
        stack.callback(proc.stop, stub.process)
        gate.prepare(Place(folder, stub.port, "modern"))
        stack.callback(gate.stop)
        shape, _ = gate.start()
        cookies = gate.sessions(given.streams // OF_PERSON)
        how = Stretch(given.connections, 0.5, given.seconds)
        for _ in range(given.rounds):
            turns.append(_turn(gate, shape, how, 0, folder))
            with _watched(shape.port, cookies) as watchers:
                turns.append(_turn(gate, shape, how, given.streams, folder))
                heard += watchers.bytes
            print(*turns[-2:], sep="\n", flush=True)
    return turns, heard


def _row(name: str, turns: list[Turn]) -> str:
    def middle(what: str) -> float:
        return statistics.median(getattr(each, what) for each in turns)

    figures = f"{middle('rps'):,.0f} | {middle('p50'):.2f} | {middle('p99'):.2f}"
    return f"| {name} | {figures} | {middle('cpu_us'):.0f} |"


def measure_watching(words: list[str]) -> None:
    """Measure, and print the section or write it into the page."""
    parser = argparse.ArgumentParser(prog="bench watching")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    given = parser.parse_args(words)
    BUILD.mkdir(parents=True, exist_ok=True)
    os.sched_setaffinity(0, {LOAD_CORE})
    folder = Path(tempfile.mkdtemp(prefix="watching-", dir=BUILD))
    turns, heard = _measure(given, folder)
    shutil.rmtree(folder)
    quiet = [each for each in turns if not each.streams]
    busy = [each for each in turns if each.streams]
    # What the gate spent beyond the calls, a second: the calls cost what they cost unwatched.
    shares = [(b.cpu_us - q.cpu_us) * b.rps / 1e6 * 100 for q, b in zip(quiet, busy, strict=True)]
    told = (
        f"{given.connections} connections call one tool for {given.seconds:g} s at a time, in "
        f"{given.rounds} rounds: with nobody watching, then with {given.streams} streams of the "
        f"console open and read ({heard / 1024:,.0f} KiB of events). Medians. Watched, the gate "
        f"spent {statistics.median(shares):+.1f} % of a core beyond what the calls cost "
        f"({min(shares):+.1f} to {max(shares):+.1f} by round). The machine was busy with "
        "other work, so calls a second and milliseconds are noisy."
    )
    written = f"Written by `python -m bench watching --write` on {time.strftime('%Y-%m-%d')}."
    lines = [
        TITLE,
        f"{written} Do not edit.",
        told,
        "| watching | calls/s | p50 ms | p99 ms | µs of the gate a call |\n"
        "|---|---:|---:|---:|---:|\n"
        + _row("nobody", quiet)
        + "\n"
        + _row(f"{given.streams} streams", busy),
    ]
    section = "\n\n".join(lines) + "\n"
    if given.write:
        write_section(ROOT / "docs" / "performance.md", TITLE, section)
    print(section)
