"""The gate's end of the leash: starts the supervisor, sends it orders, hears what it tells."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gatelodge
from gatelodge.core.errors import UpstreamUnreachable

_READY_SECONDS = 30.0
"""A killed gate's containers may still be ending; the supervisor waits 20 s for that."""
_END_SECONDS = 20.0
_PACKET = 65_536
_PROGRAM = (
    "import sys; sys.path.append(sys.argv[1]);"
    "from gatelodge.adapters.runtime.oci.supervisor import main;"
    "main(int(sys.argv[2]), *sys.argv[3:])"
)
_MEND = "Try again in a moment; see what this machine can isolate: gatelodge doctor."

Telling = dict[str, Any]


class SupervisorChannel:
    """A running supervisor; `heard` gets each of its packets, `lost` is called when it is gone."""

    def __init__(self, heard: Callable[[Telling], None], lost: Callable[[], None]) -> None:
        self._heard, self._lost = heard, lost
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._unsent: list[tuple[bytes, tuple[int, ...]]] = []
        self._ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def open(self) -> bool:
        """True while it can be told something."""
        return self._socket is not None

    async def start(self, folder: Path, group: str, grace: float) -> None:
        """Start it for the containers of this folder and group. Raises UpstreamUnreachable."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            ours.setblocking(False)
            self._socket = ours
            try:
                self._process = _spawn_supervisor(theirs.fileno(), folder, group)
            except OSError as failed:
                self.close()
                text = f"No process could be started: {failed.strerror}."
                raise UpstreamUnreachable(text, remedy=_MEND) from failed
        asyncio.get_running_loop().add_reader(ours, self._receive)
        self.send({"do": "grace", "seconds": grace})
        await asyncio.wait((self._ready,), timeout=_READY_SECONDS)
        why = self._ready.result() if self._ready.done() else "it does not answer"
        if why:
            self.close()
            await self.wait_until_over()
            raise UpstreamUnreachable(f"Containers cannot be supervised: {why}.", remedy=_MEND)

    def send(self, packet: Telling, files: tuple[int, ...] = ()) -> None:
        """Send a packet, with files that stay ours; to one that is gone nothing is sent."""
        if self._socket is None:
            return
        if not self._unsent:
            asyncio.get_running_loop().add_writer(self._socket, self._send_unsent)
        self._unsent.append((json.dumps(packet).encode(), tuple(os.dup(each) for each in files)))
        self._send_unsent()

    def _send_unsent(self) -> None:
        while self._unsent and self._socket is not None:
            data, files = self._unsent[0]
            try:
                socket.send_fds(self._socket, (data,), files)
            except BlockingIOError:
                return
            except OSError:
                self._lose()
                return
            del self._unsent[0]
            for each in files:
                os.close(each)
        if self._socket is not None:
            asyncio.get_running_loop().remove_writer(self._socket)

    def _receive(self) -> None:
        while self._socket is not None:
            try:
                data = self._socket.recv(_PACKET)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._lose()
                return
            told = json.loads(data)
            if told["said"] in ("ready", "refused"):
                self._ready.set_result(told["why"])
            else:
                self._heard(told)

    def _lose(self) -> None:
        self.close()
        if not self._ready.done():
            self._ready.set_result("the supervisor ended")
        self._lost()

    def close(self) -> None:
        """Let go: it ends its containers, and itself."""
        if self._socket is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._socket)
            loop.remove_writer(self._socket)
            self._socket.close()
            self._socket = None
        for _, files in self._unsent:
            for each in files:
                os.close(each)
        self._unsent.clear()

    async def wait_until_over(self) -> None:
        """Wait until it has ended, bounded; it goes on without us then."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _END_SECONDS
        while self._process is not None and self._process.poll() is None:
            if loop.time() >= until:
                return
            await asyncio.sleep(0.005)


def _spawn_supervisor(leash: int, folder: Path, group: str) -> subprocess.Popen[bytes]:
    source = str(Path(gatelodge.__file__).parents[1])
    words = (source, str(leash), str(folder), group)
    with contextlib.ExitStack() as stack:
        nothing = stack.enter_context(Path(os.devnull).open("r+b"))
        return subprocess.Popen(
            (sys.executable, "-I", "-S", "-c", _PROGRAM, *words),
            stdin=nothing,
            stdout=nothing,
            stderr=nothing,
            # Python may need this one to start; all else of the gate's may hold secrets.
            env={k: v for k, v in os.environ.items() if k == "LD_LIBRARY_PATH"},
            cwd="/",
            start_new_session=True,
            pass_fds=(leash,),
        )
