"""Upstream MCP servers: what can be asked of one, without knowing how it is reached."""

from asyncio import Future
from collections.abc import Callable
from typing import Literal, Protocol

import msgspec
from msgspec import Struct

from gatelodge.core.catalog.server import Server
from gatelodge.core.protocol.upstream_headers import Mirror


class Reply(Struct, frozen=True):
    """What the upstream answered: exactly one of `result` and `error` (raw JSON) is set."""

    result: msgspec.Raw | None = None
    error: msgspec.Raw | None = None


class Request(Struct, frozen=True, kw_only=True):
    """One request to an upstream.

    `params` members are raw JSON; `meta` holds only keys that may pass (reserved ones are issued
    anew by the adapter for the era it speaks).
    `name` is the tool, prompt or URI that `params` names; `mirrors` are the arguments that a modern
    HTTP server wants repeated in headers (`core.protocol.upstream_headers.mirrors` of the pinned
    inputSchema); `client` is what the caller's program calls itself, never believed.
    """

    method: str
    params: dict[str, msgspec.Raw]
    meta: dict[str, msgspec.Raw] = {}
    name: str = ""
    mirrors: tuple[Mirror, ...] = ()
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
"""off: not in the pool. waiting: will be tried again shortly. failed: several tries failed, each
further one a minute after the last."""


class Health(Struct, frozen=True, kw_only=True):
    """How a server is doing; `detail` is safe for admins and holds no payload.

    `version` is the revision of MCP that was agreed on; `restarts` counts the times that a server
    which had been ready was lost.
    """

    state: State
    era: str = ""
    version: str = ""
    isolation: str = "not isolated"
    pid: int | None = None
    restarts: int = 0
    detail: str = ""


class Observed(Struct, frozen=True, kw_only=True):
    """What a server says of itself: its tools as raw JSON objects, in its order.

    `dropped` counts tools left out because a client must not use them: no name, or, from a modern
    HTTP server, an invalid `x-mcp-header`.
    """

    tools: tuple[msgspec.Raw, ...]
    instructions: str = ""
    dropped: int = 0


class Upstreams(Protocol):
    """The pool of connections and child processes, kept equal to the approved servers."""

    def begin(
        self, server: str, request: Request, on_notification: Callable[[str, bytes], None] | None
    ) -> Exchange:
        """Send a request; never raises, `reply` fails instead.

        `on_notification(method, params_json)` is called for each notification that belongs to it,
        a progress one with the caller's own token (of `request.meta`) put back. Without it, no
        progress is asked for.
        """
        ...

    async def observe(self, server: Server) -> Observed:
        """Reach the server (starting it if it must be, whatever its status) and read its tools.

        Raises UpstreamError, LimitReached (too many tools) or KeyUnreachable (a secret reference).
        """
        ...

    async def reconcile(self, servers: tuple[Server, ...]) -> None:
        """Make the pool equal to the approved servers: start, restart what changed, stop the rest.

        Whatever left the list is unreachable when this returns; it does not wait for starts and
        stops.
        """
        ...

    def health(self, server: str) -> Health:
        """How that server is doing now."""
        ...

    def on_list_changed(self, listener: Callable[[str], None]) -> None:
        """Call `listener(server id)` when a server's tools may have changed.

        Either it said so, or it came back after it was lost.
        """
        ...

    async def close(self) -> None:
        """End every connection and child process (close stdin, then TERM, then KILL)."""
        ...
