"""Whether another uid could run a program, told before it is tried.

A child that dies with "permission denied" before its first word tells an admin nothing. So the
path is walked first, link by link, by mode bits; what only the kernel knows (ACLs, mount options)
is left to the kernel.
"""

import os
import stat
from pathlib import Path

from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.ports.runtime import LaunchSpec

PATH = "/usr/local/bin:/usr/bin:/bin"
MEND_OWN = 'Set run_as = "gateway" for this server, or install it where every uid can read it.'
_MEND_PATH = (
    "Name the program by its whole path, or add its directory to hosting.path; "
    "to correct the command: gatelodge server edit ALIAS -- CMD ARGS..."
)
_MEND_CWD = "Make the directory, or name another: gatelodge server edit ALIAS --cwd DIR"
_MOST_LINKS = 40
_READ, _RUN = 4, 1


def find_runnable(spec: LaunchSpec, path: str, uid: int, gid: int) -> str:
    """The file of the program that a spec means. Raises UpstreamUnreachable when it cannot run."""
    path = spec.env.get("PATH", path)
    if spec.cwd and not Path(spec.cwd).is_dir():
        text = f"The directory {spec.cwd!r}, where the server shall start, is not there."
        raise UpstreamUnreachable(text, remedy=_MEND_CWD)
    program = find_program(spec.command[0], path, spec.cwd or "/nonexistent")
    if not program:
        text = f"The program {spec.command[0]!r} was not found on {path}."
        raise UpstreamUnreachable(text, remedy=_MEND_PATH)
    if uid:
        at = barred(program, path, uid, gid)
        if at:
            text = f"The program {program!r} cannot be run by the server's own uid: {at!r} bars it."
            raise UpstreamUnreachable(text, remedy=MEND_OWN)
    return program


def find_program(name: str, path: str, cwd: str) -> str:
    """The file that a command's first word means, "" when there is none."""
    if "/" in name:
        whole = name if name.startswith("/") else f"{cwd}/{name}"
        return whole if Path(whole).is_file() else ""
    for folder in path.split(":"):
        candidate = f"{folder}/{name}"
        if folder and os.access(candidate, os.X_OK) and Path(candidate).is_file():
            return candidate
    return ""


def barred(program: str, path: str, uid: int, gid: int = -1) -> str:
    """The first path that keeps `uid` from running `program`, "" when nothing does.

    Its only group is `gid`, by default the one with the uid's number.
    Follows symbolic links and, for a script, its interpreter, which is where a virtual
    environment in somebody's home directory usually ends.
    """
    who = (uid, uid if gid < 0 else gid)
    seen: set[str] = set()
    while program and program not in seen:
        seen.add(program)
        at = _barred_at(program, who)
        if at:
            return at
        program = interpreter_of_script(program, path)
    return ""


def _barred_at(program: str, who: tuple[int, int], links: int = 0) -> str:
    """Walk from the root: each folder must let the uid pass, and the file must let it run."""
    at, parts = Path("/"), Path(program).parts[1:]
    for number, part in enumerate(parts, 1):
        if part == "..":
            at = at.parent
            continue
        here = at / part
        try:
            status = here.lstat()
            if stat.S_ISLNK(status.st_mode):
                if links == _MOST_LINKS:
                    return str(here)
                target = at.joinpath(here.readlink(), *parts[number:])
                return _barred_at(str(target), who, links + 1)
        except OSError:
            return str(here)
        # A script is read by its interpreter, which runs as the same uid.
        folder = stat.S_ISDIR(status.st_mode)
        need = _RUN if folder or not _script_words(str(here)) else _READ | _RUN
        if not _has_mode_bits(status, who, need):
            return str(here)
        at = here
    return ""


def _has_mode_bits(status: os.stat_result, who: tuple[int, int], need: int) -> bool:
    """Mode bits for a uid and its only group."""
    if status.st_uid == who[0]:
        have = status.st_mode >> 6
    elif status.st_gid == who[1]:
        have = status.st_mode >> 3
    else:
        have = status.st_mode
    return have & need == need


def interpreter_of_script(program: str, path: str) -> str:
    """The interpreter of a script, "" for anything else; `env NAME` is looked up on the path."""
    names = _script_words(program)
    if names and names[0].endswith("/env"):
        named = [name for name in names[1:] if not name.startswith("-") and "=" not in name]
        return find_program(named[0], path, "/") if named else ""
    return names[0] if names else ""


def _script_words(program: str) -> list[str]:
    """The words of a script's first line, which name its interpreter; none of anything else."""
    try:
        with Path(program).open("rb") as file:
            first = file.readline(512)
    except OSError:
        return []
    return first[2:].decode(errors="replace").split() if first.startswith(b"#!") else []
