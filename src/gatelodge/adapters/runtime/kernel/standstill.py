"""Has all processes of an instance stand still, and go on, with their memory as it is.

By the freezer of its control groups where it has some: nothing in them runs until it is let go on.
Else by SIGSTOP to each process of its pid namespace, which none can catch or refuse from within.
"""

import asyncio
import contextlib
import itertools
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gatelodge.adapters.runtime.kernel.cgroups import ControlGroups, is_frozen, set_frozen
from gatelodge.ports.runtime import RuntimeGap

_SECONDS: Final = 2.0
"""How long all of it may take to stand: what hangs in the kernel needs it."""
_LOOK_SECONDS: Final = 0.002
_LOOKS_TO_THAW: Final = 25
_STANDS: Final = "TtZX"
_NO_GROUP: Final = RuntimeGap(
    "The control group of this instance is out of the gate's reach, so it cannot be paused.",
    remedy="Run the gate on the machine of its runtime, as root or as the user of that runtime.",
)
_RESTLESS: Final = RuntimeGap(
    f"Some process of the instance did not stand still within {_SECONDS:g} s; all of it goes on.",
    remedy="Try again, or end it: gatelodge instance kill ID",
)


async def freeze_groups(groups: ControlGroups, wanted: Callable[[], bool]) -> RuntimeGap | None:
    """Have all in these groups stand still, and see that it does. None = it does.

    Or it is not wanted any more: what is killed meanwhile must not be told to stand again.

    A freezer of v1 reaches only what is there when it is told: what is forked meanwhile, or is on
    its way through `exec`, leaves it at FREEZING. So it is told again before each look, and now and
    then lets all go on for a moment (as runc does it, libcontainer/cgroups/fs/freezer.go).
    """
    try:
        until = time.monotonic() + _SECONDS
        for look in itertools.count(1):
            if not wanted():
                return None
            set_frozen(groups, frozen=True)
            if is_frozen(groups):
                return None
            if time.monotonic() >= until:
                set_frozen(groups, frozen=False)
                return _RESTLESS
            if look % _LOOKS_TO_THAW == 0:
                set_frozen(groups, frozen=False)
            await asyncio.sleep(_LOOK_SECONDS)
    except (OSError, LookupError):
        return _NO_GROUP
    return None


def thaw_groups(groups: ControlGroups) -> RuntimeGap | None:
    """Have all in these groups go on. None = it does."""
    try:
        set_frozen(groups, frozen=False)
    except (OSError, LookupError):
        return _NO_GROUP
    return None


async def stop_namespace(init: int) -> RuntimeGap | None:
    """Stop all processes of the pid namespace that `init` began. None = all of them stand."""
    return await asyncio.to_thread(_stop_until_all_stand, init)


def continue_namespace(init: int) -> None:
    """Have all processes of the pid namespace that `init` began go on."""
    with contextlib.suppress(OSError):
        _NamespaceMembers(init).send_all(signal.SIGCONT)


def _stop_until_all_stand(init: int) -> RuntimeGap | None:
    until = time.monotonic() + _SECONDS
    try:
        members = _NamespaceMembers(init)
        before: set[int] | None = None
        # Whoever forks and ends between the list and the look at it is missed, and leaves a zombie
        # behind, since the init stands and buries nobody: so two looks have to find the same dead.
        while members.send_all(signal.SIGSTOP) or members.dead != before:
            if time.monotonic() >= until:
                continue_namespace(init)
                return _RESTLESS
            before = set(members.dead)
    except OSError:
        return None  # its init has ended, and with it all that there was
    return None


class _NamespaceMembers:
    """The processes of a pid namespace, found in /proc as often as they are signalled."""

    def __init__(self, init: int) -> None:
        """Raises OSError when there is no such namespace, or it is the gate's own."""
        self._namespace = Path(f"/proc/{init}/ns/pid").readlink()
        if self._namespace == Path("/proc/self/ns/pid").readlink():
            raise OSError("all of this machine would be meant")
        self._known = {init}
        self._strangers: set[int] = set()
        self.dead: set[int] = set()
        """Those that had ended when they were last looked at, and are not buried."""

    def send_all(self, number: signal.Signals) -> int:
        """Signal those that do not stand, or all by SIGCONT; how many that were."""
        signalled = 0
        self.dead.clear()
        # The newest first: of a chain of forks it is the one that runs.
        names = (each.name for each in Path("/proc").iterdir())
        for pid in sorted((int(each) for each in names if each.isdigit()), reverse=True):
            if pid in self._strangers or not self._is_member(pid):
                continue
            if number == signal.SIGCONT or not _stands(pid):
                signalled += self._send(pid, number)
            elif _state(Path(f"/proc/{pid}")) in "ZX":
                self.dead.add(pid)
        return signalled

    def _is_member(self, pid: int) -> bool:
        proc = Path(f"/proc/{pid}")
        try:
            member = (proc / "ns" / "pid").readlink() == self._namespace
        except OSError:
            # It has ended, or its first thread has: then its parent tells.
            return _parent(proc) in self._known
        (self._known if member else self._strangers).add(pid)
        return member

    def _send(self, pid: int, number: signal.Signals) -> bool:
        try:
            handle = os.pidfd_open(pid)
        except OSError:
            return True  # it has ended meanwhile, and may have forked before
        try:
            # Between the look and the descriptor its number could have become another's.
            if self._is_member(pid):
                signal.pidfd_send_signal(handle, number)
        except OSError:
            pass
        finally:
            os.close(handle)
        return True


def _stands(pid: int) -> bool:
    """Say whether each of its threads stands, or has ended."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return False
    return all(_state(each) in _STANDS for each in threads)


def _state(thread: Path) -> str:
    return _stat(thread)[0]


def _parent(proc: Path) -> int:
    return int(_stat(proc)[1])


def _stat(at: Path) -> list[str]:
    """Its state and its parent, `X` and 0 of what is gone."""
    try:
        return (at / "stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return ["X", "0"]
