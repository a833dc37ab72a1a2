"""One child process: started clean, spoken to in lines, ended with all its descendants.

It gets a new session (so that its group can be killed), three pipes, an environment of its own and
nothing else of ours. Its standard error is counted and dropped: it may hold payloads. It cannot
outlive us for long: its input closes when we die, which is how MCP tells a server to go.
uvloop's subprocesses cannot change the uid, hence `subprocess.Popen` with pipes of the loop.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path

from msgspec import Struct

from gatelodge.adapters.upstream.stdio.reach import barred, find_program
from gatelodge.core.errors import UpstreamUnreachable

PATH = "/usr/local/bin:/usr/bin:/bin"
_MEND_OWN = 'Set run_as = "gateway" for this server, or install it where every uid can read it.'
_MEND = "Correct the server's command."
_MEND_CWD = "Make the directory, or name another as the server's cwd."
_MEND_DISK = "Make room in the directory for temporary files."
_KILL_SECONDS = 5.0
"""How long a killed process may take to go: only one that hangs in the kernel needs it."""


class Plan(Struct, frozen=True, kw_only=True):
    """What to start. `env` holds resolved secrets and is never kept; `uid` 0 means our own."""

    command: tuple[str, ...]
    env: dict[str, str]
    cwd: str
    uid: int


class Ears(Struct, frozen=True, kw_only=True):
    """Who hears of lines, of a line that outgrows `longest` (its beginning), and of the end."""

    longest: Callable[[], int]
    line: Callable[[bytes], None]
    too_long: Callable[[bytes], None]
    end: Callable[[], None]


class _Lines(asyncio.Protocol):
    """Cuts the child's output into lines; owned by its Child."""

    def __init__(self, ears: Ears) -> None:
        self._ears = ears
        self._rest = bytearray()
        self.deaf = False

    def data_received(self, data: bytes) -> None:
        """Hand on each whole line."""
        if self.deaf:
            return
        if b"\n" not in data:
            self._rest += data
        else:
            *lines, rest = data.split(b"\n")
            lines[0] = bytes(self._rest) + lines[0] if self._rest else lines[0]
            self._rest = bytearray(rest)
            for line in lines:
                if line and not self.deaf:
                    self._ears.line(line)
        if len(self._rest) > self._ears.longest() and not self.deaf:
            self.deaf = True
            beginning, self._rest = bytes(self._rest[:512]), bytearray()
            self._ears.too_long(beginning)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the end is the end
        """The child closed its output."""
        if not self.deaf:
            self.deaf = True
            self._ears.end()


class _Count(asyncio.Protocol):
    """Counts what is said on standard error."""

    def __init__(self) -> None:
        self.bytes = 0

    def data_received(self, data: bytes) -> None:
        """Count and drop."""
        self.bytes += len(data)


class Child:
    """A running child. `stop` ends it; until then whoever made it owns it."""

    def __init__(self, process: subprocess.Popen[bytes], home: str, uid: int) -> None:
        self._process = process
        self._home = home
        self._uid = uid
        self._input: asyncio.WriteTransport | None = None
        self._outputs: list[asyncio.BaseTransport] = []
        self._errors = _Count()
        self._lines: _Lines | None = None
        self.pid = process.pid
        self.status: int | None = None
        """Its exit status (a signal is negative), None while it runs."""

    @property
    def errors(self) -> int:
        """Bytes that it wrote to standard error."""
        return self._errors.bytes

    @property
    def silent(self) -> bool:
        """True when no more lines will come from it."""
        return self._lines is None or self._lines.deaf

    @property
    def unread(self) -> int:
        """Bytes that it was sent and has not taken yet."""
        return 0 if self._input is None else self._input.get_write_buffer_size()

    @property
    def closed(self) -> bool:
        """True when it closed its input, so that nothing can be said to it any more."""
        return self._input is not None and self._input.is_closing()

    @property
    def over(self) -> bool:
        """True when the process itself is gone; its descendants may be there still.

        It is not reaped here: until `stop` has killed its group, the group's number stays its own.
        """
        if self.status is None and hasattr(os, "waitid"):
            flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
            with contextlib.suppress(ChildProcessError):
                found = os.waitid(os.P_PID, self.pid, flags)
                if found is not None:
                    by_itself = found.si_code == os.CLD_EXITED
                    self.status = found.si_status if by_itself else -found.si_status
        elif self.status is None:
            self.status = self._process.poll()
        return self.status is not None

    def write(self, line: bytes) -> None:
        """Send one line (the newline is added)."""
        if self._input is not None and not self._input.is_closing():
            self._input.write(line + b"\n")

    async def attach(self, ears: Ears) -> None:
        """Connect the pipes to the loop."""
        loop = asyncio.get_running_loop()
        lines = self._lines = _Lines(ears)
        process = self._process
        self._input, _ = await loop.connect_write_pipe(asyncio.Protocol, process.stdin)
        errors = self._errors
        for factory, pipe in ((lambda: lines, process.stdout), (lambda: errors, process.stderr)):
            transport, _ = await loop.connect_read_pipe(factory, pipe)
            self._outputs.append(transport)

    async def stop(self, seconds: float) -> None:
        """End it: close its input, then TERM, then KILL, each after `seconds`; idempotent.

        When this is cancelled in the middle the group is killed at once, and the cancellation
        waits until it is gone. A crash of ours here leaves a child with a closed input, and its
        home directory.
        """
        if self._lines is not None:
            self._lines.deaf = True
        if self._input is not None:
            self._input.close()
        try:
            if not await self._gone(seconds):
                self._signal(signal.SIGTERM)
                await self._gone(seconds)
        finally:
            self._signal(signal.SIGKILL)
            if self._uid:
                _kill_all(self._uid)
            for transport in self._outputs:
                transport.close()
            await _whole(self._bury())

    async def _bury(self) -> None:
        await self._gone(_KILL_SECONDS)
        self._process.poll()
        await asyncio.to_thread(shutil.rmtree, self._home, ignore_errors=True)

    async def _gone(self, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while not self.over:
            if loop.time() >= until:
                return False
            await asyncio.sleep(0.01)
        return True

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


async def start_child(plan: Plan, ears: Ears) -> Child:
    """Start a child. Raises UpstreamUnreachable with the reason and what to do about it."""
    try:
        home = tempfile.mkdtemp(prefix="gatelodge-")
    except OSError as full:
        text = f"No home directory could be made for the server: {full.strerror}."
        raise UpstreamUnreachable(text, remedy=_MEND_DISK) from full
    try:
        child = _start(plan, home)
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise
    try:
        await child.attach(ears)
    except BaseException:
        await child.stop(0.0)
        raise
    return child


def _start(plan: Plan, home: str) -> Child:
    env = {"PATH": PATH, "HOME": home, "TMPDIR": home, "LANG": "C.UTF-8", **plan.env}
    cwd = plan.cwd or home
    if not plan.command or not all(plan.command[:1]):
        raise UpstreamUnreachable("The server has no command.", remedy=_MEND)
    if not Path(cwd).is_dir():
        text = f"The directory {cwd!r}, where the server shall start, is not there."
        raise UpstreamUnreachable(text, remedy=_MEND_CWD)
    program = find_program(plan.command[0], env["PATH"], cwd)
    if not program:
        text = f"The program {plan.command[0]!r} was not found on {env['PATH']}."
        raise UpstreamUnreachable(text, remedy=_MEND)
    if plan.uid:
        at = barred(program, env["PATH"], plan.uid)
        if at:
            text = f"The program {program!r} cannot be run by the server's own uid: {at!r} bars it."
            raise UpstreamUnreachable(text, remedy=_MEND_OWN)
    own = {"user": plan.uid, "group": plan.uid, "extra_groups": []} if plan.uid else {}
    try:
        if plan.uid:
            os.chown(home, plan.uid, plan.uid)
        # A fork takes a few milliseconds of the loop; in a thread, a cancelled start would leave
        # a child that nobody owns.
        process: subprocess.Popen[bytes] = subprocess.Popen(
            (program, *plan.command[1:]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=env,
            cwd=cwd,
            start_new_session=True,
            **own,  # type: ignore[call-overload]
        )
    except (OSError, ValueError, subprocess.SubprocessError) as failed:
        reason = failed.strerror if isinstance(failed, OSError) else type(failed).__name__
        text = f"The program {program!r} could not be started: {reason}."
        raise UpstreamUnreachable(text, remedy=_MEND) from failed
    return Child(process, home, plan.uid)


def _kill_all(uid: int) -> None:
    """Kill what still runs under a uid that belongs to one server, in whatever session it hides."""
    for folder in Path("/proc").iterdir() if Path("/proc").is_dir() else ():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if folder.stat().st_uid == uid:
                os.kill(int(folder.name), signal.SIGKILL)


async def _whole(work: Coroutine[None, None, None]) -> None:
    """Do it to its end, and only then be cancelled: half of it would leave a zombie."""
    task = asyncio.ensure_future(work)
    cut = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cut = True
    if cut:
        raise asyncio.CancelledError
