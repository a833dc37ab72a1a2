"""A process behind Landlock: what was found of its borders, and its way out."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import structs

from gatelodge.adapters.runtime.kernel.facts import (
    attest_process,
    read_identity,
    read_surroundings,
    with_identity,
)
from gatelodge.adapters.runtime.kernel.standstill import continue_namespace, stop_namespace
from gatelodge.adapters.runtime.landlock.calls import landlock_version
from gatelodge.adapters.runtime.landlock.machine import SEE, cure_refusal
from gatelodge.adapters.runtime.landlock.usage import read_usage
from gatelodge.adapters.runtime.network.attach import InstanceNetwork, receive_namespace
from gatelodge.adapters.runtime.process.instance import ProcessInstance
from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.hosting.facts import IsolationFacts, deviations
from gatelodge.ports.runtime import InstanceStats, LaunchSpec, RuntimeGap


class LandlockInstance(ProcessInstance):
    """A process behind its borders; what they are was read from the kernel."""

    found: IsolationFacts | None = None
    network: InstanceNetwork | None = None
    _paused = False
    attach: Callable[[int], Awaitable[InstanceNetwork]] | None = None
    """Opens its ways in and out, given the namespace; without it, it has none."""

    @property
    def isolation(self) -> str:
        """What was found, in a few words."""
        facts = self.facts
        return f"weak: {facts.runtime}, seccomp, own namespaces, uid {facts.uid}"

    @property
    def facts(self) -> IsolationFacts:
        """What the kernel told after the start."""
        return self.found or IsolationFacts(runtime="landlock", tier="none", source="none")

    async def stats(self) -> InstanceStats:
        """What its processes take now, its init included; all zero once it is gone."""
        if not self.init or self.status is not None:
            return InstanceStats()
        return read_usage(self.pid, self.init)

    async def attest(self) -> IsolationFacts:
        """What the kernel says of it now. Raises UpstreamUnreachable."""
        return await asyncio.to_thread(
            attest_process, self.pid, self.facts, self.status, around=self.init
        )

    async def pause(self) -> RuntimeGap | None:
        """Stop all in its pid namespace: it has no control group. Its memory stays."""
        if not self.init:
            return None
        self._paused = True
        return await stop_namespace(self.init)

    async def resume(self) -> RuntimeGap | None:
        """Have it go on."""
        self._paused = False
        if self.init:
            continue_namespace(self.init)
        return None

    def cure(self, what: str) -> str:
        """What to do about a step that was refused."""
        return cure_refusal(what)

    def read_facts(self, spec: LaunchSpec) -> None:
        """Look from outside. Raises UpstreamUnreachable when it is not kept apart as it has to be.

        The surroundings are those of the init, which is there for as long as the instance is.
        """
        name = f"Landlock {landlock_version()}"
        around = read_surroundings(self.init, runtime=name, tier="weak")
        facts = with_identity(around, read_identity(self.pid))
        # It runs: so before that it was refused what Landlock alone refuses (`jail.py`).
        self.found = structs.replace(facts, landlock=True)
        faults = deviations(self.found, spec.tier, spec.limits)
        if faults:
            text = f"The server is not kept apart as it has to be: {'; '.join(faults)}."
            raise UpstreamUnreachable(text, remedy=SEE)

    async def launch(
        self, order: dict[str, Any], output: asyncio.Protocol, errors: asyncio.Protocol
    ) -> None:
        """Have it started, with its ways in and out before that. Raises UpstreamUnreachable."""
        if self.attach is None:
            await super().launch(order, output, errors)
            return
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._passed = (theirs.fileno(),)
        order["jail"]["network"] = theirs.fileno()
        opening = asyncio.get_running_loop().create_task(self._open_network(ours, self.attach))
        try:
            await super().launch(order, output, errors)
            await opening
        except UpstreamUnreachable:
            # Without its network it is refused: why that is tells more than that it was.
            if opening.done():
                opening.result()
            raise
        finally:
            theirs.close()
            opening.cancel()
            await asyncio.wait((opening,))

    async def connect(self, port: int) -> socket.socket:
        """A connection to a port of its own. Raises UpstreamUnreachable."""
        if self.network is None:
            raise UpstreamUnreachable("The server has no network.")
        return await self.network.connect(port)

    async def stop(self, seconds: float | None = None) -> None:
        """End it, and before that all its connections; idempotent.

        What stands still goes on first, unless it is killed, to see its input closed.
        """
        if self._paused and seconds != 0.0:
            continue_namespace(self.init)
        if self.network is not None:
            self.network.cut()
        await super().stop(seconds)
        if self.network is not None:
            await self.network.close()

    async def _open_network(
        self, leash: socket.socket, attach: Callable[[int], Awaitable[InstanceNetwork]]
    ) -> None:
        """Open it in the namespace that comes through the leash, and let the jail go on then."""
        with leash:
            namespace = await receive_namespace(leash)
            try:
                self.network = await attach(namespace)
            finally:
                os.close(namespace)
            with contextlib.suppress(OSError):  # it ended meanwhile, which its launch tells
                leash.send(b"g")
