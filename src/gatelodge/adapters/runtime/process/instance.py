"""One child process: started clean, with pipes, and ended with all its descendants.

It gets a new session, three pipes, an environment of its own and nothing else of ours. Between it
and the gate stands a supervisor (`supervisor.py`) which ends all that it started, also when the
gate is killed.
uvloop's subprocesses hand over no socket, hence `subprocess.Popen` with pipes of the loop.
"""

import asyncio
import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

from gatelodge.adapters.runtime.finish import finish_despite_cancellation
from gatelodge.adapters.runtime.kernel.facts import ended_error
from gatelodge.adapters.runtime.process import supervisor
from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.hosting.facts import IsolationFacts
from gatelodge.ports.runtime import InstanceStats, RuntimeGap

_MEND = "Correct it: gatelodge server edit ALIAS -- CMD ARGS..."
_APART = "See what this machine can isolate: gatelodge doctor."
_ROOM = "Try again in a moment; see that the gate may have enough open files and processes."
_NO_BORDER = RuntimeGap(
    "A plain child process cannot be paused: nothing keeps what it starts together.",
    remedy='Run commands in a sandbox (hosting.plain_commands = "sandbox"), or host a package.',
)
_GONE_SECONDS = 12.0
"""How long the supervisor may take to kill and to tidy up; then it goes on without us."""
_START_SECONDS = 10.0
_TIDYING: list[subprocess.Popen[bytes]] = []
"""Supervisors that tidied up for longer than their child's end was waited for; the next start reaps
them, so that none stays a zombie. Owned by the event loop."""


class _SupervisorPipe(asyncio.Protocol):
    """What the supervisor tells: the server's pid, its status, and that all of it is gone."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[int] = loop.create_future()
        """The pid, or the number of the error, negative."""
        self.ended: asyncio.Future[int] = loop.create_future()
        self.gone: asyncio.Future[int] = loop.create_future()
        self.init: asyncio.Future[int] = loop.create_future()
        """The pid of the first process in its pid namespace, where it has one of its own."""
        self.refused = ""
        """What could not be done to keep it apart."""
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """Take each whole line."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            word, number, *text = line.split(b" ", 2)
            if word == b"refused":
                self.refused = b" ".join(text).decode(errors="replace")
                continue
            told = {b"started": self.started, b"ended": self.ended, b"gone": self.gone}
            told[b"init"] = self.init
            told[word].set_result(int(number))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the end is the end
        """The supervisor is over; without a word it took the server with it (`supervisor.py`)."""
        untold = (self.started, -errno.ECHILD), (self.ended, -signal.SIGKILL), (self.gone, 0)
        for future, number in untold:
            if not future.done():
                future.set_result(number)


class ProcessInstance:
    """Implements `RuntimeInstance`; `gone` is called once nothing of it is left."""

    def __init__(
        self, server: str, uid: int, grace: float, gone: "Callable[[ProcessInstance], None]"
    ) -> None:
        self.server = server
        self.uid = uid
        self.pid = 0
        self.init = 0
        """The first process of its pid namespace, zero where it has none of its own."""
        self._grace = grace
        self._gone = gone
        self._home = ""
        """Its home, until the supervisor knows of it and removes it."""
        self._process: subprocess.Popen[bytes] | None = None
        self._leash = _SupervisorPipe()
        self._socket: socket.socket | None = None
        """Our end of the leash; the supervisor ends when it is closed."""
        self._rein: asyncio.WriteTransport | None = None
        self._input: asyncio.WriteTransport | None = None
        self._outputs: list[asyncio.BaseTransport] = []
        self._passed: tuple[int, ...] = ()
        """Descriptors that the supervisor is given besides; whoever sets them closes them."""

    @property
    def isolation(self) -> str:
        """None at all: a uid of its own is no border that would be worth the name."""
        return f"not isolated, uid {self.uid}" if self.uid else "not isolated"

    @property
    def facts(self) -> IsolationFacts:
        """Whose uid it has; the rest is the gate's own."""
        return IsolationFacts(runtime="process", tier="none", source="none", uid=self.uid)

    def cure(self, what: str) -> str:  # noqa: ARG002 - runtimes that keep apart know more
        """What to do about a step of keeping it apart that was refused."""
        return _APART

    @property
    def status(self) -> int | None:
        """Its exit status (a signal is negative), None while it runs."""
        return self._leash.ended.result() if self._leash.ended.done() else None

    @property
    def ending(self) -> str:
        """Nothing beyond its status is known of a child process."""
        return ""

    @property
    def unread(self) -> int:
        """Bytes that it was sent and has not taken yet."""
        return 0 if self._input is None else self._input.get_write_buffer_size()

    @property
    def closed(self) -> bool:
        """True when it closed its input, so that nothing can be said to it any more."""
        return self._input is not None and self._input.is_closing()

    async def stats(self) -> InstanceStats:
        """Nothing: no limit and no count is kept of a child process."""
        return InstanceStats()

    async def attest(self) -> IsolationFacts:
        """The same as ever: it promises nothing. Raises UpstreamUnreachable once it has ended."""
        if self.status is not None:
            raise ended_error()
        return self.facts

    async def pause(self) -> RuntimeGap | None:
        """Not to be done: what it starts is kept together by nothing that could be stopped."""
        return _NO_BORDER

    async def resume(self) -> RuntimeGap | None:
        """Nothing to be done: it never stands still."""
        return None

    def write(self, data: bytes) -> None:
        """Write to its input; to a closed one nothing is written."""
        if self._input is not None and not self._input.is_closing():
            self._input.write(data)

    async def launch(
        self, order: dict[str, object], output: asyncio.Protocol, errors: asyncio.Protocol
    ) -> None:
        """Have it started. Raises UpstreamUnreachable; `stop` is due also when this fails."""
        self._home = str(order["home"])
        try:
            self._socket = self._spawn_supervisor()
            await finish_despite_cancellation(self._connect_pipes(self._socket, output, errors))
        except OSError as failed:
            text = f"No process could be started for the server: {failed.strerror}."
            raise UpstreamUnreachable(text, remedy=_ROOM) from failed
        self._send_to_supervisor(json.dumps(order).encode() + b"\n")
        self._home = ""
        await asyncio.wait((self._leash.started,), timeout=_START_SECONDS)
        said = self._leash.started.result() if self._leash.started.done() else -errno.EAGAIN
        self.pid = max(said, 0)
        self.init = self._leash.init.result() if self._leash.init.done() else 0
        if self._leash.refused:
            what, why = self._leash.refused, os.strerror(-said)
            text = f"The server could not be kept apart: {what}: {why}."
            raise UpstreamUnreachable(text, remedy=self.cure(what))
        if said < 0:
            text = f"The program {order['program']!r} could not be started: {os.strerror(-said)}."
            raise UpstreamUnreachable(text, remedy=_MEND)

    def _spawn_supervisor(self) -> socket.socket:
        """Our end of the leash of a supervisor that waits to be told what to start."""
        _TIDYING[:] = [each for each in _TIDYING if each.poll() is None]
        ours, theirs = socket.socketpair()
        try:
            ours.setblocking(False)
            # A fork takes a few milliseconds of the loop; in a thread, a cancelled start would
            # leave a child that nobody owns.
            self._process = subprocess.Popen(
                (sys.executable, "-I", "-S", supervisor.__file__, str(theirs.fileno())),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                # Python may need this one to start; all else of the gate's may hold secrets.
                env={k: v for k, v in os.environ.items() if k == "LD_LIBRARY_PATH"},
                cwd="/",
                start_new_session=True,
                pass_fds=(theirs.fileno(), *self._passed),
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours

    async def _connect_pipes(
        self, ours: socket.socket, output: asyncio.Protocol, errors: asyncio.Protocol
    ) -> None:
        """Hand the pipes to the loop: all of them, or one would be closed twice, or never."""
        loop = asyncio.get_running_loop()
        process = self._process
        assert process is not None
        self._input, _ = await loop.connect_write_pipe(asyncio.Protocol, process.stdin)
        # At once, not at the end of the round: whether it may be written was asked just before.
        self._input.set_write_buffer_limits(high=0)
        for factory, pipe in ((lambda: output, process.stdout), (lambda: errors, process.stderr)):
            transport, _ = await loop.connect_read_pipe(factory, pipe)
            self._outputs.append(transport)
        self._rein, _ = await loop.create_unix_connection(lambda: self._leash, sock=ours)

    async def stop(self, seconds: float | None = None) -> None:
        """End it: close its input, then TERM, then KILL, each after `seconds`; idempotent.

        When this is cancelled in the middle all is killed at once, and the cancellation waits until
        it is gone. A crash of ours here leaves the rest to the supervisor.
        """
        seconds = self._grace if seconds is None else seconds
        if self._input is not None:
            self._input.close()
        try:
            if self.pid:
                await asyncio.wait((self._leash.ended,), timeout=seconds)
            if self.pid and self.status is None:
                self._send_to_supervisor(b"T")
                await asyncio.wait((self._leash.ended,), timeout=seconds)
        finally:
            self._send_to_supervisor(b"K")
            for transport in self._outputs:
                transport.close()
            await finish_despite_cancellation(self._wait_until_gone())

    async def _wait_until_gone(self) -> None:
        """Wait until nothing of it runs; the supervisor may tidy up for longer than that."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _GONE_SECONDS
        if self._home:  # the supervisor was told of nothing, and will not be
            supervisor.remove_tree(self._home)
        elif self._rein is not None:
            await asyncio.wait((self._leash.gone,), timeout=_GONE_SECONDS)
        if self._rein is not None:
            self._rein.close()
        process = self._process
        self._close_unconnected()
        while process is not None and process.poll() is None:
            if loop.time() >= until:
                _TIDYING.append(process)
                break
            await asyncio.sleep(0.005)
        self._gone(self)

    def _close_unconnected(self) -> None:
        """Close what no transport took over that would close it: the supervisor ends then."""
        process = self._process
        if process is None or self._socket is None or self._rein is not None:
            return
        self._socket.close()
        inputs = () if self._input is not None else (process.stdin,)
        for pipe in (*inputs, *(process.stdout, process.stderr)[len(self._outputs) :]):
            if pipe is not None:
                pipe.close()

    def _send_to_supervisor(self, what: bytes) -> None:
        if self._rein is not None and not self._rein.is_closing():
            self._rein.write(what)
