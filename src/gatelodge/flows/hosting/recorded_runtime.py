"""The one gate between the upstream pool and whatever runs servers.

What passes here is counted, started, looked at from outside, and durable in the log of its
workspace before a byte reaches it. What a crash leaves behind, step by step:

    start      an instance that the runtime's own sweep ends; no record
    judged     the same
    recorded   an open record, which the next start closes
    stopped    an open record, which the next start closes
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Iterator

from gatelodge.config.schema import HostingSettings
from gatelodge.core.catalog.masking import LEAST_HIDDEN
from gatelodge.core.errors import HouseError, LedgerDown, LimitReached, UpstreamUnreachable
from gatelodge.core.hosting.facts import deviations, facts_in_words
from gatelodge.core.hosting.limits import limits_in_words
from gatelodge.core.ids import is_agent
from gatelodge.core.records.hosting_leaves import (
    HostingLeaf,
    InstanceRefusal,
    InstanceRefused,
    InstanceStarted,
    InstanceStopped,
    InstanceWoken,
    StopReason,
)
from gatelodge.core.records.origin import UNROUTED, calls_log
from gatelodge.flows.audit.recorder import AuditRecorder, RecordedCaller
from gatelodge.flows.audit.tallies import Durable
from gatelodge.flows.hosting.egress import InstanceEgress
from gatelodge.flows.hosting.recorded_instance import RecordedInstance
from gatelodge.flows.hosting.tail import ErrorLine, ErrorTail, LineNumbers
from gatelodge.flows.hosting.usage import InstanceUsage
from gatelodge.flows.incidents import contained
from gatelodge.ports.journal import DataKeys, RecordWrite
from gatelodge.ports.runtime import (
    ChosenRuntimes,
    EgressReport,
    LaunchSpec,
    RuntimeGap,
    RuntimeInstance,
    RuntimeOffer,
)
from gatelodge.ports.upstream import Ending
from gatelodge.ports.world import Clock, FreshIds

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 5.0
_MOST_TAILS = 8
"""Instances of a server whose last words are kept, the newest."""
_MOST_SECRETS = 2_000
"""Characters of the names of secrets in one record."""
_DOCTOR = "See what this machine can isolate: gatelodge doctor."
_COUNTED = {
    "node": ("This node runs", "hosting.instances"),
    "server": ("This server has", "hosting.instances_per_server"),
    "person": ("You have", "hosting.instances_per_person"),
}


class RecordedRuntime:
    """Implements `Runtime`. On one event loop, like the pool before it."""

    def __init__(
        self,
        runtime: ChosenRuntimes,
        recorder: AuditRecorder,
        deks: DataKeys,
        clock: Clock,
        ids: FreshIds,
        settings: HostingSettings,
    ) -> None:
        self._runtime = runtime
        self._recorder = recorder
        self._deks = deks
        self._clock = clock
        self._ids = ids
        self._settings = settings
        self._instances: dict[str, RecordedInstance] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._egress: dict[str, InstanceEgress] = {}
        self._tails: dict[str, deque[ErrorTail]] = {}
        self._numbers = LineNumbers()
        self.node = recorder.node
        self.usage = InstanceUsage(self.running, ids)

    async def start(
        self,
        spec: LaunchSpec,
        output: asyncio.Protocol,
        errors: asyncio.Protocol,
        report: EgressReport | None = None,  # noqa: ARG002 - connections are recorded here
    ) -> RuntimeInstance:
        """Start it, judge it, and have it on record. Raises LimitReached, LedgerDown too.

        What is refused is ended before this returns, and nothing was written to it.
        """
        self._check_room(spec)
        # Nothing starts of which the log would not know.
        if self._recorder.failed:
            raise LedgerDown("The start of a server could not be recorded, so it is not started.")
        name = "i" + self._ids.call()[1:]
        # It is counted from here on: what starts at the same time must not go beyond the limits.
        began = self._clock.boottime()
        instance = RecordedInstance(name, spec, None, began, self._record_end, self._record_wake)
        self._instances[name] = instance
        egress = InstanceEgress(
            instance,
            spec.egress,
            self._recorder,
            self._clock,
            self._settings.connections_per_minute,
        )
        self._egress[name] = egress
        tail = self._new_tail(name, spec, errors)
        try:
            instance.who = await self._owner_of(spec)
            instance.running = await self._start_below(spec, output, tail, instance, egress)
            self._judge(instance)
            if spec.port:
                instance.check_reachable()
            await self._record_start(instance)
            _check_wanted(instance)
        except BaseException:
            await self._discard(instance)
            raise
        egress.admitted.set_result(None)
        self.usage.started(instance, (self._clock.boottime() - instance.began) * 1000)
        return instance

    def instances(self) -> tuple[RuntimeInstance, ...]:
        """All that are not wholly gone."""
        return tuple(self._instances.values())

    def running(self) -> tuple[RecordedInstance, ...]:
        """Those that were admitted, oldest first."""
        return tuple(
            each
            for name, each in self._instances.items()
            if each.running is not None and self._egress[name].admitted.done()
        )

    def foretell(self, reason: StopReason, *, server: str = "", owner: str = "") -> None:
        """Say why those of this server, or of this owner, or all are about to be stopped."""
        for each in self._instances.values():
            if (not server or each.server == server) and owner in ("", each.owner, each.person):
                each.foretold = reason

    def foretell_ending(self, server: str, principal: str | None, why: Ending) -> None:
        """The same of those of this principal at a server: "" = the shared ones, None = all."""
        for each in self._instances.values():
            if each.server == server and principal in (None, each.owner):
                each.foretold = why

    async def end_now(
        self,
        chosen: Iterable[RecordedInstance],
        reason: StopReason,
        *,
        seconds: float | None = 0.0,
    ) -> int:
        """End these, at once or in order (`seconds` None); how many milliseconds it took.

        Raises what one of them raised, once all were ended that could be.
        """
        began, chosen = self._clock.boottime(), tuple(chosen)
        for each in chosen:
            each.foretold, each.on_purpose = reason, True
        stops = (each.stop(seconds) for each in chosen)
        faults = await asyncio.gather(*stops, return_exceptions=True)
        for fault in faults:
            if fault is not None:
                raise fault
        return round((self._clock.boottime() - began) * 1000)

    async def end_owned(self, owner: str) -> None:
        """Kill what runs for a principal whose access ended, and for the agents of a person."""
        every = self._instances.values()
        await self._end_here(
            [each for each in every if owner in (each.owner, each.person)], "revoked"
        )

    async def end_server(self, server: str) -> None:
        """Kill what runs of a server here: an admin said so, on whichever node."""
        every = self._instances.values()
        await self._end_here([each for each in every if each.server == server], "killed")

    async def _end_here(self, chosen: list[RecordedInstance], reason: StopReason) -> None:
        """End these as a task of the node, which what runs below them must not end."""
        with contained("ending instances", self._ids):
            await self.end_now(chosen, reason)

    def record(self, instance: RecordedInstance, leaf: HostingLeaf, durable: Durable) -> None:
        """Write in the log of its workspace what became of an instance that runs."""
        self._recorder.hosted(_log_of(instance), leaf, None, durable)

    async def offers(self) -> tuple[RuntimeOffer, ...]:
        """What can be isolated on this machine, by a trial of each runtime that may be used."""
        return await self._runtime.offers()

    def refused_places(self, name: str) -> tuple[str, ...]:
        """Where an instance last wanted to connect to in vain; kept in memory only."""
        egress = self._egress.get(name)
        return () if egress is None else tuple(egress.refused)

    def error_lines(self, server: str, after: int = 0) -> tuple[list[ErrorLine], int]:
        """The last lines of a server's instances, ended ones too, and the number to go on at."""
        tails = self._tails.get(server, ())
        found = [line for tail in tails for line in tail.lines(after)]
        return sorted(found, key=lambda line: line.number), self._numbers.last

    def keep(self, servers: frozenset[str]) -> None:
        """Remove what is left of all other servers."""
        self._tails = {key: tails for key, tails in self._tails.items() if key in servers}
        self._runtime.keep(servers)

    async def close(self) -> None:
        """Wait for what is being removed."""
        await self._runtime.close()

    def _new_tail(self, name: str, spec: LaunchSpec, errors: asyncio.Protocol) -> ErrorTail:
        tail = ErrorTail(name, errors, _hidden_values(spec), self._numbers)
        self._tails.setdefault(spec.server, deque(maxlen=_MOST_TAILS)).append(tail)
        return tail

    def _check_room(self, spec: LaunchSpec) -> None:
        every = self._instances.values()
        most = self._settings
        counts = {
            "node": (len(every), most.instances),
            "server": (
                sum(each.server == spec.server for each in every),
                most.instances_per_server,
            ),
            "person": (
                sum(each.person == spec.person for each in every) if spec.person else 0,
                most.instances_per_person,
            ),
        }
        for what, (now, limit) in counts.items():
            if now >= limit:
                told, setting = _COUNTED[what]
                raise LimitReached(
                    f"{told} as many instances as there may be at once ({limit}).",
                    remedy=f"Try again later; an admin can raise {setting}.",
                    retry_after=_AGAIN_SECONDS,
                )

    async def _owner_of(self, spec: LaunchSpec) -> RecordedCaller | None:
        if not spec.person:
            return None
        await self._deks.ensure(spec.person)
        agent = spec.owner if is_agent(spec.owner) else ""
        return RecordedCaller(spec.owner, spec.person, agent)

    async def _start_below(
        self,
        spec: LaunchSpec,
        output: asyncio.Protocol,
        errors: asyncio.Protocol,
        instance: RecordedInstance,
        egress: InstanceEgress,
    ) -> RuntimeInstance:
        try:
            return await self._runtime.start(spec, output, errors, egress.report)
        except HouseError:
            self._record_refusal(instance, "start", ())
            raise

    def _judge(self, instance: RecordedInstance) -> None:
        """Raises UpstreamUnreachable when its isolation is not what its tier promises."""
        found = deviations(instance.facts, instance.wanted, instance.limits)
        if found:
            self._record_refusal(instance, "isolation", found)
            raise UpstreamUnreachable(
                f"It was not isolated as it has to be, and was ended: {'; '.join(found)}.",
                remedy=_DOCTOR,
            )

    async def _record_start(self, instance: RecordedInstance) -> None:
        facts, durable = instance.facts, RecordWrite()
        leaf = InstanceStarted(
            facts=facts_in_words(facts),
            image=instance.image,
            instance=instance.name,
            limits=limits_in_words(instance.limits) if instance.image else "",
            runtime=facts.runtime,
            secrets=", ".join(instance.secrets)[:_MOST_SECRETS],
            server=instance.server,
            tier=facts.tier,
            wanted=instance.wanted,
        )
        self._recorder.hosted(_log_of(instance), leaf, instance.who, durable)
        instance.noted = True
        await durable

    def _record_refusal(
        self, instance: RecordedInstance, reason: InstanceRefusal, found: tuple[str, ...]
    ) -> None:
        facts = None if instance.running is None else instance.facts
        leaf = InstanceRefused(
            deviations="; ".join(found),
            facts="" if facts is None else facts_in_words(facts),
            image=instance.image,
            reason=reason,
            runtime="" if facts is None else facts.runtime,
            server=instance.server,
            tier="" if facts is None else facts.tier,
            wanted=instance.wanted,
        )
        self.usage.refused(instance, reason)
        # Nobody waits: nothing of it runs, whether this is durable or not.
        self._recorder.hosted(_log_of(instance), leaf, instance.who, None)
        log.warning("an instance of %s was refused (%s)", instance.server, reason)

    async def _discard(self, instance: RecordedInstance) -> None:
        """End what was not admitted."""
        if instance.running is None:
            self._forget(instance)
        else:
            await instance.stop(0.0)

    def _record_end(
        self, instance: RecordedInstance, reason: StopReason, status: int | None
    ) -> None:
        self._forget(instance)
        if not instance.noted:
            return
        ms = round((self._clock.boottime() - instance.began) * 1000)
        leaf = InstanceStopped(
            instance=instance.name,
            ms=ms,
            reason=reason,
            status=None if status is None else abs(status),
        )
        self.record(instance, leaf, None)

    def _record_wake(
        self, instance: RecordedInstance, seconds: float, gap: RuntimeGap | None
    ) -> None:
        """It was needed and goes on; one that does not is ended, so that the next one serves."""
        if gap is None:
            leaf = InstanceWoken(
                instance=instance.name, ms=round(seconds * 1000), server=instance.server
            )
            self.record(instance, leaf, None)
            return
        if instance.status is not None:
            return  # it ended while it stood still
        log.warning("a paused instance of %s did not go on, and is ended", instance.server)
        ending = asyncio.get_running_loop().create_task(self._end_stuck(instance))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _end_stuck(self, instance: RecordedInstance) -> None:
        await self.end_now([instance], "killed")

    def _forget(self, instance: RecordedInstance) -> None:
        self._instances.pop(instance.name, None)
        self.usage.ended(instance)
        egress = self._egress.pop(instance.name, None)
        if egress is not None:
            egress.end()


def _hidden_values(spec: LaunchSpec) -> Iterator[str]:
    """What is masked in what the instance says: secrets, and literals that may be some."""
    secret = {each.partition(":")[0] for each in spec.secrets}
    for name, value in (*spec.env.items(), *spec.files.items()):
        if name in secret or len(value) >= LEAST_HIDDEN:
            yield value
            yield value.rpartition(" ")[2]  # as in `Bearer TOKEN`


def _check_wanted(instance: RecordedInstance) -> None:
    """Raise UpstreamUnreachable for one that was ended while it was being started."""
    if instance.unwanted:
        raise UpstreamUnreachable(
            "The server was ended while it was being started.", remedy="Try again, if you may."
        )


def _log_of(instance: RecordedInstance) -> str:
    return calls_log(instance.workspace) if instance.workspace else UNROUTED
