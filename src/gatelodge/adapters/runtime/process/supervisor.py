"""Starts one server and sees to its end: a program of its own, between the gate and the server.

It reads what to start from the leash (a socket to the gate), tells the server's pid and status
there, and does not end before everything that the server started has ended. When the gate lets go
of the leash, also by being killed, the server gets a moment to go by itself, and is ended then.

Under a uid of its own one signal reaches every process at once, whatever session it hides in.
Under the gate's uid it is the parent of every orphan (PR_SET_CHILD_SUBREAPER), and looks for
descendants until there are none. Only the standard library is used: it is run by its path, with
neither the gate's environment nor its packages. Killed itself, it takes the server with it
(PR_SET_PDEATHSIG), and leaves the server's descendants and its home directory behind.
"""

import contextlib
import ctypes
import importlib
import itertools
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PDEATHSIG, _NO_NEW_PRIVILEGES, _SUBREAPER = 1, 38, 36
_KILL_SECONDS = 5.0
"""How long killed processes may take to go: only what hangs in the kernel needs it."""
_REMOVE_SECONDS = 60.0
_UNUSED = 1_000_000_000
"""Added to a server's uid it is one that nothing has: whoever bears it cannot be signalled."""
_LOOK_SECONDS = 0.002


def main() -> None:
    """Start what the leash says, and end when nothing of it is left."""
    # The server must not get the leash: it could tell lies, or hold it when the gate is gone.
    os.set_inheritable(int(sys.argv[1]), False)
    for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as leash:
        words = bytearray()
        while b"\n" not in words:
            more = leash.recv(65_536)
            if not more:
                return  # the gate changed its mind
            words += more
        order, _, asked = words.partition(b"\n")
        plan = json.loads(order)
        if not asked:  # else it shall end, in the same breath
            _prctl(_SUBREAPER, 1)
            pid, fault = _start_server(leash, plan)
            _detach_standard_streams()
            _send_line_to_gate(leash, f"started {-fault or pid}")
            if not fault:
                _supervise_until_end(leash, pid, plan["grace"])
            _end_all(pid, plan["uid"])
        _send_line_to_gate(leash, "gone 0")
        remove_tree(plan["home"])


def _start_server(leash: socket.socket, plan: dict[str, Any]) -> tuple[int, int]:
    """The pid of the server, and the number of the error when it could not be started."""
    if "jail" not in plan:
        return _fork_and_exec_server(plan)
    # A runtime that keeps servers apart names the module that does so: of this program's own
    # package, and of the standard library only, as this one.
    sys.path.append(plan["jail"]["library"])
    jail = importlib.import_module(plan["jail"]["module"])
    try:
        init, pid = jail.start_jailed_server(plan, _reset_signals)
    except jail.JailRefusal as refused:
        _send_line_to_gate(leash, f"refused {refused.number} {refused.step}")
        return 0, refused.number
    _send_line_to_gate(leash, f"init {init}")
    return pid, 0


def _fork_and_exec_server(plan: dict[str, Any]) -> tuple[int, int]:
    """The pid of the server, and the number of the error when it could not be started."""
    # The writing end closes at exec: when nothing was said on it the program runs.
    reading, writing = os.pipe()
    own = os.getpid()
    pid = os.fork()
    if pid == 0:
        number = 0
        try:
            _assume_server_identity(plan, own)
            os.execve(plan["program"], plan["command"], plan["env"])  # noqa: S606 - no shell meant
        except (OSError, ValueError) as fault:
            number = getattr(fault, "errno", None) or 22
        finally:
            os.write(writing, str(number or 22).encode())
            os._exit(127)
    os.close(writing)
    said = os.read(reading, 16)
    os.close(reading)
    return pid, int(said or b"0")


def _assume_server_identity(plan: dict[str, Any], parent: int) -> None:
    """Be who the server shall be, in a session of its own, never longer than the parent is."""
    os.setsid()
    _reset_signals()
    if plan["uid"]:
        # The uid goes last: without root no group could be given up.
        os.setgroups([])
        os.setresgid(plan["gid"], plan["gid"], plan["gid"])
        os.setresuid(plan["uid"], plan["uid"], plan["uid"])
        os.umask(0o002)  # its other copies, of the same group, use the same cache
        _prctl(_NO_NEW_PRIVILEGES, 1)  # nothing of it gets out of reach by another uid
    # After the change of uid, at which the kernel forgets it.
    _prctl(_PDEATHSIG, signal.SIGKILL)
    # The parent may have died before the line above, which would never fire then.
    if os.getppid() != parent:
        os._exit(127)
    os.chdir(plan["cwd"])


def _reset_signals() -> None:
    """What is ignored stays so over exec: by Python, by this program, by who started the gate."""
    for each in signal.valid_signals():
        if signal.getsignal(each) == signal.SIG_IGN:
            signal.signal(each, signal.SIG_DFL)


def _supervise_until_end(leash: socket.socket, pid: int, grace: float) -> None:
    """Tell how the server ends; return when everything shall end."""
    told = False
    waker, wakes = socket.socketpair()
    wakes.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    while True:
        told = _reap_ended_children(leash, pid, told=told)
        ready, _, _ = select.select((leash, waker), (), ())
        if waker in ready:
            waker.recv(4096)
        if leash not in ready:
            continue
        try:
            asked = leash.recv(16)
        except OSError:
            asked = b""
        if b"T" in asked and not told:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGTERM)
        if b"K" in asked:
            return
        if not asked:  # the gate is gone, and with it the server's input
            until = time.monotonic() + grace
            while not told and time.monotonic() < until:
                select.select((waker,), (), (), max(0.0, until - time.monotonic()))
                told = _reap_ended_children(leash, pid, told=told)
            return


def _reap_ended_children(leash: socket.socket, pid: int, *, told: bool) -> bool:
    """Bury who ended. True when the server itself did, now or before.

    The server stays a zombie until everything is ended, so that its group's number stays its own.
    """
    if not told:
        found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is not None:
            by_itself = found.si_code == os.CLD_EXITED
            _send_line_to_gate(leash, f"ended {found.si_status if by_itself else -found.si_status}")
            told = True
    for orphan in _children_of_process(os.getpid()):
        if orphan != pid:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(orphan, os.WNOHANG)
    return told


def _end_all(pid: int, uid: int) -> None:
    """Kill until nothing of it is left; what the kernel holds for longer than seconds is left."""
    until = time.monotonic() + _KILL_SECONDS
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if pid:  # else none was started; 0 would mean our own group
            os.killpg(pid, signal.SIGKILL)
    killed = set[int]()
    while time.monotonic() < until:
        if uid:
            _kill_uid(uid)
        left = _kill_descendants()
        if left is None and not (uid and _runs_under_uid(uid)):
            return
        found = left or set()
        # What has its signal forks no more and only takes time to go; what is new may outrun us.
        if uid or found <= killed:
            time.sleep(_LOOK_SECONDS)
        killed = found


def _kill_uid(uid: int) -> None:
    """Send KILL to all processes of a uid in one step, by a process that they cannot signal."""
    helper = os.fork()
    if helper == 0:
        try:
            os.setgroups([])
            with contextlib.suppress(OSError):
                os.setresgid(uid, uid, uid)
            try:
                os.setresuid(uid + _UNUSED, uid, uid + _UNUSED)
            except OSError:  # a container whose map of uids ends before
                os.setresuid(uid, uid, uid)
            os.kill(-1, signal.SIGKILL)
        except OSError:
            pass
        finally:
            os._exit(0)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(helper, 0)


def _kill_descendants() -> set[int] | None:
    """Kill every descendant that is there now, with its group, and say which; None for no child.

    Whose parent ends becomes a child of ours, so nobody is out of reach, however it hides.
    """
    while True:  # bury first: a child that is a zombie only is no more
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                break
        except ChildProcessError:
            return None
    todo, seen = _children_of_process(os.getpid()), set[int]()
    while todo and len(seen) < 100_000:
        found = todo.pop()
        if found in seen:  # its parent ended meanwhile, and it became ours
            continue
        seen.add(found)
        with contextlib.suppress(OSError):
            group = os.getpgid(found)
            os.kill(found, signal.SIGKILL)
            # This program has to outlive all that it ends.
            if group != os.getpgid(0):
                os.killpg(group, signal.SIGKILL)
        todo += _children_of_process(found)
    return seen


def _children_of_process(pid: int) -> list[int]:
    """The children of a process, by the kernel's own list where it has one."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (OSError, ValueError):
        return []


def _runs_under_uid(uid: int) -> bool:
    """Say whether any process runs under this uid; a zombie does not."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if folder.stat().st_uid == uid and state not in "ZX":
                return True
    return False


def remove_tree(path: str) -> bool:
    """Remove a directory, however deep, following no link; False when something of it stays.

    Each directory in it is moved to the top and emptied there, so that two are open at most and no
    path grows. Bounded in time: what is left then is left where it is.
    """
    try:
        top = _open_directory(path, None)
    except OSError:
        return not os.path.lexists(path)
    until, mark = time.monotonic() + _REMOVE_SECONDS, os.urandom(8).hex()
    fresh = (f".{mark}-{number}" for number in itertools.count())
    todo = ["."]
    try:
        while todo and time.monotonic() < until:
            with contextlib.suppress(OSError):  # what cannot be emptied or removed stays
                todo += _empty_directory(todo.pop(), top, fresh)
    finally:
        os.close(top)
    with contextlib.suppress(OSError):
        Path(path).rmdir()
    return not os.path.lexists(path)


def _empty_directory(name: str, top: int, fresh: Iterator[str]) -> Iterator[str]:
    """Remove a directory at the top; those in it stand at the top then, and are told."""
    here = _open_directory(name, top)
    try:
        with os.scandir(here) as listed:
            found = [each.name for each in listed]
        for entry in found:
            with contextlib.suppress(OSError):  # it stays, and the rest can go
                if not _unlink_unless_directory(entry, here):
                    below = entry if name == "." else next(fresh)
                    os.rename(entry, below, src_dir_fd=here, dst_dir_fd=top)
                    yield below
    finally:
        os.close(here)
    if name != ".":
        os.rmdir(name, dir_fd=top)


def _unlink_unless_directory(entry: str, here: int) -> bool:
    """Remove what is no directory; of a directory make sure that it can be moved."""
    try:
        os.unlink(entry, dir_fd=here)
    except IsADirectoryError:
        os.close(_open_directory(entry, here))
        return False
    return True


def _open_directory(name: str, within: int | None) -> int:
    """A directory of which we may change what it holds; a link is none."""
    flags = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    at = os.open(name, os.O_PATH | flags, dir_fd=within)
    try:
        # By its descriptor: the server could put a link in the place of its name meanwhile.
        with contextlib.suppress(OSError):  # whose it is not; the kernel tells below
            Path(f"/proc/self/fd/{at}").chmod(0o700)
    finally:
        os.close(at)
    return os.open(name, os.O_RDONLY | flags, dir_fd=within)


def _detach_standard_streams() -> None:
    """Leave the pipes to the server: their end is how the gate hears that it is gone."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for each in (0, 1, 2):
        os.dup2(nothing, each)
    os.close(nothing)


def _send_line_to_gate(leash: socket.socket, words: str) -> None:
    with contextlib.suppress(OSError):
        leash.sendall(words.encode() + b"\n")


def _prctl(option: int, value: int) -> None:
    """Ask the kernel, where it is Linux; elsewhere the server ends with its input only."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main()
