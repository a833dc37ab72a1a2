"""What runs the programs of servers: today as child processes, later in containers.

A runtime knows processes, not MCP: bytes go in and come out, and whoever started an instance ends
it. Nothing but an approved definition is ever started (guarantee isolation:no-second-path).
"""

import asyncio
from typing import Protocol

from msgspec import Struct


class LaunchSpec(Struct, frozen=True, kw_only=True):
    """What an instance is started from: approved fields only, with their secrets resolved.

    `env` holds those secrets, and is kept nowhere. `cwd` is empty for the home of the instance's
    own; `own_uid` asks for a uid that nobody else has, where the runtime can give one.
    """

    server: str
    command: tuple[str, ...]
    env: dict[str, str]
    cwd: str = ""
    own_uid: bool = True


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
    def status(self) -> int | None:
        """Its exit status (a signal is negative), None while it runs; its children may go on."""
        ...

    @property
    def closed(self) -> bool:
        """True when it closed its input, so that nothing can be written to it any more."""
        ...

    @property
    def unread(self) -> int:
        """Bytes that were written to it and that it has not taken yet."""
        ...

    def write(self, data: bytes) -> None:
        """Write to its input without waiting; to a closed one nothing is written."""
        ...

    async def stop(self, seconds: float | None = None) -> None:
        """End it and all that it started: close its input, then TERM, then KILL, each `seconds` on.

        None = as long as the settings of the runtime give.
        When this returns nothing of it runs and nothing of it lies about. Idempotent; when it is
        cancelled all is killed at once, and the cancellation waits for that.
        """
        ...


class Runtime(Protocol):
    """Starts instances, knows which there are, and removes what is left of servers."""

    async def start(
        self, spec: LaunchSpec, output: asyncio.Protocol, errors: asyncio.Protocol
    ) -> RuntimeInstance:
        """Start it; what it writes goes to `output` and `errors`, which may pause the transport.

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
