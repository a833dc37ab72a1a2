"""One instance: a Deployment, its pod, and the connection to the bridge in it."""

import asyncio
import contextlib
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from gatelodge.adapters.runtime.finish import finish_despite_cancellation
from gatelodge.adapters.runtime.kernel.facts import ended_error
from gatelodge.adapters.runtime.kubernetes.api import ClusterApi
from gatelodge.adapters.runtime.kubernetes.connection import BridgeConnection
from gatelodge.adapters.runtime.kubernetes.look import SurroundingsLook
from gatelodge.adapters.runtime.kubernetes.objects import InstanceMark
from gatelodge.adapters.runtime.kubernetes.reasons import OUT_OF_MEMORY, ending
from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.hosting.facts import IsolationFacts
from gatelodge.ports.runtime import InstanceStats, RuntimeGap

_GONE_SECONDS: Final = 5.0
"""How long the bridge may take to kill all; then the cluster is left to do it."""
_REMOVED_SECONDS: Final = 25.0
"""How long the cluster may take to remove the pod."""
_LOOK_SECONDS: Final = 0.1
_STATS_SECONDS: Final = 2.0
_REASON_LOOKS: Final = 10
_REASON_SECONDS: Final = 0.5
_NO_FREEZER: Final = RuntimeGap(
    "A cluster freezes no container, so the instance cannot be paused.",
    remedy="Give it few processors (limits), or end it: gatelodge instance stop ID",
)
_KILLED: Final = -9


class KubernetesInstance:
    """Implements `RuntimeInstance`; `gone` is told whether nothing of it is left."""

    def __init__(
        self,
        mark: InstanceMark,
        uid: int,
        api: ClusterApi,
        grace: float,
        gone: "Callable[[KubernetesInstance, bool], None]",
    ) -> None:
        self.mark = mark
        self.uid = uid
        self.pid = 0
        """It runs on another machine."""
        self.ending = ""
        self.facts = IsolationFacts(runtime="kubernetes", tier="none", source="none")
        self._api = api
        self._grace = grace
        self._gone = gone
        self._connection: BridgeConnection | None = None
        self.stored = False
        """Objects of it may be in the cluster."""
        self._runs = self._stopping = self._over = False
        self._look: SurroundingsLook | None = None
        self._telling: asyncio.Task[None] | None = None

    def connect(self, connection: BridgeConnection) -> None:
        """From now on it is spoken to."""
        self._connection = connection

    def started(self, facts: IsolationFacts, look: SurroundingsLook) -> None:
        """The server runs; this is what it was found to be just before, by this look."""
        assert self._connection is not None
        self._look = look
        self.facts, self._runs = facts, True
        self._connection.ended.add_done_callback(self._note_end)
        self._connection.gone.add_done_callback(self._note_loss)

    @property
    def isolation(self) -> str:
        """Its tier, and what the cluster does not keep."""
        lacking = [] if self.facts.filtered else ["egress policy is not enforced"]
        lacking += [] if "user" in self.facts.namespaces else ["no user namespace"]
        told = f" ({', '.join(lacking)})" if lacking else ""
        return f"kubernetes, tier {self.facts.tier}, uid {self.uid}{told}"

    @property
    def status(self) -> int | None:
        """Its exit status (a signal is negative), None while it runs."""
        if self._connection is None or not self._connection.ended.done():
            return None
        return self._connection.ended.result()[0]

    @property
    def closed(self) -> bool:
        """True when its input is closed, by itself or by us, or it is not reached any more."""
        return self._stopping or (self._connection is not None and self._connection.input_closed)

    @property
    def unread(self) -> int:
        """Bytes that it was sent and has not taken yet."""
        return 0 if self._connection is None else self._connection.unread

    async def stats(self) -> InstanceStats:
        """What its container takes, the bridge included."""
        if self._connection is None or self._over:
            return InstanceStats()
        found = await self._connection.stats(_STATS_SECONDS)
        return _read_stats(found)

    async def attest(self) -> IsolationFacts:
        """What the cluster keeps of its pod and what the bridge finds now.

        Raises UpstreamUnreachable.
        """
        if self._look is None or self.status is not None or self._over:
            raise ended_error()
        return await self._look.again(self.mark.instance)

    async def pause(self) -> RuntimeGap | None:
        """Not to be done: a cluster has nothing by which the gate could freeze a container."""
        return _NO_FREEZER

    async def resume(self) -> RuntimeGap | None:
        """Nothing to be done: it never stands still."""
        return None

    def write(self, data: bytes) -> None:
        """Write to its input; to a closed one nothing is written."""
        if self._connection is not None:
            self._connection.write(data)

    async def stop(self, seconds: float | None = None) -> None:
        """End it: close its input, then TERM, then KILL, each after `seconds`; idempotent.

        When this is cancelled in the middle all is killed at once, and the cancellation waits until
        it is removed. A crash of ours here leaves a bridge that has lost its gate and ends all, and
        objects that the next run of the gate removes.
        """
        if self._over:
            return
        self._stopping = True
        seconds = self._grace if seconds is None else seconds
        connection = self._connection
        try:
            if connection is not None and self._runs:
                connection.close_input()
                await asyncio.wait((connection.ended,), timeout=seconds)
                if not connection.ended.done():
                    connection.send(b"t")
                    await asyncio.wait((connection.ended,), timeout=seconds)
        finally:
            await finish_despite_cancellation(self._remove())

    async def _remove(self) -> None:
        """Have all killed, and the objects removed; wait for both."""
        connection = self._connection
        if connection is not None and self._runs and not connection.lost:
            connection.send(b"k")
            await asyncio.wait((connection.gone,), timeout=_GONE_SECONDS)
        if self._telling is not None:
            self._telling.cancel()
        removed = not self.stored or await self._remove_objects()
        if connection is not None:
            connection.close()
        self._over = True
        self._gone(self, removed)

    async def _remove_objects(self) -> bool:
        """Delete the Deployment, and see its pod go; False when the cluster does not do it."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _REMOVED_SECONDS
        asked = False
        while loop.time() < until:
            try:
                if not asked:
                    await self._api.remove(self.mark.name)
                    asked = True
                if not await self._api.pods(self.mark.instance):
                    return True
            except UpstreamUnreachable:
                asked = False
            await asyncio.sleep(_LOOK_SECONDS)
        return False

    def _note_end(self, ended: "asyncio.Future[tuple[int, int]]") -> None:
        status, oom_kills = ended.result()
        if status == _KILLED and oom_kills:
            self.ending = OUT_OF_MEMORY

    def _note_loss(self, _: "asyncio.Future[bool]") -> None:
        """The bridge is ending, or is not reached, and we did not ask for it."""
        if not self._stopping and not self.ending:
            self.ending = "its connection was lost"
            self._telling = asyncio.get_running_loop().create_task(self._look_for_reason())

    async def _look_for_reason(self) -> None:
        """What the cluster says of the pod; its node may take some moments to tell."""
        for _ in range(_REASON_LOOKS):
            with contextlib.suppress(UpstreamUnreachable):
                found = await self._api.pods(self.mark.instance)
                told = ending(found[0] if found else None)
                if told:
                    self.ending = told
                    return
            await asyncio.sleep(_REASON_SECONDS)


def _read_stats(found: Mapping[str, Any]) -> InstanceStats:
    """Zero for what is no number: what comes out of a pod is believed in nothing."""

    def number(name: str) -> float:
        told = found.get(name)
        return told if isinstance(told, int | float) and math.isfinite(told) else 0

    return InstanceStats(
        memory_bytes=int(number("memory_bytes")),
        cpu_seconds=float(number("cpu_seconds")),
        throttled_seconds=float(number("throttled_seconds")),
        processes=int(number("processes")),
        oom_kills=int(number("oom_kills")),
    )
