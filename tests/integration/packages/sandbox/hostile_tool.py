#!/usr/bin/python3 -I
"""A tool of builds that turned against the gate: tries what its first word names, and tells of it.

It is copied to a place of its own and called `npm`. What it got is told on standard error, where
the gate looks for complaints, and its status says that it failed.
"""

import contextlib
import json
import mmap
import os
import signal
import socket
import sys
import time
from pathlib import Path

SETTINGS = "npm_config_userconfig"
TARGETS = json.loads(Path(os.environ["NODE_EXTRA_CA_CERTS"]).read_text())


def reach() -> dict[str, object]:
    """What of the gate and of the machine it can get at."""
    attempts = {
        "data": lambda: Path(TARGETS["secret"]).read_text(),
        "listing": lambda: _listed(Path(TARGETS["secret"]).parent).index("key"),
        "home": lambda: _listed(Path(TARGETS["home"])),
        "root": lambda: _listed(Path("/")),
        "environment": lambda: os.environ["GATE_SECRET"],
        "environ_of_other": lambda: Path(f"/proc/{TARGETS['victim']}/environ").read_bytes()[0],
        "signal_to_other": lambda: os.kill(TARGETS["victim"], 0),
        "socket_file": lambda: _connect_unix(TARGETS["socket"]),
        "write_system": lambda: Path("/usr/written-by-build").write_text("x"),
        "run_written": _run_written,
        "listen": lambda: socket.create_server(("127.0.0.1", 0)),
        "index": lambda: socket.create_connection(("127.0.0.1", TARGETS["port"]), 5).close(),
    }
    reached = []
    for name, attempt in attempts.items():
        with contextlib.suppress(Exception):
            attempt()
            reached.append(name)
    status = Path("/proc/self/status").read_text()
    caps = {line.split()[1] for line in status.splitlines() if line.startswith("Cap")}
    return {
        "reached": reached,
        "uid": os.getuid(),
        "capabilities": sorted(int(each, 16) for each in caps),
        "variables": sorted(name for name in os.environ if not name.startswith("npm_config_")),
        "words": sys.argv,
        "settings": Path(os.environ.get(SETTINGS, "/dev/null")).read_text(),
    }


def tell(what: object) -> None:
    """Say it where the gate looks for complaints."""
    sys.stderr.write(f"TOLD {json.dumps(what)}\n")


def _listed(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


def _connect_unix(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as plug:
        plug.connect(path)


def _run_written() -> None:
    place = Path("run-me")
    place.write_text("#!/bin/sh\nexit 7\n")
    place.chmod(0o755)
    assert os.waitstatus_to_exitcode(os.spawnv(os.P_WAIT, "./run-me", ["run-me"]) << 8) == 7


def leave() -> None:
    """Leave a process behind, in a session of its own, that holds the streams."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.execv("/bin/sleep", [TARGETS["mark"], "1000"])
        os._exit(0)
    os.wait()


def fork_on() -> int:
    """Have as many processes as it gets."""
    made = 0
    with contextlib.suppress(OSError):
        while made < 20_000:
            if os.fork() == 0:
                signal.pause()
            made += 1
    return made


def take_memory() -> int:
    """Have as much memory as it gets, in pieces of 64 MiB, which it never touches."""
    held = []
    with contextlib.suppress(OSError):
        while len(held) < 1000:
            private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
            held.append(mmap.mmap(-1, 64 << 20, flags=private))
    return len(held)


def fill(many: bool) -> None:
    """Write on, into one file or into many."""
    number = 0
    while True:
        number += 1
        with Path(f"filler-{number if many else 0}").open("ab") as file:
            file.write(bytes(1 << 20))
        time.sleep(0.002)


def main() -> None:
    way = TARGETS["way"]
    if way == "reach":
        tell(reach())
    elif way == "leave":
        leave()
    elif way == "fork":
        tell(fork_on())
    elif way == "hang":
        with socket.create_connection(("127.0.0.1", TARGETS["port"])):
            signal.pause()
    elif way == "memory":
        tell(take_memory())
    elif way in ("one file", "many files"):
        fill(way == "many files")
    elif way == "lock":
        Path("app/package-lock.json").symlink_to(TARGETS["secret"])
        sys.exit(0)
    elif way == "folder":
        Path("app/package-lock.json").write_text('{"packages": {}}')
        Path("app/node_modules").symlink_to(TARGETS["home"])
        sys.exit(0)
    elif way == "pipe":
        os.mkfifo("app/package-lock.json")
        sys.exit(0)
    sys.exit(1)


if __name__ == "__main__":
    main()
