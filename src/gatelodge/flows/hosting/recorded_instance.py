"""One instance as the gate keeps it: what it is, whose it is, and how it ended, on record once."""

from collections.abc import Callable

from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.hosting.facts import IsolationFacts
from gatelodge.core.records.hosting_leaves import StopReason
from gatelodge.flows.audit.recorder import RecordedCaller
from gatelodge.flows.hosting.pause import InstancePause
from gatelodge.ports.runtime import (
    ENDED_ON_PURPOSE,
    ConnectedSocket,
    InstanceStats,
    LaunchSpec,
    ListeningInstance,
    RuntimeGap,
    RuntimeInstance,
)

_NO_PORT = "The runtime of this instance reaches no server that listens on a port."
_OTHER_RUNTIME = "Host it on this machine (hosting.runtime = auto), or have it speak over stdio."
OUT_OF_MEMORY = "out of memory"
"""What runtimes say of an instance (`ending`) that took more than it may."""


class RecordedInstance:
    """Implements `RuntimeInstance`; `ended` is told once, when nothing of it is left.

    `woken` is told when it stood still and was needed: for how long, and why it does not go on.

    `foretold` is why its owner is about to stop it: whoever knows says so before.
    """

    def __init__(
        self,
        name: str,
        spec: LaunchSpec,
        who: RecordedCaller | None,
        began: float,
        ended: "Callable[[RecordedInstance, StopReason, int | None], None]",
        woken: "Callable[[RecordedInstance, float, RuntimeGap | None], None]",
    ) -> None:
        self.name = name
        self.server, self.workspace = spec.server, spec.workspace
        self.owner, self.person = spec.owner, spec.person
        self.image, self.wanted, self.limits = spec.image, spec.tier, spec.limits
        self.secrets = spec.secrets
        self.who = who
        self.began = began
        self.foretold: StopReason = "stopped"
        self.on_purpose = False
        """True when an admin had it ended, and not its owner."""
        self.running: RuntimeInstance | None = None
        """None until it was started."""
        self.unwanted = False
        """True once somebody ended it while it was being started: it is not admitted then."""
        self._asked = False
        """True once somebody had it end while it ran: whoever sees its end is not the first."""
        self.noted = False
        """True once its start was handed to the journal: its end belongs there too."""
        self._ended: Callable[[RecordedInstance, StopReason, int | None], None] | None = ended
        self.pausing = InstancePause(
            lambda: self.running, lambda seconds, gap: woken(self, seconds, gap)
        )

    @property
    def pid(self) -> int:
        """Its process on this machine."""
        return 0 if self.running is None else self.running.pid

    @property
    def isolation(self) -> str:
        """How far it is kept apart, as it was found."""
        return "" if self.running is None else self.running.isolation

    @property
    def facts(self) -> IsolationFacts:
        """What was read back after the start."""
        assert self.running is not None
        return self.running.facts

    @property
    def status(self) -> int | None:
        """Its exit status (a signal is negative), None while it runs."""
        return None if self.running is None else self.running.status

    @property
    def ending(self) -> str:
        """Why it ended, as its runtime says."""
        if self.on_purpose:
            return ENDED_ON_PURPOSE
        return "" if self.running is None else self.running.ending

    @property
    def closed(self) -> bool:
        """True when it closed its input."""
        return self.running is not None and self.running.closed

    @property
    def unread(self) -> int:
        """Bytes that it was sent and has not taken yet."""
        return 0 if self.running is None else self.running.unread

    async def stats(self) -> InstanceStats:
        """What it takes now."""
        return InstanceStats() if self.running is None else await self.running.stats()

    async def attest(self) -> IsolationFacts:
        """What is found of it now. Raises UpstreamUnreachable."""
        assert self.running is not None
        return await self.running.attest()

    async def pause(self) -> RuntimeGap | None:
        """Have it stand still until somebody needs it."""
        return await self.pausing.pause()

    async def resume(self) -> RuntimeGap | None:
        """Have it go on."""
        return await self.pausing.resume()

    def wake(self) -> None:
        """Somebody needs it: have it go on, unless it does."""
        if self.pausing.since is not None:
            self.pausing.wake()

    def write(self, data: bytes) -> None:
        """Write to its input; what stands still goes on for it."""
        if self.running is not None:
            self.running.write(data)
            self.wake()

    async def connect(self, port: int) -> ConnectedSocket:
        """A connection to its port. Raises UpstreamUnreachable where its runtime makes none."""
        return await self.check_reachable().connect(port)

    def check_reachable(self) -> ListeningInstance:
        """What connects to its port. Raises UpstreamUnreachable where its runtime does not."""
        if not isinstance(self.running, ListeningInstance):
            raise UpstreamUnreachable(_NO_PORT, remedy=_OTHER_RUNTIME)
        return self.running

    async def stop(self, seconds: float | None = None) -> None:
        """End it and all that it started, and record why; idempotent.

        A crash of ours in between leaves the record open: the next start closes it.
        """
        running = self.running
        self.unwanted = True
        if running is None or self._ended is None:
            return
        before = running.status
        self._asked |= before is None
        reason = self._own_end(running, before) if not self._asked else self.foretold
        try:
            await running.stop(seconds)
        finally:
            # It may be stopped twice at a time: by its owner, and by whoever ends all of a server.
            told, self._ended = self._ended, None
            if told is not None:
                told(self, reason, running.status if before is None else before)

    def _own_end(self, running: RuntimeInstance, status: int | None) -> StopReason:
        """Why it ended before anybody asked it to."""
        if running.ending == OUT_OF_MEMORY:
            return "out_of_memory"
        return "signal" if status is not None and status < 0 else "exit"
