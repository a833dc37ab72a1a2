"""One container: made, attached to, started, looked at, watched, and ended with all that it holds.

It has a PID namespace, so whatever it starts ends with its first process. The engine keeps no log
of it and does not start it again; what it writes goes to this gate and nowhere else.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from gatelodge.adapters.runtime.docker.attach import AttachedStream, StreamWay
from gatelodge.adapters.runtime.docker.engine import (
    ContainerEngine,
    EngineTraits,
    read_answer,
)
from gatelodge.adapters.runtime.docker.facts import engine_facts, kernel_facts, runs_here
from gatelodge.adapters.runtime.docker.secrets import remove_secrets
from gatelodge.adapters.runtime.docker.stats import engine_stats
from gatelodge.adapters.runtime.finish import finish_despite_cancellation
from gatelodge.adapters.runtime.kernel.cgroups import (
    ControlGroups,
    count_oom_kills,
    find_control_groups,
    read_group_stats,
)
from gatelodge.adapters.runtime.kernel.facts import ended_error, is_ending
from gatelodge.adapters.runtime.kernel.standstill import freeze_groups, thaw_groups
from gatelodge.adapters.runtime.network.gate import EgressGate
from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.hosting.facts import IsolationFacts
from gatelodge.ports.runtime import InstanceStats, RuntimeGap

_LOOK_SECONDS = 0.03
_KILL_SECONDS = 10.0
"""How long a killed container may take to be gone."""
_SIGNALLED = 128
"""Engines tell a signal as a status above this."""
OpensNetwork = Callable[[int], Awaitable[EgressGate]]
"""Opens a way out of the network namespace of this descriptor, which stays the caller's."""
_MEND = "Run the gate on the engine's machine, as root or as the user of a rootless engine."
_OOM = "out of memory"
_LOST = "the container engine does not answer"


class ContainerInstance:
    """Implements `RuntimeInstance`; `gone` is called once nothing of it is left.

    `gone` is told whether it could be removed: where the engine did not answer, something stays.
    """

    def __init__(
        self,
        engine: ContainerEngine,
        name: str,
        grace: float,
        gone: "Callable[[ContainerInstance, bool], None]",
    ) -> None:
        self.name = name
        self.pid = 0
        self.secrets: Path | None = None
        """The directory of its files, removed when it is gone."""
        self._engine = engine
        self._grace = grace
        self._gone = gone
        self._left = False
        self._made = False
        self._id = ""
        self._facts: IsolationFacts | None = None
        self._traits: EngineTraits
        self._groups: ControlGroups = {}
        self._streams: list[AttachedStream] = []
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._ending = ""
        self._paused = False
        self._egress: EgressGate | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def isolation(self) -> str:
        """The engine, who told, and what engines show to whoever may ask them."""
        if self._facts is None:
            return "not isolated: a container that does not run"
        where = "" if self._facts.source == "kernel" else ", as the engine says"
        told = f"{self._facts.tier}: {self._facts.runtime}{where}"
        return f"isolated ({told}; the engine shows its variables)"

    @property
    def facts(self) -> IsolationFacts:
        """What was found after the start."""
        return self._facts or IsolationFacts(runtime="container", tier="none", source="none")

    @property
    def status(self) -> int | None:
        """Its exit status (a signal is negative), None while it runs."""
        return self._ended.result() if self._ended.done() else None

    @property
    def ending(self) -> str:
        """Why it ended, where that is known."""
        return self._ending

    @property
    def closed(self) -> bool:
        """True once we closed its input or it ended: no engine tells that a container did."""
        return self._ended.done() or any(each.finished for each in self._streams[:1])

    @property
    def unread(self) -> int:
        """Bytes that it was sent and that the engine has not taken from us."""
        return self._streams[0].unread if self._streams else 0

    async def stats(self) -> InstanceStats:
        """What it takes now, by the kernel where it runs here."""
        if self._ended.done():
            return InstanceStats()
        if self._groups:
            return read_group_stats(self._groups)
        return engine_stats(await self._engine.stats(self._id))

    async def attest(self) -> IsolationFacts:
        """What the kernel says of it now, or the engine. Raises UpstreamUnreachable."""
        if self._facts is None or self.status is not None:
            raise ended_error()
        runtime = self._facts.runtime
        found = await self._engine.inspect(self._id)
        if not found["State"].get("Running"):
            raise ended_error()
        if self._facts.source == "engine":
            return engine_facts(found, self._traits, runtime)
        # It was of this machine: when it is not seen here any more, the engine is not believed.
        if not runs_here(self.pid, self._id):
            raise ended_error()
        facts = await kernel_facts(self.pid, runtime)
        if is_ending(self.pid):  # its groups, mounts and namespaces were let go of
            raise ended_error()
        return facts

    def write(self, data: bytes) -> None:
        """Write to its input; once it has ended nothing is written."""
        if self._streams and not self._ended.done():
            self._streams[0].write(data)

    async def pause(self) -> RuntimeGap | None:
        """Have it stand still; its memory stays."""
        self._paused = True
        return await freeze_groups(self._groups, lambda: self._paused)

    async def resume(self) -> RuntimeGap | None:
        """Have it go on."""
        self._paused = False
        return thaw_groups(self._groups)

    async def create(self, body: dict[str, Any]) -> None:
        """Have it made. Raises UpstreamUnreachable; `stop` is due also then."""
        await finish_despite_cancellation(self._make(body))

    async def run(
        self,
        traits: EngineTraits,
        runtime: str,
        output: asyncio.Protocol,
        errors: asyncio.Protocol,
        network: OpensNetwork | None = None,
    ) -> None:
        """Have it started. Raises UpstreamUnreachable; `stop` is due also then.

        Attached before it starts: what it says first would be lost else.
        """
        api = await self._engine.api()
        for reader, way in _ways(output, errors):
            stream = AttachedStream(reader)
            self._streams.append(stream)
            await stream.open(self._engine.place, self._id, api, way)
        await finish_despite_cancellation(self._engine.start(self._id))
        self._watch = asyncio.ensure_future(self._watch_end())
        await self._look(traits, runtime)
        if network is not None:
            await self._open_network(network)

    async def _make(self, body: dict[str, Any]) -> None:
        self._made = True  # also when the answer never comes
        self._id = await self._engine.create(self.name, body)

    async def _look(self, traits: EngineTraits, runtime: str) -> None:
        """Find how it is kept apart, before anybody speaks to it. Raises UpstreamUnreachable."""
        self._traits = traits
        found = await self._engine.inspect(self._id)
        with read_answer("tell of the container"):
            pid = int(found["State"].get("Pid") or 0)
            told = engine_facts(found, traits, runtime)
        if not runs_here(pid, self._id):
            self._facts = told
            return
        self.pid = pid
        with contextlib.suppress(OSError):
            self._groups = find_control_groups(pid)
        try:
            self._facts = await kernel_facts(pid, runtime)
        except UpstreamUnreachable:  # it is over already, which its status tells
            self._facts = told

    async def _open_network(self, network: OpensNetwork) -> None:
        """Right after its start: engines give no namespace before. Raises UpstreamUnreachable.

        What listens where the gate is to, keeps the gate from it, and is refused.
        """
        try:
            namespace = os.open(f"/proc/{self.pid or -1}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as failed:
            text = "The network of the container is out of the gate's reach."
            raise UpstreamUnreachable(text, remedy=_MEND) from failed
        try:
            self._egress = await network(namespace)
        finally:
            os.close(namespace)

    async def _watch_end(self) -> None:
        """Tell how it ended, as soon as that is known."""
        waiting = asyncio.ensure_future(self._engine.wait(self._id))
        try:
            await asyncio.wait(
                (waiting, self._streams[0].ended), return_when=asyncio.FIRST_COMPLETED
            )
            # Podman tells of no OOM kill, and the group goes a moment after the container.
            killed = bool(self._groups) and count_oom_kills(self._groups) > 0
            status, oom = await self._find_status(waiting)
            self._ending = self._ending or (_OOM if oom or (killed and status < 0) else "")
        except UpstreamUnreachable:
            status, self._ending = -signal.SIGKILL, _LOST
        finally:
            waiting.cancel()
            await asyncio.wait((waiting,))
        self._ended.set_result(status)

    async def _find_status(self, waiting: "asyncio.Future[None]") -> tuple[int, bool]:
        """Its status, and whether the engine says that its memory was used up.

        An attached stream may end before the engine knows of the end.
        """
        while True:
            over = waiting.done()
            if over:
                waiting.result()
            found = await self._engine.inspect(self._id)
            with read_answer("tell of its end"):
                state = found["State"]
                if over or not state.get("Running"):
                    code = int(state.get("ExitCode") or 0)
                    signalled = _SIGNALLED < code <= _SIGNALLED + signal.NSIG
                    return (_SIGNALLED - code if signalled else code), bool(state.get("OOMKilled"))
            await asyncio.wait((waiting,), timeout=_LOOK_SECONDS)

    async def stop(self, seconds: float | None = None) -> None:
        """End it: close its input, then TERM, then KILL, each after `seconds`; idempotent.

        When this is cancelled in the middle all is killed at once, and the cancellation waits until
        it is gone. A crash of ours here leaves the container to the next gate.
        """
        seconds = self._grace if seconds is None else seconds
        try:
            if self._watch is not None and self.status is None:
                await self._ask_to_go(seconds)
        finally:
            await finish_despite_cancellation(self._remove())

    async def _ask_to_go(self, seconds: float) -> None:
        self._thaw()
        self._streams[0].finish()
        await asyncio.wait((self._ended,), timeout=seconds)
        if self.status is None:
            with contextlib.suppress(UpstreamUnreachable):
                await self._engine.signal(self._id, "SIGTERM")
            await asyncio.wait((self._ended,), timeout=seconds)

    def _thaw(self) -> None:
        """What stands still hears nothing and, in cgroup v1, cannot be killed."""
        if self._paused:
            self._paused = False
            thaw_groups(self._groups)

    async def _remove(self) -> None:
        """Kill what still runs, and leave nothing of it."""
        if self._left:
            return
        self._thaw()
        if self._egress is not None:
            await self._egress.close()
        removed = not self._made or await self._remove_container()
        for stream in self._streams:
            stream.close()
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait((self._watch,))
        if self._streams:
            await asyncio.wait([each.ended for each in self._streams], timeout=_LOOK_SECONDS)
        if not self._ended.done():
            self._ended.set_result(-signal.SIGKILL)
        if self.secrets is not None:
            await asyncio.to_thread(remove_secrets, self.secrets)
        if not self._left:
            self._left = True
            self._gone(self, removed)

    async def _remove_container(self) -> bool:
        """Say whether it is gone: an engine that does not answer removes nothing."""
        try:
            if self._watch is not None and self.status is None:
                for stream in self._streams:
                    if stream.paused:  # engines tell of no end before all output was taken
                        stream.close()
                await self._engine.signal(self._id, "SIGKILL")
                await asyncio.wait((self._ended,), timeout=_KILL_SECONDS)
            # By its name: of one whose making was not answered no id is known.
            await self._engine.remove(self.name)
        except UpstreamUnreachable:
            return False
        return True


def _ways(
    output: asyncio.Protocol, errors: asyncio.Protocol
) -> tuple[tuple[asyncio.Protocol, StreamWay], ...]:
    return (output, "output"), (errors, "errors")
