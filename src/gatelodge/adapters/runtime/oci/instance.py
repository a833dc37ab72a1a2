"""One container: its streams, its end, and what the kernel says of it."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from gatelodge.adapters.runtime.finish import finish_despite_cancellation
from gatelodge.adapters.runtime.kernel.cgroups import (
    ControlGroups,
    find_control_groups,
    read_group_stats,
)
from gatelodge.adapters.runtime.kernel.facts import (
    attest_process,
    read_identity,
    read_surroundings,
    with_identity,
)
from gatelodge.adapters.runtime.kernel.standstill import freeze_groups, thaw_groups
from gatelodge.adapters.runtime.network.attach import InstanceNetwork, open_namespace
from gatelodge.adapters.runtime.oci.channel import SupervisorChannel, Telling
from gatelodge.adapters.runtime.oci.programs import RuntimeProgram
from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.hosting.facts import IsolationFacts
from gatelodge.ports.runtime import InstanceStats, RuntimeGap

_STEP_SECONDS = 35.0
"""How long the supervisor may take for one step; it gives a runtime 30 s."""
_EXEC_SECONDS = 5.0
_LOOK_SECONDS = 0.001
_GONE_SECONDS = 15.0
_MEND = "See what this machine can isolate: gatelodge doctor."
_ROOM = "Try again in a moment; see that the gate may have enough open files and processes."


OpensNetwork = Callable[[int], Awaitable[InstanceNetwork]]
"""Opens the ways in and out of the network namespace of this descriptor, which stays the caller's.
"""


class OciInstance:
    """Implements `RuntimeInstance`; `gone` is called once nothing of it is left."""

    def __init__(
        self,
        name: str,
        grace: float,
        gone: "Callable[[OciInstance], None]",
    ) -> None:
        loop = asyncio.get_running_loop()
        self.name = name
        self.pid = 0
        self.facts = IsolationFacts(runtime="", tier="none", source="none")
        self._grace, self._gone = grace, gone
        self._runtime = ""
        self._channel: SupervisorChannel | None = None
        self._groups: ControlGroups = {}
        self._made: asyncio.Future[int] = loop.create_future()
        """Its pid, or it failed; as each of these, once the supervisor tells."""
        self._running: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[int] = loop.create_future()
        self._gone_told: asyncio.Future[None] = loop.create_future()
        self.network: InstanceNetwork | None = None
        self._oom_kills = 0
        self.ordered = False
        """True once its supervisor was asked for it."""
        self._killed = False
        self._over = False
        self._paused = False
        self._ending = False
        """True once its end was asked for: nothing pauses it from there on."""
        self._input: asyncio.WriteTransport | None = None
        self._outputs: list[asyncio.BaseTransport] = []
        self._loose: list[int] = []
        """Ends of pipes that no transport has taken over yet."""

    @property
    def isolation(self) -> str:
        """What holds it, by its tier: `isolated (standard: runc 1.1.5)`."""
        if self.facts.source == "none":
            return "not isolated"
        return f"isolated ({self.facts.tier}: {self.facts.runtime})"

    @property
    def status(self) -> int | None:
        """Its exit status (a signal is negative), None while it runs."""
        return self._ended.result() if self._ended.done() else None

    @property
    def ending(self) -> str:
        """`out of memory` when the kernel ended it for that."""
        killed = self.status == -signal.SIGKILL and not self._killed
        return "out of memory" if killed and self._oom_kills else ""

    @property
    def unread(self) -> int:
        """Bytes that it was sent and has not taken yet."""
        return 0 if self._input is None else self._input.get_write_buffer_size()

    @property
    def closed(self) -> bool:
        """True when it closed its input."""
        return self._input is not None and self._input.is_closing()

    async def stats(self) -> InstanceStats:
        """What its control group counts."""
        return read_group_stats(self._groups)

    async def attest(self) -> IsolationFacts:
        """What the kernel says of it now. Raises UpstreamUnreachable."""
        return await asyncio.to_thread(attest_process, self.pid, self.facts, self.status)

    async def pause(self) -> RuntimeGap | None:
        """Have it stand still; its memory stays."""
        self._paused = True
        return await freeze_groups(self._groups, lambda: self._paused and not self._ending)

    async def resume(self) -> RuntimeGap | None:
        """Have it go on."""
        self._paused = False
        return thaw_groups(self._groups)

    def write(self, data: bytes) -> None:
        """Write to its input; to a closed one nothing is written."""
        if self._input is not None and not self._input.is_closing():
            self._input.write(data)

    def hear(self, told: Telling) -> None:
        """Take what the supervisor tells of it."""
        match told["said"]:
            case "created":
                _settle(self._made, told["pid"])
            case "started":
                _settle(self._running, None)
            case "failed":
                text = f"{self._runtime} could not start the container: {told['why']}."
                failed = UpstreamUnreachable(text, remedy=_MEND)
                for future in (self._made, self._running):
                    if not future.done():
                        future.set_exception(failed.again())
                        future.exception()  # whether anybody waits for it or not
            case "ended":
                self._oom_kills = told["oom"]
                _settle(self._ended, told["status"])
            case "gone":
                self.lose()

    def lose(self) -> None:
        """Nothing of it is left, or the supervisor is gone and took it along."""
        for future in (self._made, self._running):
            if not future.done():
                future.set_exception(UpstreamUnreachable("The container ended.", remedy=_MEND))
                future.exception()
        _settle(self._ended, -signal.SIGKILL)
        _settle(self._gone_told, None)

    async def launch(
        self,
        channel: SupervisorChannel,
        program: RuntimeProgram,
        order: dict[str, Any],
        heard: tuple[asyncio.Protocol, asyncio.Protocol],
        network: OpensNetwork | None = None,
    ) -> None:
        """Have it made, look at it, have it started, look again.

        `network` is opened between the two. Raises UpstreamUnreachable; `stop` is due also when
        this fails.
        """
        self._channel, self._runtime = channel, program.name
        try:
            await finish_despite_cancellation(self._connect(channel, order, heard))
        except OSError as failed:
            text = f"No container could be made for the server: {failed.strerror}."
            raise UpstreamUnreachable(text, remedy=_ROOM) from failed
        self.pid = await _within(self._made)
        facts = read_surroundings(self.pid, runtime=program.label, tier=program.tier)
        try:
            self._groups = find_control_groups(self.pid)
        except OSError as failed:
            raise UpstreamUnreachable("The container ended.", remedy=_MEND) from failed
        if network is not None:
            await self._open_network(network)
        channel.send({"do": "start", "id": self.name})
        await _within(self._running)
        self.facts = await self._with_identity(facts)

    async def _open_network(self, network: OpensNetwork) -> None:
        """Before its program runs, which could listen where the gate is to."""
        namespace = open_namespace(self.pid)
        try:
            self.network = await network(namespace)
        finally:
            os.close(namespace)

    async def _with_identity(self, facts: IsolationFacts) -> IsolationFacts:
        """Wait until it is the program, not the runtime any more; the filter comes last of all."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _EXEC_SECONDS
        while True:
            # It is reaped only once it is stopped: a program that is over already shows the same.
            found = read_identity(self.pid)
            own_kernel = facts.tier == "strong"
            if found.seccomp or found.over or own_kernel or loop.time() >= until:
                return with_identity(facts, found)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _connect(
        self,
        channel: SupervisorChannel,
        order: dict[str, Any],
        heard: tuple[asyncio.Protocol, asyncio.Protocol],
    ) -> None:
        """Make its pipes and send the order. It holds secrets: it goes through memory alone."""
        loop = asyncio.get_running_loop()
        theirs: list[int] = []
        try:
            theirs.append(os.memfd_create("order", os.MFD_CLOEXEC))
            with os.fdopen(os.dup(theirs[0]), "wb") as file:
                file.write(json.dumps(order).encode())
            ends = [os.pipe() for _ in range(3)]
            self._loose = [ends[0][1], ends[1][0], ends[2][0]]
            theirs += [ends[0][0], ends[1][1], ends[2][1]]
            self._input, _ = await loop.connect_write_pipe(asyncio.Protocol, self._take())
            # At once, not at the end of the round: whether it may be written was asked just before.
            self._input.set_write_buffer_limits(high=0)
            for protocol in heard:
                transport, _ = await loop.connect_read_pipe(
                    lambda given=protocol: given,  # type: ignore[misc]
                    self._take(),
                )
                self._outputs.append(transport)
            self.ordered = channel.open
            channel.send({"do": "create", "id": self.name}, tuple(theirs))
        finally:
            for each in theirs:
                os.close(each)

    def _take(self) -> Any:
        """The next loose end, as a file that its transport closes."""
        at = self._loose.pop(0)
        return os.fdopen(at, "wb" if self._input is None else "rb", buffering=0)

    async def connect(self, port: int) -> socket.socket:
        """A connection to a port of its own. Raises UpstreamUnreachable."""
        if self.network is None:
            raise UpstreamUnreachable("The server has no network.")
        return await self.network.connect(port)

    async def stop(self, seconds: float | None = None) -> None:
        """End it: close its input, then TERM, then KILL, each after `seconds`; idempotent."""
        seconds = self._grace if seconds is None else seconds
        self._ending = True
        if self.network is not None:
            self.network.cut()
        # What stands still does not see its input closed; killed it is by the supervisor, which
        # thaws it for that.
        if self._paused and seconds > 0:
            thaw_groups(self._groups)
        if self._input is not None:
            self._input.close()
        try:
            if self.pid:
                await asyncio.wait((self._ended,), timeout=seconds)
            if self.pid and self.status is None:
                self._send("term")
                await asyncio.wait((self._ended,), timeout=seconds)
        finally:
            self._killed = self._killed or self.status is None
            self._send("kill")
            for transport in self._outputs:
                transport.close()
            await finish_despite_cancellation(self._wait_until_gone())

    def _send(self, what: str) -> None:
        if self._channel is not None:
            self._channel.send({"do": what, "id": self.name})

    async def _wait_until_gone(self) -> None:
        while self._loose:
            os.close(self._loose.pop())
        if self.ordered:
            await asyncio.wait((self._gone_told,), timeout=_GONE_SECONDS)
        if self.network is not None:
            await self.network.close()
        if not self._over:
            self._over = True
            self._gone(self)


def _settle(future: "asyncio.Future[Any]", value: object) -> None:
    if not future.done():
        future.set_result(value)


async def _within(future: "asyncio.Future[Any]") -> Any:
    """What the supervisor tells of a step. Raises UpstreamUnreachable, also when it is silent."""
    await asyncio.wait((future,), timeout=_STEP_SECONDS)
    if not future.done():
        raise UpstreamUnreachable("The container did not start in time.", remedy=_MEND)
    return future.result()
