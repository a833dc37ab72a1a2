"""Which account of this machine asks: as the kernel says, never as the asker does."""

import pwd
import socket
import struct
from contextlib import suppress
from pathlib import Path

_LOCAL = "local"
_UNSET = 2**32 - 1
_PROCESSES = Path("/proc")
_CREDENTIALS = struct.Struct("3i")


def operator_at(link: object) -> str:
    """Who is at the other end of a Unix socket, as the gov log names an operator."""
    option = getattr(socket, "SO_PEERCRED", None)
    ask = getattr(link, "getsockopt", None)
    if option is None or ask is None:
        return _LOCAL
    try:
        pid, uid, _ = _CREDENTIALS.unpack(ask(socket.SOL_SOCKET, option, _CREDENTIALS.size))
    except OSError:
        # The socket is closed already: the log names no account rather than a wrong one.
        return _LOCAL
    return operator_of(pid, uid)


def operator_of(pid: int, uid: int) -> str:
    """`local:UID` of whoever logged in: with sudo or su it is not the account that they became."""
    process = _PROCESSES / str(pid)
    with suppress(OSError, ValueError):
        login = int((process / "loginuid").read_text("ascii"))
        # A service has no login: then the account under which it runs is all there is. Whoever
        # asked may be gone, and another account's process have its number by now.
        if login != _UNSET and process.stat().st_uid == uid:
            uid = login
    return f"{_LOCAL}:{uid}"


def operator_name(by: str) -> str:
    """`local:alice` for `local:1000` where this machine knows the account; else as it is."""
    kind, colon, number = by.partition(":")
    if kind != _LOCAL or not colon or not number.isdecimal():
        return by
    try:
        return f"{_LOCAL}:{pwd.getpwuid(int(number)).pw_name}"
    except (KeyError, OverflowError):
        return by
