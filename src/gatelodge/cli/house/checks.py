"""What can be seen from outside the gate: software, directory, disk, port."""

import os
import shutil
import socket
import sqlite3
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from gatelodge.cli.client import LocalSocket
from gatelodge.config.schema import Settings

_PYTHON = (3, 11)
_SQLITE = (3, 35)
"""RETURNING is used."""
_LOW = 1024**3
_EMPTY = 128 * 1024**2


class Finding(Struct, frozen=True):
    """One thing that was looked at; `note` = works, but worth knowing."""

    check: str
    state: Literal["good", "note", "wrong"]
    says: str
    remedy: str = ""


def software() -> Iterator[Finding]:
    """Versions of what we stand on."""
    have = sys.version_info[:2]
    python = f"{have[0]}.{have[1]}"
    if have >= _PYTHON:
        yield Finding("python", "good", python)
    else:
        yield Finding("python", "wrong", python, "Install Python 3.11 or later.")
    if sqlite3.sqlite_version_info >= _SQLITE:
        yield Finding("sqlite", "good", sqlite3.sqlite_version)
    else:
        yield Finding(
            "sqlite", "wrong", sqlite3.sqlite_version, "Use a Python with SQLite 3.35 or later."
        )


def directory(settings: Settings) -> Iterator[Finding]:
    """The data directory: there, ours, closed to others, on a disk with room."""
    path = Path(settings.data_dir)
    if not path.exists():
        yield Finding("data directory", "note", f"{path} is not there; the first start makes it")
        return
    about = path.stat()
    if about.st_uid != os.geteuid():
        yield Finding(
            "data directory",
            "wrong",
            f"{path} belongs to uid {about.st_uid}, this is uid {os.geteuid()}",
            "Run as the account that owns it.",
        )
    open_to_others = [each for each in (path, path / "keys") if _open_to_others(each)]
    for each in open_to_others:
        yield Finding(
            "data directory", "wrong", f"{each} is open to others", f"Run: chmod 700 {each}"
        )
    if not open_to_others:
        yield Finding("data directory", "good", str(path))
    free = shutil.disk_usage(path).free
    says = f"{free // 1024**2} MiB are free"
    if free < _EMPTY:
        yield Finding("disk", "wrong", says, "Make room: without it every call is refused.")
    elif free < _LOW:
        yield Finding("disk", "note", says, "Make room soon; records need it.")
    else:
        yield Finding("disk", "good", says)


def uid() -> Iterator[Finding]:
    """Whether stdio servers can get a uid of their own."""
    if os.geteuid() == 0:
        yield Finding("isolation", "good", "each stdio server can get a uid of its own")
    else:
        yield Finding(
            "isolation",
            "note",
            "stdio servers can only run under the gate's own uid",
            "They are not isolated: add only servers you trust, with --run-as gateway.",
        )


def running(settings: Settings) -> bool:
    """Say whether a node runs on this data directory. Raises GateUnreachable."""
    return LocalSocket.found(settings) is not None


def port(settings: Settings, *, running: bool) -> Iterator[Finding]:
    """Whether the public port is ours or free."""
    listen = settings.listen
    place = f"{listen.host}:{listen.port}"
    if running:
        yield Finding("port", "good", "a node runs on this data directory")
        return
    if listen.port == 0:
        yield Finding("port", "good", "any free one is taken")
        return
    try:
        family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((listen.host, listen.port))
    except OSError as error:
        yield Finding(
            "port",
            "wrong",
            f"{place} cannot be taken ({error.strerror})",
            "Stop what listens there, or choose another: gatelodge up --port N",
        )
    else:
        yield Finding("port", "good", f"{place} is free; no node runs")


def _open_to_others(path: Path) -> bool:
    try:
        return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)
    except FileNotFoundError:
        return False
