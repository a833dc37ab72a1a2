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
from gatelodge.core.errors import HouseError
from gatelodge.core.http.authority import bracketed

_PYTHON = (3, 11)
_SQLITE = (3, 35)
"""RETURNING is used."""
_LOW = 1024**3
_EMPTY = 128 * 1024**2


class DoctorFinding(Struct, frozen=True):
    """One thing that was looked at; `note` = works, but worth knowing."""

    check: str
    state: Literal["good", "note", "wrong"]
    says: str
    remedy: str = ""


def software() -> Iterator[DoctorFinding]:
    """Versions of what we stand on."""
    have = sys.version_info[:2]
    python = f"{have[0]}.{have[1]}"
    if have >= _PYTHON:
        yield DoctorFinding("python", "good", python)
    else:
        yield DoctorFinding("python", "wrong", python, "Install Python 3.11 or later.")
    if sqlite3.sqlite_version_info >= _SQLITE:
        yield DoctorFinding("sqlite", "good", sqlite3.sqlite_version)
    else:
        yield DoctorFinding(
            "sqlite", "wrong", sqlite3.sqlite_version, "Use a Python with SQLite 3.35 or later."
        )


def traces(settings: Settings) -> Iterator[DoctorFinding]:
    """Whether traces can be sent, where they are asked for."""
    if not settings.telemetry.traces_endpoint:
        return
    from gatelodge.adapters.keys.secret_refs import SecretRefs
    from gatelodge.adapters.telemetry.tracing import can_trace

    try:
        can_trace(settings.telemetry, SecretRefs())
    except HouseError as fault:
        yield DoctorFinding("traces", "wrong", fault.detail, fault.remedy)
    else:
        yield DoctorFinding("traces", "good", f"are sent to {settings.telemetry.traces_endpoint}")


def directory(settings: Settings) -> Iterator[DoctorFinding]:
    """The data directory: there, ours, closed to others, on a disk with room."""
    path = Path(settings.data_dir)
    try:
        about = path.stat()
    except FileNotFoundError:
        yield DoctorFinding(
            "data directory", "note", f"{path} is not there; the first start makes it"
        )
        return
    except OSError as fault:
        yield DoctorFinding(
            "data directory",
            "wrong",
            f"{path} cannot be looked at ({fault.strerror})",
            "Run as the account that owns it, or choose another --data-dir.",
        )
        return
    wrong = list(_faults_of_directory(path, about))
    yield from wrong or [DoctorFinding("data directory", "good", str(path))]
    free = shutil.disk_usage(path).free
    says = f"{free // 1024**2} MiB are free"
    if free < _EMPTY:
        yield DoctorFinding("disk", "wrong", says, "Make room: without it every call is refused.")
    elif free < _LOW:
        yield DoctorFinding("disk", "note", says, "Make room soon; records need it.")
    else:
        yield DoctorFinding("disk", "good", says)


def _faults_of_directory(path: Path, about: os.stat_result) -> Iterator[DoctorFinding]:
    if not stat.S_ISDIR(about.st_mode):
        yield DoctorFinding(
            "data directory", "wrong", f"{path} is no directory", "Choose another --data-dir."
        )
        return
    if about.st_uid != os.geteuid():
        yield DoctorFinding(
            "data directory",
            "wrong",
            f"{path} belongs to uid {about.st_uid}, this is uid {os.geteuid()}",
            "Run as the account that owns it.",
        )
    # The keys stand by themselves too: they may be a mount of their own.
    for each in (path, path / "keys"):
        if _open_to_others(each):
            yield DoctorFinding(
                "data directory", "wrong", f"{each} is open to others", f"Run: chmod 700 {each}"
            )


def uid() -> Iterator[DoctorFinding]:
    """Whether stdio servers can get a uid of their own."""
    if os.geteuid() == 0:
        yield DoctorFinding("isolation", "good", "each stdio server can get a uid of its own")
    else:
        yield DoctorFinding(
            "isolation",
            "note",
            "stdio servers can only run under the gate's own uid",
            "They are not isolated: add only servers you trust, with --run-as gateway.",
        )


def running(settings: Settings) -> bool:
    """Say whether a node runs on this data directory. Raises GateUnreachable."""
    return LocalSocket.found(settings) is not None


def port(settings: Settings, *, running: bool) -> Iterator[DoctorFinding]:
    """Whether the public port is ours or free."""
    listen = settings.listen
    place = f"{bracketed(listen.host)}:{listen.port}"
    # The port is taken then, by the gate itself.
    if running:
        yield DoctorFinding("port", "good", "a node runs on this data directory")
        return
    if listen.port == 0:
        yield DoctorFinding("port", "good", "any free one is taken")
        return
    try:
        family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As the gate does: connections of its last run that linger keep no port from it.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((listen.host, listen.port))
    # A name that is none is a TypeError or a ValueError to Python.
    except (OSError, TypeError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "this is no name of a host"
        yield DoctorFinding(
            "port",
            "wrong",
            f"{place} cannot be taken ({why})",
            "Stop what listens there, or choose another: gatelodge up --port N",
        )
    else:
        yield DoctorFinding("port", "good", f"{place} is free; no node runs")


def _open_to_others(path: Path) -> bool:
    try:
        return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)
    # Not there yet, or closed to this account too, which is told by whose the directory is.
    except (FileNotFoundError, PermissionError):
        return False
