"""The system calls that keep a process apart, by number where the C library has no name for them.

The standard library only: this is imported between fork and exec. Each raises OSError with what it
was asked about as its file name. Sources: landlock(7), mount_setattr(2), pivot_root(2), prctl(2).
"""

import ctypes
import os
import platform
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_LIBC = ctypes.CDLL(None, use_errno=True)
_NUMBERS: Final = {
    "x86_64": {"clone": 56, "pivot_root": 155, "capset": 126},
    "aarch64": {"clone": 220, "pivot_root": 41, "capset": 91},
}
MACHINES: Final = tuple(_NUMBERS)
_SAME_EVERYWHERE: Final = {
    "open_tree": 428, "move_mount": 429, "mount_setattr": 442,
    "landlock_create_ruleset": 444, "landlock_add_rule": 445, "landlock_restrict_self": 446,
}  # fmt: skip

_NEW_NETWORK: Final = 0x4000_0000
NEW_NAMESPACES: Final = (
    0x0002_0000  # mount
    | 0x0200_0000  # cgroup
    | 0x0400_0000  # uts
    | 0x0800_0000  # ipc
    | 0x1000_0000  # user
    | 0x2000_0000  # pid, of the children
    | _NEW_NETWORK
)
_CLONE_PARENT = 0x8000
_SIGCHLD = 17

NO_SUID, NO_DEVICES, NO_EXEC, READ_ONLY = 0x2, 0x4, 0x8, 0x1
"""Attributes of mounts, the same for mount(2) and mount_setattr(2)."""
_MS_PRIVATE_ALL = 0x4_4000
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE_CLONE, _MOVE_EMPTY_PATH, _MNT_DETACH = 1, 4, 2

PR_PDEATHSIG, PR_SECCOMP, PR_CAPBSET_DROP = 1, 22, 24
PR_NO_NEW_PRIVILEGES, PR_CAP_AMBIENT = 38, 47
_CAPABILITY_VERSION = 0x2008_0522

# Rights of Landlock over files, by the version of its interface that first knew them.
_RIGHTS_SINCE: Final = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
_NETWORK_SINCE, _SCOPES_SINCE = 4, 6
_BIND_TCP, _CONNECT_TCP = 1, 2
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_BLOCK, _TRUNCATE, _IOCTL = 1 << 6, 1 << 11, 1 << 14, 1 << 15
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | _TRUNCATE | _IOCTL
ACCESS: Final = {
    "run": EXECUTE | READ_FILE | READ_DIR,
    "read": READ_FILE | READ_DIR,
    "write": ((1 << 15) - 1) & ~(EXECUTE | _MAKE_CHAR | _MAKE_BLOCK),
    "work": ((1 << 15) - 1) & ~(_MAKE_CHAR | _MAKE_BLOCK),
    "device": READ_FILE | WRITE_FILE | _IOCTL,
}
"""What each kind of access means; nothing that can be written can be run but where a build works
whose scripts an operator lets run."""


def _system_call(name: str, *given: object, about: str = "") -> int:
    number = _SAME_EVERYWHERE.get(name) or _NUMBERS[platform.machine()][name]
    done = _LIBC.syscall(ctypes.c_long(number), *given)
    if done < 0:
        _fail(about or name)
    return int(done)


def _fail(about: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), about)


def unshare_namespaces(*, network: bool = True) -> None:
    """Be in new namespaces of each kind, or each but `network`; of the pid one the children are."""
    if _LIBC.unshare(NEW_NAMESPACES if network else NEW_NAMESPACES & ~_NEW_NETWORK):
        _fail("unshare")


def clone_sibling() -> int:
    """Fork a child of our parent: its pid, 0 in the child.

    Python is not told of this fork: whoever does it must have one thread.
    """
    zero = ctypes.c_long(0)
    flags = ctypes.c_long(_CLONE_PARENT | _SIGCHLD)
    return _system_call("clone", flags, zero, zero, zero, zero)


def set_process(option: int, value: int = 0, third: int = 0) -> None:
    """prctl(2)."""
    longs = (ctypes.c_ulong(each) for each in (value, third, 0, 0))
    if _LIBC.prctl(option, *longs):
        _fail(f"prctl {option}")


def take_tree(path: str) -> int:
    """A copy of what is mounted at a path and below it, as a descriptor."""
    flags = _OPEN_TREE_CLONE | _AT_RECURSIVE | os.O_CLOEXEC
    return _system_call("open_tree", _AT_FDCWD, os.fsencode(path), flags, about=path)


def restrict_tree(tree: int, attributes: int, about: str) -> None:
    """Take from all mounts of a tree what the attributes name."""
    wanted = struct.pack("QQQQ", attributes, 0, 0, 0)
    flags = _AT_EMPTY_PATH | _AT_RECURSIVE
    size = ctypes.c_size_t(len(wanted))
    _system_call("mount_setattr", tree, b"", flags, wanted, size, about=about)


def restrict_mount(path: str, attributes: int) -> None:
    """Take from the mount at a path, and not from those below it, what the attributes name."""
    wanted = struct.pack("QQQQ", attributes, 0, 0, 0)
    size = ctypes.c_size_t(len(wanted))
    _system_call("mount_setattr", _AT_FDCWD, os.fsencode(path), 0, wanted, size, about=path)


def attach_tree(tree: int, path: str) -> None:
    """Mount a tree at a path."""
    target = os.fsencode(path)
    _system_call("move_mount", tree, b"", _AT_FDCWD, target, _MOVE_EMPTY_PATH, about=path)


def mount_new(kind: str, path: str, attributes: int, options: str = "") -> None:
    """Mount a new file system of a kind at a path."""
    flags = ctypes.c_ulong(attributes)
    name = kind.encode()
    if _LIBC.mount(name, os.fsencode(path), name, flags, options.encode()):
        _fail(f"{kind} at {path}")


def make_mounts_private() -> None:
    """Let no mount of ours be seen elsewhere, nor others' here."""
    if _LIBC.mount(None, b"/", None, ctypes.c_ulong(_MS_PRIVATE_ALL), None):
        _fail("/")


def pivot_root(path: str) -> None:
    """Have a mount as the root, and nothing of the old one."""
    os.chdir(path)
    _system_call("pivot_root", b".", b".")
    if _LIBC.umount2(b".", _MNT_DETACH):
        _fail("the old root")
    os.chdir("/")


def drop_capabilities() -> None:
    """Give up every capability, also those that a program could bring."""
    set_process(PR_CAP_AMBIENT, 4)
    for each in range(64):
        try:
            set_process(PR_CAPBSET_DROP, each)
        except OSError:
            break  # this kernel has no more of them
    header = struct.pack("Ii", _CAPABILITY_VERSION, 0)
    _system_call("capset", header, bytes(24))


def landlock_version() -> int:
    """Version of Landlock's interface in this kernel, 0 where there is none."""
    return max(0, int(_LIBC.syscall(ctypes.c_long(444), None, ctypes.c_size_t(0), 1)))


def restrict_files(
    rules: list[tuple[str, str]], ports: Sequence[int] | None = (), own_port: int = 0
) -> None:
    """Have access to these paths only, each of a kind (`ACCESS`), and to no process.

    TCP goes to these ports alone (None = to all), and comes in at its own, where it has one.

    What this kernel's version does not know is left out: cross-directory renames before 2,
    truncation before 3, TCP before 4, ioctls before 5, signals and abstract sockets before 6.
    """
    version = landlock_version()
    handled = sum(right for since, right in _RIGHTS_SINCE.items() if version >= since)
    fields = [handled]
    fields += [_BIND_TCP | (0 if ports is None else _CONNECT_TCP)] * (version >= _NETWORK_SINCE)
    fields += [3] if version >= _SCOPES_SINCE else []
    given = struct.pack(f"{len(fields)}Q", *fields)
    ruleset = _system_call("landlock_create_ruleset", given, ctypes.c_size_t(len(given)), 0)
    for path, kind in rules:
        at = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rights = ACCESS[kind] & handled
        if not Path(path).is_dir():
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, at)
        _system_call("landlock_add_rule", ruleset, 1, rule, 0, about=path)
        os.close(at)
    roads = [(_CONNECT_TCP, port) for port in ports or ()]
    roads += [(_BIND_TCP, own_port)] * bool(own_port)
    for road in roads if version >= _NETWORK_SINCE else ():
        _system_call("landlock_add_rule", ruleset, 2, struct.pack("=QQ", *road), 0)
    set_process(PR_NO_NEW_PRIVILEGES, 1)
    _system_call("landlock_restrict_self", ruleset, 0)
    os.close(ruleset)


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def install_filter(code: bytes) -> None:
    """Let a program of classic BPF judge every system call from here on."""
    program = _FilterProgram(len(code) // 8, code)
    if _LIBC.prctl(PR_SECCOMP, 2, ctypes.byref(program), 0, 0):
        _fail("seccomp")
