"""Starts all containers of one gate and sees to their ends: a program between it and runc.

It is the parent of every container's first process (PR_SET_CHILD_SUBREAPER), so it learns how each
ends, and no process of a container runtime stays beside a container. Bundles, secrets and the
runtimes' own state lie in a tmpfs that only its own mount namespace has: nothing of them is ever on
a disk, other processes of the machine have no path to them, and they are gone with it, however it
ends. When the gate lets go of the leash, also by being killed, each container's input is closed; it
gets a moment, and is killed and deleted then.

Killed itself, it leaves containers in control groups below its own one, and nothing else: whoever
comes next for the same gate, or the gate itself, kills what is in them (`sweep_groups`). It imports
the standard library and its two neighbours only: it is small, and has nothing of the gate's.

The leash is a socket of packets, each a JSON object. In: `grace`, `create` (with four files: the
order, and the three standard streams), `start`, `term`, `kill`. Out: `ready` or `refused`; of a
container `created`, `started`, `failed`, `ended`, `gone`.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

from gatelodge.adapters.runtime.oci.groups import (
    count_oom_kills,
    kill_groups,
    sweep_groups,
    thaw_groups,
)
from gatelodge.adapters.runtime.oci.place import (
    become_parent_of_orphans,
    bind_read_only,
    hide_mounts,
    leave_place,
    take_place,
    unmount_lazily,
)

_PACKET = 65_536
_HELPER_SECONDS = 30.0
"""How long runc and its kin may take for one step; then they are killed, and what they made."""
_KILL_SECONDS = 5.0
_LOOK_SECONDS = 0.002
_NOTHING = 10_000.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def main(leash: int, folder: str, group: str) -> None:
    """Take the place of a gate's containers, sweep it, and serve until the gate is gone."""
    os.set_inheritable(leash, False)
    os.umask(0o022)
    for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    with socket.socket(fileno=leash) as given:
        supervision = ContainerSupervisor(given, Path(folder), group)
        try:
            become_parent_of_orphans()
            held = take_place(Path(folder))
            left = "" if sweep_groups(group) else f"processes in {group} cannot be ended"
            hide_mounts(Path(folder))
        except OSError as failed:
            left = failed.strerror or str(failed)
        supervision.tell(said="refused" if left else "ready", why=left)
        if not left:
            supervision.run()
            sweep_groups(group)
            leave_place(Path(folder), held)


class ContainerSupervisor:
    """The containers of one gate; `folder` is the private tmpfs, `group` all their groups' own."""

    def __init__(self, leash: socket.socket, folder: Path, group: str) -> None:
        self.leash, self.folder, self.group = leash, folder, group
        self.containers: dict[str, SupervisedContainer] = {}
        self.grace = 0.0
        self.open = True
        """False when the gate is gone."""

    def tell(self, **said: object) -> None:
        """Send it to the gate, if that is still there."""
        with contextlib.suppress(OSError):
            self.leash.send(json.dumps(said).encode())

    def run(self) -> None:
        """Serve the gate until it is gone, and everything with it."""
        waker, wakes = socket.socketpair()
        wakes.setblocking(False)
        waker.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        while self.open or self.containers:
            files = (self.leash, waker) if self.open else (waker,)
            ready, _, _ = select.select(files, (), (), self._next_deadline())
            if waker in ready:
                waker.recv(4096)
            if self.leash in ready:
                self._take_packet()
            self._advance()
            self._bury_strangers()

    def _next_deadline(self) -> float:
        until = min((each.deadline for each in self.containers.values()), default=_NOTHING * 1e3)
        return max(0.0, min(until - time.monotonic(), _NOTHING))

    def _take_packet(self) -> None:
        try:
            data, files, _, _ = socket.recv_fds(self.leash, _PACKET, 4)
        except OSError:
            data, files = b"", []
        for file in files:
            # What is started here would keep it: gVisor's kernel hands on or shuts none of these.
            os.set_inheritable(file, False)
        if not data:
            self.open = False
            for each in self.containers.values():
                each.kill_at = min(each.kill_at, time.monotonic() + self.grace)
                each.deadline = min(each.deadline, each.kill_at)
            return
        packet = json.loads(data)
        if packet["do"] == "create":
            self.containers[packet["id"]] = SupervisedContainer(self, packet["id"], files)
        elif packet["do"] == "grace":
            self.grace = packet["seconds"]
        elif packet["id"] in self.containers:
            self.containers[packet["id"]].obey(packet)

    def _advance(self) -> None:
        for name, each in list(self.containers.items()):
            if not each.advance():
                del self.containers[name]
                self.tell(said="gone", id=name)

    def _bury_strangers(self) -> None:
        """Reap what became ours by its parent's end; those that are waited for stay a while."""
        own = {pid for each in self.containers.values() for pid in (each.pid, each.helper)}
        # While one is made, its first process is ours already and not known by its number yet.
        if any(each.helper and not each.pid for each in self.containers.values()):
            return
        for child in _children():
            if child not in own:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(child, os.WNOHANG)


class SupervisedContainer:
    """One container from its order to its last trace, as steps that wait for a condition each."""

    def __init__(self, supervision: ContainerSupervisor, name: str, files: list[int]) -> None:
        self._of, self._name, self._files = supervision, name, files
        self._bundle = supervision.folder / name
        self.pid = 0
        """Its first process, until that is reaped: who looks at it meanwhile sees it or a zombie,
        and never another one."""
        self.helper = 0
        self.kill_at = _NOTHING * 1e6
        self.deadline = self.kill_at
        self._to_start = False
        self._term: list[str] = []
        self._ended_told = False
        self._steps = self._live()
        self._waits_for: Callable[[], bool] = lambda: True

    def obey(self, packet: dict[str, Any]) -> None:
        """Note what the gate wants of it."""
        if packet["do"] == "start":
            self._to_start = True
        elif packet["do"] == "term":
            self._ask_to_end()
        elif packet["do"] == "kill":
            self.kill_at = 0.0

    def advance(self) -> bool:
        """Go on as far as it can; False once nothing of it is left."""
        try:
            while self._waits_for():
                self._waits_for = next(self._steps)
        except StopIteration:
            return False
        return True

    def _live(self) -> Iterator[Callable[[], bool]]:
        order = _read_order(self._files[0])
        try:
            yield from self._make_and_run(order)
        except OSError as failed:
            self._fail("prepare", failed.strerror or str(failed))
            yield self._shall_die
        except ValueError:
            # Of one container, such as a secret that is no text: the others go on.
            self._fail("prepare", "what it is given cannot be written")
            yield self._shall_die
        finally:
            self._close_files()
        yield from self._remove(order)

    def _make_and_run(self, order: dict[str, Any]) -> Iterator[Callable[[], bool]]:
        self._prepare(order)
        self._term = order["term"]
        status = yield from self._help(order["create"], self._files[1:])
        self._close_files()
        if status:
            self._fail("create", self._last_words())
        else:
            self.pid = int((self._bundle / "pid").read_text())
            self._of.tell(said="created", id=self._name, pid=self.pid)
            yield lambda: self._to_start or self._shall_die()
            if not self._shall_die():
                status = yield from self._help(order["start"])
                (self._bundle / "config.json").unlink()  # it holds secrets, and was read
                if status:
                    self._fail("start", self._last_words())
                else:
                    self._of.tell(said="started", id=self._name)
                yield lambda: self._shall_die() or _is_over(self.pid)
                self._tell_end(order)
        yield self._shall_die

    def _remove(self, order: dict[str, Any]) -> Iterator[Callable[[], bool]]:
        """Kill and delete it: its processes, the runtime's record, groups, mounts and files."""
        group = order["group"]
        thaw_groups(group)  # what stands still hears no signal
        self._send_signal(signal.SIGKILL)
        if self.pid:
            yield self._by(_KILL_SECONDS, lambda: _is_over(self.pid))
            self._tell_end(order)
            with contextlib.suppress(ChildProcessError):
                # To gVisor a zombie is a sandbox that still runs.
                os.waitpid(self.pid, os.WNOHANG)
        yield from self._help(order["delete"])
        until = time.monotonic() + _KILL_SECONDS
        while not kill_groups(group) and time.monotonic() < until:
            yield self._by(_LOOK_SECONDS, lambda: False)
        unmount_lazily(str(self._bundle / "rootfs"))
        shutil.rmtree(self._bundle, ignore_errors=True)

    def _prepare(self, order: dict[str, Any]) -> None:
        """Lay the bundle out. A user namespace's own root passes 0711 only, hence the bind."""
        root, run = self._bundle / "rootfs", self._bundle / "run"
        for each in (self._bundle, root, run, secrets := run / "secrets"):
            each.mkdir(mode=0o755)
        bind_read_only(order["image"], str(root))
        (run / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        uid, gid = order["owner"]
        for name, text in order["files"].items():
            with (secrets / name).open("x") as file:
                os.fchmod(file.fileno(), 0o440)
                os.fchown(file.fileno(), uid, gid)
                file.write(text)
        os.chown(secrets, uid, gid)
        secrets.chmod(0o550)
        (self._bundle / "config.json").write_text(json.dumps(order["config"]))

    def _help(
        self, command: list[str], streams: list[int] | None = None
    ) -> Generator[Callable[[], bool], None, int]:
        """Have a container runtime do one step; returns its exit status."""
        self.helper = self._spawn(command, streams)
        yield self._by(_HELPER_SECONDS, lambda: _is_over(self.helper))
        if not _is_over(self.helper):
            os.kill(self.helper, signal.SIGKILL)
        _, status = os.waitpid(self.helper, 0)
        self.helper = 0
        return os.waitstatus_to_exitcode(status)

    def _spawn(self, command: list[str], streams: list[int] | None = None) -> int:
        nothing = os.open(os.devnull, os.O_RDWR)
        given = streams or [nothing] * 3
        actions = [(os.POSIX_SPAWN_DUP2, each, number) for number, each in enumerate(given)]
        try:
            return os.posix_spawn(
                command[0],
                command,
                {"PATH": _PATH},
                file_actions=actions,
                setpgroup=0,
                setsigdef=[signal.SIGTERM, signal.SIGINT, signal.SIGHUP],
            )
        finally:
            os.close(nothing)

    def _by(self, seconds: float, held: Callable[[], bool]) -> Callable[[], bool]:
        """A condition that holds at the latest after so many seconds."""
        until = self.deadline = time.monotonic() + seconds
        return lambda: held() or time.monotonic() >= until

    def _shall_die(self) -> bool:
        self.deadline = self.kill_at
        return time.monotonic() >= self.kill_at

    def _ask_to_end(self) -> None:
        """Send TERM to the program; to one behind a kernel of its own by the runtime's command."""
        if self._term and self.pid:
            self._spawn(self._term)  # buried as a stranger
        else:
            self._send_signal(signal.SIGTERM)

    def _send_signal(self, number: int) -> None:
        # It is our child and not reaped: the number cannot have become another's.
        if self.pid and not _is_over(self.pid):
            with contextlib.suppress(OSError):
                os.kill(self.pid, number)

    def _tell_end(self, order: dict[str, Any]) -> None:
        found = _peek(self.pid)
        if found is None or self._ended_told:
            return
        self._ended_told = True
        by_itself = found.si_code == os.CLD_EXITED
        status = found.si_status if by_itself else -found.si_status
        if order["shell_status"] and status > 128:
            status = 128 - status
        oom = count_oom_kills(order["group"])
        self._of.tell(said="ended", id=self._name, status=status, oom=oom)

    def _fail(self, step: str, why: str) -> None:
        self._of.tell(said="failed", id=self._name, step=step, why=why[-1000:])

    def _last_words(self) -> str:
        """The last line of the runtime's own log."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            last = (self._bundle / "log").read_text().splitlines()[-1]
            return str(json.loads(last)["msg"]) if last.startswith("{") else last
        return "it gave no reason"

    def _close_files(self) -> None:
        for each in self._files:
            os.close(each)
        self._files = []


def _read_order(file: int) -> dict[str, Any]:
    with os.fdopen(os.dup(file), "rb") as read:
        read.seek(0)
        found: dict[str, Any] = json.load(read)
        return found


def _peek(pid: int) -> Any:
    """How a child of ours ended, without reaping it; None while it runs."""
    with contextlib.suppress(ChildProcessError):
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return None


def _is_over(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return True


def _children() -> list[int]:
    with contextlib.suppress(OSError, ValueError):
        own = os.getpid()
        return [int(each) for each in Path(f"/proc/{own}/task/{own}/children").read_text().split()]
    return []
