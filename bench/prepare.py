"""Installs the peers, each in a virtual environment of its own. The only step that needs a network.

    python -m bench.prepare

What was installed, or why it could not be, is written beside the environment; a second run reads
that and is done. Delete `build/bench/peers` to try again.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from bench import BUILD

PEERS = BUILD / "peers"


class Peer(Struct, frozen=True):
    package: str
    least_python: tuple[int, int]

    @property
    def folder(self) -> Path:
        return PEERS / self.package

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def note(self) -> Path:
        return PEERS / f"{self.package}.json"


class Installed(Struct, frozen=True):
    version: str = ""
    missing: str | None = None  # why it is not here


FASTMCP = Peer("fastmcp", (3, 10))
CONTEXTFORGE = Peer("mcp-contextforge-gateway", (3, 12))


def installed(peer: Peer) -> Installed:
    if not peer.note.exists():
        return Installed(missing="not installed; run `python -m bench.prepare`")
    return msgspec.json.decode(peer.note.read_bytes(), type=Installed)


def _pythons() -> Iterator[Path]:
    yield Path(sys.executable)
    for name in ("python3.14", "python3.13", "python3.12"):
        if found := shutil.which(name):
            yield Path(found)
    for root in (Path.home() / ".pyenv/versions", Path.home() / ".local/share/uv/python"):
        yield from sorted(root.glob("*/bin/python3"))


def _python_for(peer: Peer) -> Path | None:
    ask = f"import sys; sys.exit(sys.version_info < {peer.least_python})"
    for python in _pythons():
        # A name on the PATH may be a shim that knows no such Python: it must answer.
        if not subprocess.run([python, "-c", ask], capture_output=True, check=False).returncode:
            return python
    return None


def _run(*command: str | Path) -> str | None:
    """Run a command; give the last line of its complaint, or None when it went well."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    said = (done.stderr or done.stdout).strip().splitlines()
    return (said[-1] if said else f"exit {done.returncode}") if done.returncode else None


def install(peer: Peer) -> Installed:
    """Install a peer's newest version, and give what came of it."""
    python = _python_for(peer)
    if python is None:
        least = ".".join(map(str, peer.least_python))
        return Installed(missing=f"needs Python {least} or newer, and this machine has none")
    shutil.rmtree(peer.folder, ignore_errors=True)
    if problem := _run(python, "-m", "venv", peer.folder):
        return Installed(missing=f"no virtual environment: {problem}")
    if problem := _run(peer.python, "-m", "pip", "install", "--quiet", peer.package):
        return Installed(missing=f"could not be installed: {problem}")
    ask = f"from importlib.metadata import version; print(version({peer.package!r}))"
    done = subprocess.run([peer.python, "-c", ask], capture_output=True, text=True, check=True)
    return Installed(version=done.stdout.strip())


def prepare() -> None:
    PEERS.mkdir(parents=True, exist_ok=True)
    for peer in (FASTMCP, CONTEXTFORGE):
        if not peer.note.exists():
            print(f"installing {peer.package}", flush=True)
            peer.note.write_bytes(msgspec.json.encode(install(peer)))
        now = installed(peer)
        print(f"{peer.package}: {now.missing or now.version}")


if __name__ == "__main__":
    prepare()
