"""Upstream MCP servers: what can be asked of one, without knowing how it is reached."""

from asyncio import Future
from collections.abc import Callable
from typing import Literal, Protocol

import msgspec
from msgspec import Struct

from gatelodge.core.catalog.server import Server


class Reply(Struct, frozen=True):
    """What the upstream answered: exactly one of `result` and `error` (raw JSON) is set."""

    result: msgspec.Raw | None = None
    error: msgspec.Raw | None = None


class Request(Struct, frozen=True, kw_only=True):
    """One request to an upstream. `params` members are raw JSON; `meta` holds only keys that may
    pass (reserved ones are issued anew by the adapter for the era it speaks)."""

    method: str
    params: dict[str, msgspec.Raw]
    meta: dict[str, msgspec.Raw] = {}
    name: str = ""
    client: str = ""
    seconds: float = 60.0
    max_bytes: int = 16 * 1024 * 1024


class Exchange(Protocol):
    """One request in flight."""

    @property
    def reply(self) -> "Future[Reply]":
        """Resolved with the answer, or failed with an UpstreamError or LimitReached (too large)."""
        ...

    def abort(self, reason: str) -> None:
        """Stop waiting: tells the upstream (cancel or close) and cancels `reply`. Idempotent."""
        ...


State = Literal["off", "starting", "ready", "waiting", "failed"]


class Health(Struct, frozen=True, kw_only=True):
    """How a server is doing; `detail` is safe for admins and holds no payload."""

    state: State
    era: str = ""
    version: str = ""
    isolation: str = "not isolated"
    pid: int | None = None
    restarts: int = 0
    detail: str = ""


class Observed(Struct, frozen=True, kw_only=True):
    """What a server says of itself: its tools as raw JSON objects, in its order."""

    tools: tuple[msgspec.Raw, ...]
    instructions: str = ""


class Upstreams(Protocol):
    """The pool of connections and child processes, kept equal to the approved servers."""

    def begin(
        self, server: str, request: Request, on_notification: Callable[[str, bytes], None] | None
    ) -> Exchange:
        """Send a request. `on_notification(method, params_json)` is called for each notification
        that belongs to it (progress with the gate's own token already replaced by none)."""
        ...

    async def observe(self, server: Server) -> Observed:
        """Reach the server (starting it if it must be) and read its tools. Raises UpstreamError."""
        ...

    async def reconcile(self, servers: tuple[Server, ...]) -> None:
        """Make the pool equal to this list: start, restart what changed, stop the rest."""
        ...

    def health(self, server: str) -> Health:
        """How that server is doing now."""
        ...

    def on_list_changed(self, listener: Callable[[str], None]) -> None:
        """Call `listener(server id)` when a server says that its tools changed."""
        ...

    async def close(self) -> None:
        """End every connection and child process (close stdin, then TERM, then KILL)."""
        ...
