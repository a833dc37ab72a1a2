"""One child process: started clean, spoken to in lines, ended with all its descendants.

It gets a new session, three pipes, an environment of its own and nothing else of ours. Its standard
error is counted and dropped once it was met: it may hold payloads. Between it and the gate stands a
supervisor (`supervisor.py`) which ends all that it started, also when the gate is killed.
uvloop's subprocesses hand over no socket, hence `subprocess.Popen` with pipes of the loop.
"""

import asyncio
import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path

from msgspec import Struct

from gatelodge.adapters.upstream.stdio import supervisor
from gatelodge.adapters.upstream.stdio.early import StartOutput
from gatelodge.adapters.upstream.stdio.lines import LineCallbacks, LineSplitter
from gatelodge.adapters.upstream.stdio.reach import barred, find_program
from gatelodge.core.errors import UpstreamUnreachable

PATH = "/usr/local/bin:/usr/bin:/bin"
_MEND_OWN = 'Set run_as = "gateway" for this server, or install it where every uid can read it.'
_MEND = "Correct it: gatelodge server edit ALIAS -- CMD ARGS..."
_MEND_PATH = (
    "Name the program by its whole path, or add its directory to hosting.path; "
    "to correct the command: gatelodge server edit ALIAS -- CMD ARGS..."
)
_MEND_CWD = "Make the directory, or name another: gatelodge server edit ALIAS --cwd DIR"
_MEND_DISK = "Make room in the directory for temporary files."
_GONE_SECONDS = 12.0
"""How long the supervisor may take to kill and to tidy up; then it goes on without us."""
_START_SECONDS = 10.0
_TIDYING: list[subprocess.Popen[bytes]] = []
"""Supervisors that tidied up for longer than their child's end was waited for; the next start reaps
them, so that none stays a zombie. Owned by the event loop."""


class SpawnSpec(Struct, frozen=True, kw_only=True):
    """What to start. `env` holds resolved secrets and is never kept; `uid` 0 means our own.

    `path` is where programs are looked for, `grace` how long it may go on when
    the gate is killed, `hidden` what is masked in what it says before it was met.
    """

    command: tuple[str, ...]
    env: dict[str, str]
    cwd: str
    uid: int
    gid: int
    path: str
    grace: float
    hidden: tuple[str, ...] = ()


class _StderrCounter(asyncio.Protocol):
    """Counts what is said on standard error, and drops it."""

    def __init__(self, early: StartOutput) -> None:
        self.bytes = 0
        self._early = early

    def data_received(self, data: bytes) -> None:
        """Count and drop."""
        self.bytes += len(data)
        self._early.err(data)


class _SupervisorPipe(asyncio.Protocol):
    """What the supervisor tells: the server's pid, its status, and that all of it is gone."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[int] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        self.status: int | None = None
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """Take each whole line."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            word, _, number = line.partition(b" ")
            if word == b"over":
                self.status = int(number)
            elif word == b"gone":
                self._all_gone()
            elif not self.started.done():
                self.started.set_result(int(number) if word == b"pid" else -int(number))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the end is the end
        """The supervisor is over."""
        if not self.started.done():
            self.started.set_result(-errno.ECHILD)
        if self.status is None:
            # It died without a word, and took the server with it (`supervisor.py`).
            self.status = -signal.SIGKILL
        self._all_gone()

    def _all_gone(self) -> None:
        if not self.gone.done():
            self.gone.set_result(None)


class ChildProcess:
    """A running child. `stop` ends it; until then whoever made it owns it."""

    def __init__(self, process: subprocess.Popen[bytes], leash: socket.socket) -> None:
        self._process = process
        self._socket = leash
        self._leash = _SupervisorPipe()
        self._rein: asyncio.WriteTransport | None = None
        self._input: asyncio.WriteTransport | None = None
        self._outputs: list[asyncio.BaseTransport] = []
        self.early = StartOutput()
        self._errors = _StderrCounter(self.early)
        self._lines: LineSplitter | None = None
        self.ordered = False
        """True once the supervisor was told what to start."""
        self.pid = 0

    @property
    def status(self) -> int | None:
        """Its exit status (a signal is negative), None while it runs."""
        return self._leash.status

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
    def reads(self) -> bool:
        """True while what it is sent may be read, and answered."""
        return not (self.silent or self.closed)

    @property
    def over(self) -> bool:
        """True when the process itself is gone; its descendants may be there still."""
        return self._leash.status is not None

    @property
    def ending(self) -> str:
        """How it ended, or what it closed, as an admin is told."""
        closed = "closed its output" if self.silent else "closed its input"
        words = f"exited with status {self.status}" if self.over else closed
        return f"{words} after writing {self.errors} bytes of errors" if self.errors else words

    def write(self, line: bytes) -> None:
        """Send one line (the newline is added)."""
        if self._input is not None and not self._input.is_closing():
            self._input.write(line + b"\n")

    async def begin(self, order: bytes, ears: LineCallbacks) -> int:
        """Connect the pipes to the loop and have it started; the error's number, 0 for none."""
        await _finish_despite_cancellation(self._connect_pipes(ears))
        assert self._rein is not None
        self._rein.write(order)
        self.ordered = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_SECONDS):
                # Unshielded, the timeout would cancel the future whose result is read below.
                await asyncio.shield(self._leash.started)
        said = self._leash.started.result() if self._leash.started.done() else -errno.EAGAIN
        self.pid = max(said, 0)
        return max(-said, 0)

    async def _connect_pipes(self, ears: LineCallbacks) -> None:
        """Hand the pipes to the loop: all of them, or one would be closed twice, or never."""
        loop = asyncio.get_running_loop()
        lines = self._lines = LineSplitter(ears, self.early)
        process = self._process
        self._input, _ = await loop.connect_write_pipe(asyncio.Protocol, process.stdin)
        # At once, not at the end of the round: whether it may be written was asked just before.
        self._input.set_write_buffer_limits(high=0)
        errors = self._errors
        for factory, pipe in ((lambda: lines, process.stdout), (lambda: errors, process.stderr)):
            transport, _ = await loop.connect_read_pipe(factory, pipe)
            self._outputs.append(transport)
        self._rein, _ = await loop.create_unix_connection(lambda: self._leash, sock=self._socket)

    async def stop(self, seconds: float) -> None:
        """End it: close its input, then TERM, then KILL, each after `seconds`; idempotent.

        When this is cancelled in the middle all is killed at once, and the cancellation waits until
        it is gone. A crash of ours here leaves the rest to the supervisor.
        """
        if self._lines is not None:
            self._lines.deaf = True
        if self._input is not None:
            self._input.close()
        try:
            if self.pid and not await self._wait_for_exit(seconds):
                self._send_to_supervisor(b"T")
                await self._wait_for_exit(seconds)
        finally:
            self._send_to_supervisor(b"K")
            for transport in self._outputs:
                transport.close()
            await _finish_despite_cancellation(self._wait_until_gone())

    async def _wait_until_gone(self) -> None:
        """Wait until nothing of it runs; the supervisor may tidy up for longer than that."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _GONE_SECONDS
        if self._rein is None:
            self._socket.close()
        elif not self.ordered:
            self._rein.close()  # the supervisor started nothing, and will not be told to
        else:
            await asyncio.wait((self._leash.gone,), timeout=_GONE_SECONDS)
        while loop.time() < until:
            if self._process.poll() is not None:
                break
            await asyncio.sleep(0.005)
        if self._process.poll() is None:
            _TIDYING.append(self._process)
        if self._rein is not None:
            self._rein.close()

    async def _wait_for_exit(self, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while not self.over:
            if loop.time() >= until:
                return False
            await asyncio.sleep(0.01)
        return True

    def _send_to_supervisor(self, what: bytes) -> None:
        if self._rein is not None and not self._rein.is_closing():
            self._rein.write(what)


async def start_child(plan: SpawnSpec, ears: LineCallbacks) -> ChildProcess:
    """Start a child. Raises UpstreamUnreachable with the reason and what to do about it."""
    program, cwd = _checked_program_and_cwd(plan)
    home = _make_home_directory(plan)
    env = {"PATH": plan.path, "HOME": home, "TMPDIR": home, "LANG": "C.UTF-8", **plan.env}
    order = {
        "program": program,
        "command": [program, *plan.command[1:]],
        "env": env,
        "cwd": cwd or home,
        "uid": plan.uid,
        "gid": plan.gid,
        "home": home,
        "grace": plan.grace,
    }
    try:
        child = _spawn_supervised_child()
    except OSError as failed:
        supervisor.remove_tree(home)
        text = f"No process could be started for the server: {failed.strerror}."
        raise UpstreamUnreachable(text) from failed
    child.early.hide(plan.hidden)
    try:
        fault = await child.begin(json.dumps(order).encode() + b"\n", ears)
    except BaseException:
        if not child.ordered:  # else the supervisor knows of it
            supervisor.remove_tree(home)
        await child.stop(0.0)
        raise
    if fault:
        await child.stop(0.0)
        text = f"The program {program!r} could not be started: {os.strerror(fault)}."
        raise UpstreamUnreachable(text, remedy=_MEND)
    return child


def _make_home_directory(plan: SpawnSpec) -> str:
    """A new directory of its own, with nothing in it."""
    try:
        home = tempfile.mkdtemp(prefix="gatelodge-")
    except OSError as full:
        text = f"No home directory could be made for the server: {full.strerror}."
        raise UpstreamUnreachable(text, remedy=_MEND_DISK) from full
    try:
        if plan.uid:
            os.chown(home, plan.uid, plan.gid)
    except OSError as refused:
        supervisor.remove_tree(home)
        text = f"The server could not be started: {refused.strerror}."
        raise UpstreamUnreachable(text, remedy=_MEND_OWN) from refused
    return home


def usual_path(setting: str) -> str:
    """Where programs are looked for: `~` is the home of the gate's own user."""
    parts = (str(Path(each).expanduser()) for each in setting.split(":") if each)
    return ":".join(dict.fromkeys(parts))


def _checked_program_and_cwd(plan: SpawnSpec) -> tuple[str, str]:
    """The program's file and the directory to start in, empty for the home of its own."""
    path = plan.env.get("PATH", plan.path)
    if plan.cwd and not Path(plan.cwd).is_dir():
        text = f"The directory {plan.cwd!r}, where the server shall start, is not there."
        raise UpstreamUnreachable(text, remedy=_MEND_CWD)
    program = find_program(plan.command[0], path, plan.cwd or "/nonexistent")
    if not program:
        text = f"The program {plan.command[0]!r} was not found on {path}."
        raise UpstreamUnreachable(text, remedy=_MEND_PATH)
    if plan.uid:
        at = barred(program, path, plan.uid, plan.gid)
        if at:
            text = f"The program {program!r} cannot be run by the server's own uid: {at!r} bars it."
            raise UpstreamUnreachable(text, remedy=_MEND_OWN)
    return program, plan.cwd


def _spawn_supervised_child() -> ChildProcess:
    """A child whose supervisor waits to be told what to start."""
    _TIDYING[:] = [each for each in _TIDYING if each.poll() is None]
    ours, theirs = socket.socketpair()
    try:
        ours.setblocking(False)
        # A fork takes a few milliseconds of the loop; in a thread, a cancelled start would leave
        # a child that nobody owns.
        process: subprocess.Popen[bytes] = subprocess.Popen(
            (sys.executable, "-I", "-S", supervisor.__file__, str(theirs.fileno())),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            # Python may need this one to start; all else of the gate's may hold secrets.
            env={k: v for k, v in os.environ.items() if k == "LD_LIBRARY_PATH"},
            cwd="/",
            start_new_session=True,
            pass_fds=(theirs.fileno(),),
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return ChildProcess(process, ours)


async def _finish_despite_cancellation(work: Coroutine[None, None, None]) -> None:
    """Do it to its end, and only then be cancelled: half of it would leave something behind."""
    task = asyncio.ensure_future(work)
    cut = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cut = True
    if cut:
        raise asyncio.CancelledError
