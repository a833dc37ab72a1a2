"""PID 1 of a pod: starts the server when its gate says so, and carries its three streams.

Run as a module, with the folder as argument, by the Python of the image; nothing but the standard
library and the modules beside it are there. The folder holds the instance's token, certificate
and key. One gate is served, once: it shows the token within TLS and orders the start; with its
connection the server ends.

After the token each way is frames: a channel (one byte), a length (four, big-endian), and that many
bytes. Neither end sends more of a stream than the other has granted or taken, so nothing piles up
here, and an end that waits holds up no word about the server.

| to the gate | | from the gate | |
|---|---|---|---|
| `h` | what was found here, JSON | `p` | look around: what to try, JSON |
| `s` | started (empty), or the error | `s` | start: command, environment, JSON |
| `o` `e` | output, errors; empty = ended | `o` `e` | grants so many bytes more |
| `i` | takes so many bytes more of its input | `i` | input; empty = closed |
| `c` | it closed its input | `t` `k` | TERM; KILL to all that is here |
| `x` | it ended, with this status | `q` | asks for what it takes now |
| `g` | nothing but this program runs any more | | |
| `q` | what it takes now, JSON | | |
"""

import asyncio
import contextlib
import hmac
import json
import os
import signal
import ssl
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gatelodge.adapters.runtime.kubernetes.bridge import surroundings
from gatelodge.adapters.runtime.landlock.calls import install_filter

GATE_PORT, HEALTH_PORT = 8443, 8080
ALONE_SECONDS = 120.0
"""How long a bridge waits for its gate; it has started nothing then."""
TOKEN_SECONDS = 5.0
STRANGERS = 8
"""Connections that have shown no token yet."""
FRAME = struct.Struct(">cI")
NUMBER = struct.Struct(">I")
LONGEST = 1 << 20
CHUNK = 65_536
OUTPUTS = {b"o": 1, b"e": 2}


class HostedServer:
    """The server's process and its pipes. `say` sends a frame to the gate."""

    def __init__(self, say: Callable[[bytes, bytes], None]) -> None:
        self._say = say
        self._loop = asyncio.get_running_loop()
        self._process: subprocess.Popen[bytes] | None = None
        self._granted = {b"o": 0, b"e": 0}
        self._pipes: dict[bytes, Any] = {}
        self._input = bytearray()
        self._closing = False
        self.ended = asyncio.Event()
        self.killed = False

    def start(self, order: dict[str, Any]) -> str:
        """Start it; the error's words when that fails, else nothing."""
        allowed = bytes.fromhex(order["filter"])
        try:
            process = subprocess.Popen(
                order["command"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=order["env"],
                cwd=order["cwd"],
                start_new_session=True,
                # Of the child alone: what we need ourselves is more. There is one thread.
                preexec_fn=lambda: install_filter(allowed),  # noqa: PLW1509
            )
        except OSError as failed:
            return failed.strerror or "it could not be started"
        except subprocess.SubprocessError:
            return "its list of system calls could not be put in force"
        self._process = process
        self._pipes = {b"i": process.stdin, b"o": process.stdout, b"e": process.stderr}
        for pipe in self._pipes.values():
            os.set_blocking(pipe.fileno(), False)
        # Only an error makes the end that is written to readable: nobody holds the other any more.
        self._loop.add_reader(self._pipes[b"i"], self._input_lost)
        return ""

    def reap(self) -> None:
        """Bury who ended: the server, or orphans that became ours. PID 1 has to."""
        pid = self._process.pid if self._process is not None else 0
        with contextlib.suppress(ChildProcessError):
            while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG):
                if found.si_pid == pid and not self.ended.is_set():
                    by_itself = found.si_code == os.CLD_EXITED
                    status = found.si_status if by_itself else -found.si_status
                    oom = surroundings.oom_kills()
                    self.ended.set()
                    # As in each container, what it started goes with it.
                    _kill_everything()
                    self._say(b"x", json.dumps({"status": status, "oom_kills": oom}).encode())

    def grant(self, channel: bytes, more: int) -> None:
        """The gate takes so many bytes more of an output."""
        if channel in self._pipes:
            self._granted[channel] += more
            self._loop.add_reader(self._pipes[channel], self._read, channel)

    def _read(self, channel: bytes) -> None:
        pipe, room = self._pipes[channel], self._granted[channel]
        if not room:
            self._loop.remove_reader(pipe)
            return
        try:
            data = os.read(pipe.fileno(), min(room, CHUNK))
        except BlockingIOError:
            return
        self._granted[channel] -= len(data)
        if not data:
            self._loop.remove_reader(pipe)
            self._pipes.pop(channel).close()
        self._say(channel, data)

    def write(self, data: bytes) -> None:
        """Bytes for its input; none = close it, once it took the rest."""
        if b"i" not in self._pipes:
            return
        self._input += data
        self._closing = self._closing or not data
        self._write()

    def _write(self) -> None:
        pipe, taken = self._pipes.get(b"i"), 0
        if pipe is None:
            return
        try:
            while self._input:
                count = os.write(pipe.fileno(), self._input[:CHUNK])
                del self._input[:count]
                taken += count
        except BlockingIOError:
            self._loop.add_writer(pipe, self._write)
        except OSError:
            self._input_lost()
            return
        if taken:
            self._say(b"i", NUMBER.pack(taken))
        if not self._input:
            self._loop.remove_writer(pipe)
            if self._closing:
                self._close_input()

    def _input_lost(self) -> None:
        self._close_input()
        self._say(b"c", b"")

    def _close_input(self) -> None:
        pipe = self._pipes.pop(b"i", None)
        if pipe is not None:
            self._loop.remove_reader(pipe)
            self._loop.remove_writer(pipe)
            pipe.close()
        self._input.clear()

    def terminate(self) -> None:
        """Send TERM to its group."""
        if self._process is not None and not self.ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)

    async def kill(self) -> None:
        """Kill all that is in this PID namespace but us, until nothing is left, and say so."""
        while _has_children():
            _kill_everything()
            self.reap()
            await asyncio.sleep(0.002)
        self._say(b"g", b"")

    async def end(self, grace: float) -> None:
        """Nobody is there for it any more: close its input, then TERM, then KILL."""
        self._close_input()
        for last in (self.terminate, None):
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.ended.wait(), grace if self._process else 0)
            if last is not None:
                last()
        await self.kill()


def _kill_everything() -> None:
    """Send KILL to all in this PID namespace but us, in one step, which no fork escapes."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)


def _has_children() -> bool:
    """Of PID 1, everything else that runs is a descendant."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


class InstanceBridge:
    """The one gate, and the server that it orders."""

    def __init__(self, folder: Path) -> None:
        self._token = (folder / "token").read_bytes().strip()
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_3
        self._tls.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        self._gate: asyncio.StreamWriter | None = None
        self._strangers = 0
        self._grace = 0.0
        self._server = HostedServer(self._say)
        self._tasks: set[asyncio.Task[None]] = set()
        self.over = asyncio.Event()

    async def serve(self) -> None:
        """Until the gate is gone, or none came."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._server.reap)
        loop.add_signal_handler(signal.SIGTERM, self.over.set)
        await asyncio.start_server(self._meet, port=GATE_PORT, ssl=self._tls, limit=CHUNK)
        await asyncio.start_server(self._answer_probe, port=HEALTH_PORT, limit=4096)
        loop.call_later(ALONE_SECONDS, self._give_up_waiting)
        await self.over.wait()
        await self._server.end(self._grace)

    def _give_up_waiting(self) -> None:
        if self._gate is None:
            self.over.set()

    def _say(self, channel: bytes, data: bytes) -> None:
        gate = self._gate
        if gate is not None and not gate.is_closing():
            gate.write(FRAME.pack(channel, len(data)) + data)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve whoever shows the token first; nobody else is answered."""
        self._strangers += 1
        shown = b""
        try:
            if self._strangers <= STRANGERS:
                with contextlib.suppress(asyncio.TimeoutError, OSError, ValueError):
                    shown = await asyncio.wait_for(reader.readline(), TOKEN_SECONDS)
        finally:
            self._strangers -= 1
        known = hmac.compare_digest(shown.strip(), self._token)
        if not known or self._gate is not None:
            writer.close()
            return
        self._gate = writer
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while await self._take(reader):
                    pass
        finally:
            self.over.set()
            writer.close()

    async def _take(self, reader: asyncio.StreamReader) -> bool:
        """Do what one frame says; False when it says nothing that is known."""
        channel, length = FRAME.unpack(await reader.readexactly(FRAME.size))
        if length > LONGEST:
            return False
        data = await reader.readexactly(length)
        if channel == b"p":
            self._spawn(self._look_around(json.loads(data)))
        elif channel == b"s":
            order = json.loads(data)
            self._grace = float(order["grace"])
            self._say(b"s", self._server.start(order).encode())
        elif channel in OUTPUTS:
            self._server.grant(channel, NUMBER.unpack(data)[0])
        elif channel == b"i":
            self._server.write(data)
        elif channel == b"t":
            self._server.terminate()
        elif channel == b"k":
            self._spawn(self._server.kill())
        elif channel == b"q":
            self._say(b"q", json.dumps(surroundings.stats()).encode())
        else:
            return False
        return True

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look_around(self, order: dict[str, Any]) -> None:
        surroundings.bound_processes(int(order["processes"]))
        found = surroundings.facts()
        places = [*order["places"], *surroundings.control_plane()]
        if order["callback"] and self._gate is not None:
            # As we see the gate, whatever lies between us: its answers to it come this way.
            places.append([self._gate.get_extra_info("peername")[0], order["callback"]])
        found["tried"] = len(places)
        found["reached"] = await surroundings.break_out(places, order["seconds"])
        self._say(b"h", json.dumps(found).encode())

    async def _answer_probe(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """`/healthz` while this program runs; `/readyz` once a gate is served."""
        line = b""
        with contextlib.suppress(asyncio.TimeoutError, OSError, ValueError):
            line = await asyncio.wait_for(reader.readline(), TOKEN_SECONDS)
        good = line.startswith(b"GET /healthz ") or (
            line.startswith(b"GET /readyz ") and self._gate is not None
        )
        told = b"200 OK" if good else b"503 Service Unavailable"
        writer.write(b"HTTP/1.1 " + told + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()


async def main(folder: str) -> None:
    """Serve one gate from the folder's token, certificate and key."""
    await InstanceBridge(Path(folder)).serve()


if __name__ == "__main__":
    if os.getpid() != 1:
        # It kills all that it sees.
        raise SystemExit("This program runs as PID 1 of a container only.")
    asyncio.run(main(sys.argv[1]))
