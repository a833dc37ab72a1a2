"""Starts a server where it can reach nothing but what its plan names: run by the supervisor.

The standard library only. The supervisor forks a process that opens the namespaces and leaves two
children to it (CLONE_PARENT): the init of the pid namespace, which buries orphans and with which
all in there end, and the server. So the server is the supervisor's own child, as an unjailed one.
"""

import contextlib
import errno
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gatelodge.adapters.runtime.landlock.calls import (
    PR_NO_NEW_PRIVILEGES,
    PR_PDEATHSIG,
    clone_sibling,
    drop_capabilities,
    install_filter,
    restrict_files,
    set_process,
    unshare_namespaces,
)
from gatelodge.adapters.runtime.landlock.scenery import build_scenery, take_trees

_SECONDS = 8.0
"""How long it may take until the program runs; the gate waits a little longer."""
_NETWORK_SECONDS = 6.0
_MOST_FILES = 65_536
_REFUSED = 13


class JailRefusal(Exception):
    """What could not be done, and the number of the error."""

    def __init__(self, number: int, step: str) -> None:
        super().__init__(step)
        self.number, self.step = number, step


def start_jailed_server(plan: dict[str, Any], prepare: Callable[[], None]) -> tuple[int, int]:
    """Start it: the pids of its init and of the server. Raises JailRefusal; nothing runs then.

    `prepare` is called in the server before all else.
    """
    words, speaking = os.pipe()
    listening, go = os.pipe()
    opener = os.fork()
    if opener == 0:
        os.close(words)
        os.close(go)
        _run_or_tell(speaking, lambda: _open_namespaces(plan, speaking, listening, prepare))
    os.close(speaking)
    os.close(listening)
    children = list[int]()
    try:
        until = time.monotonic() + _SECONDS
        _told(words, until, "unshared")
        _map_identity(opener, plan)
        os.write(go, b"m")
        children += [int(each) for each in _told(words, until, "children").split()]
        os.waitpid(opener, 0)
        opener = 0
        os.write(go, b"g")
        _told(words, until, "")
    except BaseException:
        # The init goes last: it does not end before all in its namespace are buried.
        _end_children(*((opener,) if opener else ()), *reversed(children))
        raise
    finally:
        os.close(words)
        os.close(go)
    return children[0], children[1]


def _end_children(*children: int) -> None:
    for each in children:
        os.kill(each, signal.SIGKILL)
    for each in children:
        os.waitpid(each, 0)


def _told(words: int, until: float, wanted: str) -> str:
    """What a child says of the step that is waited for; "" is the end of all it says."""
    line = bytearray()
    while not line.endswith(b"\n"):
        if not select.select((words,), (), (), max(0.0, until - time.monotonic()))[0]:
            raise JailRefusal(110, wanted or "exec")
        more = os.read(words, 1)
        if not more:
            break
        line += more
    word, _, rest = line.decode(errors="replace").strip().partition(" ")
    if word == "fault":
        number, _, step = rest.partition(" ")
        raise JailRefusal(int(number), step)
    if word != wanted:
        raise JailRefusal(10, wanted or "exec")
    return rest


def _run_or_tell(speaking: int, work: Callable[[], None]) -> None:
    """Do what never returns; when it fails, tell why and end."""
    try:
        work()
    except (OSError, ValueError) as fault:
        step = getattr(fault, "filename", None) or str(fault)
        number = getattr(fault, "errno", None) or 22
        os.write(speaking, f"fault {number} {step!s:.200}\n".encode(errors="replace"))
    finally:
        os._exit(127)


def _map_identity(pid: int, plan: dict[str, Any]) -> None:
    """Let the new user namespace have one uid and one gid: those that the server shall have."""
    uid, gid = plan["uid"] or os.getuid(), plan["gid"] or os.getgid()
    proc = Path(f"/proc/{pid}")
    try:
        if not plan["uid"]:
            # Without root no group can be given up, and none may be asked for.
            (proc / "setgroups").write_text("deny")
        (proc / "uid_map").write_text(f"{uid} {uid} 1")
        (proc / "gid_map").write_text(f"{gid} {gid} 1")
    except OSError as failed:
        raise JailRefusal(failed.errno or 22, "uid_map") from failed


def _open_namespaces(
    plan: dict[str, Any], speaking: int, listening: int, prepare: Callable[[], None]
) -> None:
    """Be in the namespaces, be who the server shall be, and leave its two processes behind."""
    os.setsid()
    jail = plan["jail"]
    trees = _taken_early(jail) if plan["uid"] and jail.get("early") else None
    unshare_namespaces(network=not jail.get("host_network"))
    os.write(speaking, b"unshared\n")
    if not os.read(listening, 1):
        os._exit(127)
    if plan["uid"]:
        os.setgroups([])
        os.setresgid(plan["gid"], plan["gid"], plan["gid"])
        # Uid 0 is not in the new namespace, so this costs no capability in there.
        os.setresuid(plan["uid"], plan["uid"], plan["uid"])
        os.umask(0o002)  # its other copies, of the same group, use the same cache
    if jail["network"] is not None:
        _show_network(jail["network"])
    init = clone_sibling()
    if init == 0:
        try:
            _bury_orphans(jail, listening)
        finally:
            os._exit(127)
    server = clone_sibling()
    if server == 0:
        _run_or_tell(speaking, lambda: _become_server(plan, listening, prepare, trees))
    os.write(speaking, f"children {init} {server}\n".encode())
    os._exit(0)


def _taken_early(jail: dict[str, Any]) -> list[int] | None:
    """What is shown, taken while still root: its own uid could not pass through a closed folder."""
    try:
        return take_trees(jail)
    except PermissionError:  # this root may mount nothing; within its own namespaces it may
        return None


def _show_network(leash: int) -> None:
    """Give the gate the network namespace, and wait until its sockets stand there.

    From here it goes: whoever changed who it is cannot be looked into from outside without root.
    """
    namespace = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    with socket.socket(fileno=leash) as gate:  # closed here: the server must not have it
        gate.settimeout(_NETWORK_SECONDS)
        socket.send_fds(gate, [b"n"], [namespace])
        if gate.recv(1) != b"g":
            raise OSError(errno.ENETDOWN, "not opened", "network")
    os.close(namespace)


def _leave_if_orphaned(listening: int) -> None:
    """End when the supervisor has: then the end of its pipe is closed, and no signal came."""
    set_process(PR_PDEATHSIG, signal.SIGKILL)
    look = select.poll()
    look.register(listening, 0)
    if look.poll(0):
        os._exit(127)


def _bury_orphans(jail: dict[str, Any], listening: int) -> None:
    """Be the init: hold nothing, may nothing, and wait for whom nobody waits for.

    The gate reads of it what stands around the server; the server cannot look into it, being in
    another domain of Landlock.
    """
    _leave_if_orphaned(listening)
    nothing = os.open(os.devnull, os.O_RDWR)
    for each in (0, 1, 2):
        os.dup2(nothing, each)
    os.closerange(3, _MOST_FILES)
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
    drop_capabilities()
    restrict_files([])
    install_filter(bytes.fromhex(jail["filter"]))
    while True:
        signal.sigwait((signal.SIGCHLD,))
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _become_server(
    plan: dict[str, Any],
    listening: int,
    prepare: Callable[[], None],
    trees: list[int] | None,
) -> None:
    """Go behind every border, see that the last but one holds, and run the program."""
    jail = plan["jail"]
    os.setsid()
    prepare()
    if not os.read(listening, 1):
        os._exit(127)
    _leave_if_orphaned(listening)
    socket.sethostname("server")
    rules = build_scenery(jail, trees)
    os.chdir(plan["cwd"])
    _bound_resources(jail["bounds"])
    drop_capabilities()
    set_process(PR_NO_NEW_PRIVILEGES, 1)
    restrict_files(rules, jail["ports"], jail["own_port"])
    _see_that_landlock_holds()
    install_filter(bytes.fromhex(jail["filter"]))
    # A name without a slash is looked for on the PATH that is in here.
    os.execvpe(plan["program"], plan["command"], plan["env"])  # noqa: S606 - no shell meant


def _see_that_landlock_holds() -> None:
    """The root may be listed by its mode, and by no rule: whoever can is not behind Landlock."""
    try:
        os.close(os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except PermissionError:
        return
    raise OSError(_REFUSED, "it does not hold", "Landlock")


def _bound_resources(bounds: dict[str, int]) -> None:
    """Bounds of the kernel for each process, never above those that hold already."""
    for name, most in bounds.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(kind)[1]
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (bound, bound))
