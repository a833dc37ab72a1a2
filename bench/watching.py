"""What it costs the call path that people watch calls as they come, and read pages of the console.

One running gate is loaded in turns: with nobody there, with streams of the console open, all of
them read, and with people who open its pages. They stand next to each other in time, so what else
runs on the machine counts for all; what a call costs is processor time of the gate.
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
from bench.reading import PageReader
from bench.run import Plan, Stretch, Stub, load, load_command
from bench.sections import write_section
from bench.targets.gatelodge import Gatelodge
from bench.targets.target import Place
from bench.wire import Refused, Shape

TITLE = "## Calls while people use the console"
OF_PERSON = 4
"""Streams that one person may have open."""
_ENOUGH = 65536


class Turn(Struct, frozen=True):
    """One stretch of load: who else was there, calls a second, ms, and µs of the gate a call."""

    beside: str
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


@contextmanager
def _read(port: int, cookies: list[str], pause: float) -> Iterator[list[PageReader]]:
    readers = [PageReader(port, cookie, pause) for cookie in cookies]
    for each in readers:
        each.start()
    try:
        yield readers
    finally:
        for each in readers:
            each.stop()


def _turn(gate: WatchedGate, shape: Shape, how: Stretch, beside: str, folder: Path) -> Turn:
    report, cpu = load(load_command(shape, how, folder), gate.pids())
    return Turn(
        beside,
        report["rps"],
        report["p50"] / 1000,
        report["p99"] / 1000,
        cpu / max(1.0, report["requests"]) * 1e6,
    )


class Measured(Struct):
    """Every turn, the bytes of events that came, and how long each page took, in ms."""

    turns: list[Turn]
    heard: int
    pages: list[float]


def _measure(given: argparse.Namespace, folder: Path) -> Measured:
    stub = Stub(folder, Plan())
    gate = WatchedGate("strict", "every record synced")
    found = Measured([], 0, [])
    with ExitStack() as stack:
        stack.callback(proc.stop, stub.process)
        gate.prepare(Place(folder, stub.port, "modern"))
        stack.callback(gate.stop)
        shape, _ = gate.start()
        cookies = gate.sessions(given.streams // OF_PERSON)
        how = Stretch(given.connections, 0.5, given.seconds)
        for _ in range(given.rounds):
            found.turns.append(_turn(gate, shape, how, "nobody", folder))
            with _watched(shape.port, cookies) as watchers:
                found.turns.append(_turn(gate, shape, how, "streams", folder))
                found.heard += watchers.bytes
            with _read(shape.port, cookies, given.pause) as readers:
                found.turns.append(_turn(gate, shape, how, "pages", folder))
            found.pages += [took for each in readers for took in each.times]
            print(*found.turns[-3:], sep="\n", flush=True)
    return found


def _beyond(found: Measured, beside: str) -> str:
    """What the gate spent beyond the calls, a second: the calls cost what they cost alone."""
    alone = [each for each in found.turns if each.beside == "nobody"]
    busy = [each for each in found.turns if each.beside == beside]
    shares = [(b.cpu_us - a.cpu_us) * b.rps / 1e6 * 100 for a, b in zip(alone, busy, strict=True)]
    middle = statistics.median(shares)
    return f"{middle:+.1f} % of a core ({min(shares):+.1f} to {max(shares):+.1f} by round)"


def _row(name: str, turns: list[Turn]) -> str:
    def middle(what: str) -> float:
        return statistics.median(getattr(each, what) for each in turns)

    figures = f"{middle('rps'):,.0f} | {middle('p50'):.2f} | {middle('p99'):.2f}"
    return f"| {name} | {figures} | {middle('cpu_us'):.0f} |"


def _section(given: argparse.Namespace, found: Measured) -> str:
    people = given.streams // OF_PERSON
    told = (
        f"{given.connections} connections call one tool for {given.seconds:g} s at a time, in "
        f"{given.rounds} rounds: alone; with {given.streams} streams of the console open and read "
        f"({found.heard / 1024:,.0f} KiB of events); and with {people} people who open a page each "
        f"every {given.pause:g} s: overview, audit, access, members, servers, changes, unused, "
        f"logs ({len(found.pages):,} pages, median {statistics.median(found.pages):.0f} ms, "
        f"longest {max(found.pages):.0f} ms beside that load). Medians. Beyond what the calls cost "
        f"the gate spent {_beyond(found, 'streams')} for the streams and "
        f"{_beyond(found, 'pages')} for the pages."
    )
    written = f"Written by `python -m bench watching --write` on {time.strftime('%Y-%m-%d')}."
    rows = {
        "nobody": "nobody",
        "streams": f"{given.streams} streams",
        "pages": f"{people} people reading pages",
    }
    table = "\n".join(
        _row(name, [each for each in found.turns if each.beside == beside])
        for beside, name in rows.items()
    )
    head = (
        "| beside | calls/s | p50 ms | p99 ms | µs of the gate a call |\n|---|---:|---:|---:|---:|"
    )
    return "\n\n".join([TITLE, f"{written} Do not edit.", told, f"{head}\n{table}"]) + "\n"


def measure_watching(words: list[str]) -> None:
    """Measure, and print the section or write it into the page."""
    parser = argparse.ArgumentParser(prog="bench watching")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--pause", type=float, default=1, help="s from page to page of a person")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    given = parser.parse_args(words)
    BUILD.mkdir(parents=True, exist_ok=True)
    os.sched_setaffinity(0, {LOAD_CORE})
    folder = Path(tempfile.mkdtemp(prefix="watching-", dir=BUILD))
    found = _measure(given, folder)
    shutil.rmtree(folder)
    section = _section(given, found)
    if given.write:
        write_section(ROOT / "docs" / "performance.md", TITLE, section)
    print(section)
