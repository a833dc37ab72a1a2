"""What runs the programs of servers: today as child processes, later in containers.

A runtime knows processes, not MCP: bytes go in and come out, and whoever started an instance ends
it. Nothing but an approved definition is ever started (guarantee isolation:no-second-path).
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Final, Literal, Protocol, runtime_checkable

from msgspec import Struct

from gatelodge.core.hosting.facts import IsolationFacts, IsolationTier
from gatelodge.core.hosting.limits import InstanceLimits


class LaunchSpec(Struct, frozen=True, kw_only=True):
    """What an instance is started from: approved fields only, with their secrets resolved.

    `env` and `files` (below /run/secrets, by name) hold those secrets, and are kept nowhere.
    `image` is the digest of an image's manifest, and `command` then follows the image's own; empty
    = a program of this machine. `cwd` is empty for the home of the instance's own; `own_uid` asks
    for a uid that nobody else has, where the runtime can give one. `owner` is the principal whose
    instance this is, empty for one that is shared, and `person` who answers for that principal.
    `secrets` names what of `env` and `files` is secret, each with its way and where it is kept:
    `TOKEN:env:vault`, `KEY:file:file`.
    """

    server: str
    command: tuple[str, ...]
    env: dict[str, str]
    cwd: str = ""
    own_uid: bool = True
    workspace: str = ""
    owner: str = ""
    person: str = ""
    secrets: tuple[str, ...] = ()
    image: str = ""
    files: dict[str, str] = {}
    egress: tuple[str, ...] = ()
    port: int = 0
    limits: InstanceLimits = InstanceLimits()
    tier: IsolationTier = "none"


class InstanceStats(Struct, frozen=True, kw_only=True):
    """What an instance takes now; zero where the runtime cannot tell."""

    memory_bytes: int = 0
    cpu_seconds: float = 0.0
    throttled_seconds: float = 0.0
    processes: int = 0
    oom_kills: int = 0


EgressKind = Literal["resolved", "opened", "closed", "refused"]


class EgressEvent(Struct, frozen=True, kw_only=True):
    """What an instance wanted of the network: a name looked up, or a connection.

    `opened` is told before anything is connected, `closed` afterwards with what went each way and
    why, unless the two ends closed it. Lookups and refusals are folded (`count` of the same came)
    and name no `connection`. A host that is refused may hold what a member sent: nothing keeps it.
    """

    kind: EgressKind
    connection: str
    host: str
    port: int = 0
    reason: str = ""
    sent: int = 0
    received: int = 0
    count: int = 1


ENDED_ON_PURPOSE: Final = "ended on purpose"
"""What `ending` says of an instance that an admin had ended: the next need starts it anew."""

EgressReport = Callable[[EgressEvent], Awaitable[None]]
"""Is waited for: nothing is connected before it is recorded. Raises HouseError: then nothing is."""


class RuntimeGap(Struct, frozen=True):
    """What a runtime cannot do on this machine, and what to do about it."""

    says: str
    remedy: str = ""


class RuntimeInstance(Protocol):
    """One running program. `stop` ends it; until then whoever started it owns it."""

    @property
    def pid(self) -> int:
        """Its process on this machine."""
        ...

    @property
    def isolation(self) -> str:
        """How far it is kept apart, as it was found after the start: not what was asked for."""
        ...

    @property
    def facts(self) -> IsolationFacts:
        """What was read back from the kernel or the engine after the start."""
        ...

    @property
    def status(self) -> int | None:
        """Its exit status (a signal is negative), None while it runs; its children may go on."""
        ...

    @property
    def ending(self) -> str:
        """Why it ended, where that is known, such as `out of memory`; else empty."""
        ...

    @property
    def closed(self) -> bool:
        """True when it closed its input, so that nothing can be written to it any more."""
        ...

    @property
    def unread(self) -> int:
        """Bytes that were written to it and that it has not taken yet."""
        ...

    async def stats(self) -> InstanceStats:
        """What it takes now; all zero once it is gone."""
        ...

    async def attest(self) -> IsolationFacts:
        """What the kernel or the engine says of it now; `facts` stays what was found at its start.

        Raises UpstreamUnreachable when that cannot be read, as of one that has ended.
        """
        ...

    def write(self, data: bytes) -> None:
        """Write to its input without waiting; to a closed one nothing is written."""
        ...

    async def pause(self) -> RuntimeGap | None:
        """Have all of it stand still, its memory as it is; None once it takes no processor time.

        What the runtime cannot do is a gap, and all of it goes on then. What is written meanwhile
        waits; `stop` works as ever, and at once with `seconds` 0. Idempotent.
        """
        ...

    async def resume(self) -> RuntimeGap | None:
        """Have what stands still go on; None once it does. Idempotent."""
        ...

    async def stop(self, seconds: float | None = None) -> None:
        """End it and all that it started: close its input, then TERM, then KILL, each `seconds` on.

        None = as long as the settings of the runtime give.
        When this returns nothing of it runs and nothing of it lies about. Idempotent; when it is
        cancelled all is killed at once, and the cancellation waits for that.
        """
        ...


ConnectedSocket = socket.socket


@runtime_checkable
class ListeningInstance(Protocol):
    """An instance that was started with a `port`, where its runtime lets the gate reach it."""

    async def connect(self, port: int) -> ConnectedSocket:
        """A connection to 127.0.0.1:port within its own network, which never blocks.

        Raises UpstreamUnreachable, also while nobody listens there.
        """
        ...


@runtime_checkable
class WakingInstance(Protocol):
    """An instance that may stand still, and goes on when it is needed."""

    def wake(self) -> None:
        """Somebody is about to need it: have it go on, unless it does; waits for nothing."""
        ...


class Runtime(Protocol):
    """Starts instances, knows which there are, and removes what is left of servers."""

    async def start(
        self,
        spec: LaunchSpec,
        output: asyncio.Protocol,
        errors: asyncio.Protocol,
        report: EgressReport | None = None,
    ) -> RuntimeInstance:
        """Start it; what it writes goes to `output` and `errors`, which may pause the transport.

        `report` hears of its connections; without one an instance with `egress` is refused.
        Raises UpstreamUnreachable with the reason and what to do about it, or is cancelled: either
        way nothing is left.
        """
        ...

    def instances(self) -> tuple[RuntimeInstance, ...]:
        """All that were started and are not wholly gone, also those that start or end just now."""
        ...

    def keep(self, servers: frozenset[str]) -> None:
        """Remove what is left of all other servers, also by an earlier gate, when they have ended.

        `servers` are the ids of all servers that there are, approved or not; waits for nothing.
        """
        ...

    async def close(self) -> None:
        """Wait for what is being removed; the instances have been stopped by their owners."""
        ...


class RuntimeOffer(Struct, frozen=True, kw_only=True):
    """What a runtime can do on this machine, as it was found by trying.

    `runtime` is its name in the settings, `version` that of the program or engine behind it
    (`runc 1.1.5`). `tiers` are those whose promises it keeps here, none where it cannot start
    anything.
    """

    runtime: str
    version: str = ""
    tiers: tuple[IsolationTier, ...] = ()
    gaps: tuple[RuntimeGap, ...] = ()


class ChosenRuntimes(Runtime, Protocol):
    """Several runtimes as one: what a definition asks for decides which of them starts it."""

    async def offers(self) -> tuple[RuntimeOffer, ...]:
        """What each that the settings allow can do on this machine, the preferred one first."""
        ...


class ProbedRuntime(Runtime, Protocol):
    """A runtime that may not work on this machine, and can tell."""

    async def probe(self) -> RuntimeOffer:
        """What it can do here, by a trial start; at most some seconds. Whatever fails is a gap."""
        ...
