"""A server that tries to get out. `prober.py` answers each line of JSON `{name: words...}` once.

It has the standard library only, and says of each attempt what came of it: an error's name, or what
it got.
"""

import ctypes
import errno
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
CALLS = {
    "x86_64": {
        "unshare": 272, "mount": 165, "setns": 308, "ptrace": 101, "bpf": 321, "keyctl": 250,
        "perf_event_open": 298, "userfaultfd": 323, "io_uring_setup": 425, "kexec_load": 246,
        "init_module": 175, "chroot": 161, "clone3": 435, "process_vm_readv": 310,
        "open_by_handle_at": 304, "fsopen": 430, "open_tree": 428,
    },
    "aarch64": {
        "unshare": 97, "mount": 40, "setns": 268, "ptrace": 117, "bpf": 280, "keyctl": 219,
        "perf_event_open": 241, "userfaultfd": 282, "io_uring_setup": 425, "kexec_load": 104,
        "init_module": 105, "chroot": 51, "clone3": 435, "process_vm_readv": 270,
        "open_by_handle_at": 265, "fsopen": 430, "open_tree": 428,
    },
}  # fmt: skip


def called(name):
    """A call with arguments that would be taken where it is allowed."""
    given = {"unshare": (0x1000_0000,), "chroot": (b"/",)}.get(name, (0, 0, 0, 0, 0, 0))
    if LIBC.syscall(CALLS[os.uname().machine][name], *given) < 0:
        raise OSError(ctypes.get_errno(), name)
    return "done"


def new_user_namespace():
    """By clone(2), where the flags stand in an argument."""
    number = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
    pid = LIBC.syscall(ctypes.c_long(number), ctypes.c_long(0x1000_0000 | 17), 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    if pid < 0:
        raise OSError(ctypes.get_errno(), "clone")
    return "done"


def executed(folder):
    at = Path(folder) / "script"
    at.write_text("#!/bin/sh\nexit 0\n")
    at.chmod(0o755)
    return subprocess.call([at])


def sent(kind, host, port):
    with socket.socket(socket.AF_INET, kind) as own:
        own.settimeout(1)
        own.connect((host, port))
        own.send(b"x")
    return "sent"


def connected(path):
    with socket.socket(socket.AF_UNIX) as own:
        own.connect(path)
    return "connected"


def forks(most):
    """How many children it can have at once."""
    children = []
    try:
        while len(children) < most:
            pid = os.fork()
            if pid == 0:
                signal.pause()
            children.append(pid)
    except BlockingIOError:
        pass
    for each in children:
        os.kill(each, signal.SIGKILL)
        os.waitpid(each, 0)
    return len(children)


def fill(path, mebibytes):
    try:
        with Path(path).open("wb") as file:
            for _ in range(mebibytes):
                file.write(bytes(1 << 20))
                file.flush()
    finally:
        Path(path).unlink()
    return "filled"


def opened_for(flags):
    def opened(path):
        at = os.open(path, flags)
        try:
            return os.read(at, 1) and "read" if flags == os.O_RDONLY else os.write(at, b"x")
        finally:
            os.close(at)

    return opened


def limits():
    return [resource.getrlimit(each)[1] for each in (resource.RLIMIT_CORE, resource.RLIMIT_NOFILE)]


def raise_limit():
    resource.setrlimit(resource.RLIMIT_NOFILE, (10_000, 10_000))
    return "raised"


ATTEMPTS = {
    "read": lambda path: Path(path).read_text(errors="replace")[:200],
    "read_bytes": opened_for(os.O_RDONLY),
    "write": lambda path: Path(path).write_text("x") and "written",
    "append": opened_for(os.O_WRONLY | os.O_APPEND),
    "list": lambda path: sorted(each.name for each in Path(path).iterdir()),
    "stat": lambda path: bool(Path(path).stat()),
    "kill": lambda pid: os.kill(pid, 0) or "signalled",
    "tcp": lambda host, port: sent(socket.SOCK_STREAM, host, port),
    "udp": lambda host, port: sent(socket.SOCK_DGRAM, host, port),
    "socket": lambda family, kind: socket.socket(family, kind).close() or "made",
    "unix": connected,
    "abstract": lambda name: connected(f"\0{name}"),
    "call": called,
    "user_namespace": new_user_namespace,
    "exec": executed,
    "setuid": lambda uid: os.setuid(uid) or "done",
    "nice": lambda: os.nice(-20),
    "mknod": lambda path: os.mknod(path, 0o20600, os.makedev(1, 1)) or "made",
    "forks": forks,
    "fill": fill,
    "limits": limits,
    "raise_limit": raise_limit,
    "files": lambda: sorted(int(each.name) for each in Path("/proc/self/fd").iterdir())[:-1],
    "home": lambda: os.environ["HOME"],
    "import": lambda name: __import__(name).__name__,
    "crash": os.abort,
}  # fmt: skip


def attempt(name, *words):
    try:
        return ATTEMPTS[name](*words)
    except OSError as refused:
        return errno.errorcode.get(refused.errno, str(refused))
    except ValueError:  # a limit that cannot be raised
        return "EINVAL"


for line in iter(sys.stdin.readline, ""):
    sys.stdout.write(json.dumps([attempt(*each) for each in json.loads(line)]) + "\n")
    sys.stdout.flush()
