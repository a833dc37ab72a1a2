"""What can be seen from outside the gate: software, directory, disk, port."""

import os
import shutil
import socket
import sqlite3
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from gatelodge.cli.client import LocalSocket
from gatelodge.config.schema import Settings
from gatelodge.core.errors import HouseError
from gatelodge.core.hosting.facts import PROMISES, TIERS
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


def vault(state: dict[str, Any], workspace: str) -> Iterator[DoctorFinding]:
    """Whether the secrets of a workspace can be opened."""
    if not state["reached"]:
        yield DoctorFinding("vault", "wrong", state["detail"], state["remedy"])
    elif state["elsewhere"]:
        text = f"{state['elsewhere']} values of {workspace} are under a former root"
        remedy = f"Move them: gatelodge --workspace {workspace} secret rewrap"
        yield DoctorFinding("vault", "wrong", text, remedy)
    elif state["values"]:
        text = f"{state['values']} values of {workspace} are under {state['root']}"
        yield DoctorFinding("vault", "good", text)


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


def commands(settings: Settings) -> Iterator[DoctorFinding]:
    """How servers that are started from commands of this machine run."""
    hosting = settings.hosting
    if hosting.plain_commands == "sandbox":
        yield DoctorFinding("commands", "good", "run in a sandbox (see isolation weak)")
    elif hosting.production:
        yield DoctorFinding("commands", "good", "are refused (hosting.production)")
    elif os.geteuid() == 0:
        yield DoctorFinding("commands", "good", "run as child processes, each with its own uid")
    else:
        yield DoctorFinding(
            "commands",
            "note",
            "run as child processes under the gate's own uid",
            "Add only servers you trust, with --run-as gateway, or set hosting.plain_commands to "
            "sandbox.",
        )


def isolation(offers: Sequence[dict[str, Any]]) -> Iterator[DoctorFinding]:
    """What this machine can guarantee, tier by tier, and what to do about each gap.

    `offers` are those of the admin API, the preferred runtime first.
    """
    for tier in TIERS[1:]:
        able = next((each for each in offers if tier in each["tiers"]), None)
        if able is not None:
            version = f" ({able['version']})" if able["version"] else ""
            yield DoctorFinding(f"isolation {tier}", "good", f"{able['runtime']}{version}")
        else:
            said = f"nothing here keeps it; it promises {PROMISES[tier]}"
            yield DoctorFinding(f"isolation {tier}", "note", said)
    for each in offers:
        for gap in each["gaps"]:
            yield DoctorFinding(f"runtime {each['runtime']}", "note", gap["says"], gap["remedy"])


def builds(sandbox: dict[str, Any], settings: Settings) -> Iterator[DoctorFinding]:
    """Whether what fetches packages is kept apart from the gate; `sandbox` is of the admin API."""
    if sandbox["confined"]:
        yield DoctorFinding("builds", "good", "packages are fetched and prepared in a sandbox")
        return
    refused = settings.hosting.production
    what = "are refused" if refused else "are fetched as the gate's own user"
    says = f"packages {what}: {sandbox['says']}"
    yield DoctorFinding("builds", "wrong" if refused else "note", says, sandbox["remedy"])


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
