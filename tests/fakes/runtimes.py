"""A runtime behind its port: it starts nothing, and says of an instance what a test has it say."""

import asyncio
from typing import Any

from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.hosting.facts import IsolationFacts, IsolationTier
from gatelodge.ports.runtime import (
    InstanceStats,
    LaunchSpec,
    RuntimeGap,
    RuntimeOffer,
)

STANDARD = IsolationFacts(
    runtime="runc 1.1.5",
    tier="standard",
    source="kernel",
    uid=310_001,
    uid_map="0 310000 65536",
    capabilities="0000000000000000",
    seccomp=True,
    no_new_privileges=True,
    namespaces=("ipc", "mnt", "net", "pid", "user", "uts"),
    root_read_only=True,
    interfaces=("lo",),
    memory_bytes=256 << 20,
    processes=64,
    cpus=1.0,
)
"""What the standard tier promises, found."""


class ScriptedInstance:
    """Implements `RuntimeInstance`."""

    def __init__(self, spec: LaunchSpec, facts: IsolationFacts) -> None:
        self.spec, self.facts = spec, facts
        self.now: IsolationFacts | UpstreamUnreachable = facts
        self.pid, self.isolation = 4711, facts.tier
        self.status: int | None = None
        self.ending = ""
        self.closed, self.unread = False, 0
        self.written: list[bytes] = []
        self.turns: list[str] = []
        self.gap: RuntimeGap | None = None
        self.stops: list[float | None] = []

    async def stats(self) -> InstanceStats:
        return InstanceStats()

    async def pause(self) -> RuntimeGap | None:
        self.turns.append("pause")
        await asyncio.sleep(0)
        return self.gap

    async def resume(self) -> RuntimeGap | None:
        self.turns.append("resume")
        await asyncio.sleep(0)
        return self.gap

    async def attest(self) -> IsolationFacts:
        await asyncio.sleep(0)
        if isinstance(self.now, UpstreamUnreachable):
            raise self.now
        return self.now

    def write(self, data: bytes) -> None:
        self.written.append(data)

    async def stop(self, seconds: float | None = None) -> None:
        self.stops.append(seconds)
        await asyncio.sleep(0)
        self.status = 0 if self.status is None else self.status


class ScriptedRuntime:
    """Implements `ProbedRuntime`; `facts` is what it says of the next instances."""

    def __init__(
        self, facts: IsolationFacts = STANDARD, tiers: tuple[IsolationTier, ...] = ("standard",)
    ) -> None:
        self.facts, self.tiers = facts, tiers
        self.started: list[ScriptedInstance] = []
        self.reports: list[Any] = []
        self.fault: UpstreamUnreachable | None = None
        self.kept: list[frozenset[str]] = []
        self.probes = 0

    async def start(self, spec: LaunchSpec, output: Any, errors: Any, report: Any = None) -> Any:
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        instance = ScriptedInstance(spec, self.facts)
        self.started.append(instance)
        self.reports.append(report)
        return instance

    def instances(self) -> tuple[ScriptedInstance, ...]:
        return tuple(each for each in self.started if each.status is None)

    def keep(self, servers: frozenset[str]) -> None:
        self.kept.append(servers)

    async def close(self) -> None:
        pass

    async def offers(self) -> tuple[RuntimeOffer, ...]:
        return (await self.probe(),)

    async def probe(self) -> RuntimeOffer:
        self.probes += 1
        await asyncio.sleep(0)
        gaps = () if self.tiers else (RuntimeGap("It is not there.", "Install it."),)
        return RuntimeOffer(runtime="scripted", tiers=self.tiers, gaps=gaps)
