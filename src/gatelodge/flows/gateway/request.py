"""One request that a server shall answer, read and authenticated; and who hears what it says."""

from collections.abc import Awaitable, Callable, Mapping

from msgspec import Raw, Struct
from msgspec.structs import replace

from gatelodge.core.catalog.server import Server
from gatelodge.core.protocol.bridge.questions import InputRequest, RetriedRequest
from gatelodge.core.protocol.envelope import Era, Members, given
from gatelodge.core.protocol.era import headers_mirror
from gatelodge.core.protocol.upstream import progress_made, progress_restored
from gatelodge.core.protocol.version import META_PROGRESS
from gatelodge.core.view_entry import CredentialEntry, PrincipalEntry, ToolEntry
from gatelodge.flows.audit.recorder import RecordedCaller
from gatelodge.flows.gateway.targets import TargetFinder
from gatelodge.ports.upstream import OnBehalfOf, UpstreamReply

Notify = Callable[[str, bytes], None]
HELD, HELD_BYTES = 64, 256 * 1024
"""Notifications kept while a call is parked, and their size; the oldest are dropped."""
_PROGRESS = "notifications/progress"

Put = Callable[[Mapping[str, InputRequest]], Awaitable[dict[str, UpstreamReply]]]
"""Asks a legacy client, on the stream of its own request; an answer that does not come is missing.
"""


class MonotonicProgress:
    """Hands notifications on, progress only while it rises.

    A server that is asked again begins anew with it, which its client must not see (MCP 2025-11-25
    basic/utilities/progress: it increases with each notification).
    """

    __slots__ = ("_made", "_notify")

    def __init__(self, notify: Notify) -> None:
        self._notify = notify
        self._made: float | None = None

    def __call__(self, method: str, params: bytes) -> None:
        """Hand on, or drop."""
        if method == _PROGRESS:
            made, last = progress_made(params), self._made
            if made is not None and last is not None and made <= last:
                return
            self._made = made
        self._notify(method, params)


class NotificationBuffer:
    """Takes a server's notifications to whoever waits for the call now; keeps a few when nobody."""

    __slots__ = ("_held", "_mute", "_notify", "_size", "_token")

    def __init__(self, notify: Notify | None) -> None:
        self._notify = notify
        self._token: Raw | None = None
        self._mute = False
        """Whoever waits now wants to hear of no progress."""
        self._held: list[tuple[str, bytes]] = []
        self._size = 0

    def __call__(self, method: str, params: bytes) -> None:
        """Hand on, or keep."""
        if self._notify is None:
            self._keep_notification(method, params)
            return
        if method == _PROGRESS:
            if self._mute:
                return
            if self._token is not None:
                params = progress_restored(params, self._token)
        self._notify(method, params)

    def detach(self) -> None:
        """Nobody waits for now."""
        self._notify = None

    def attach(self, notify: Notify | None, meta: Members) -> None:
        """Somebody waits again, with a progress token of their own; what was kept goes out.

        Without a token they hear of no progress, neither of what was kept nor of what comes.
        """
        token = given(meta, META_PROGRESS)
        self._notify, self._token, self._mute = notify or _drop_notification, token, token is None
        held, self._held, self._size = self._held, [], 0
        for method, params in held:
            self(method, params)

    def _keep_notification(self, method: str, params: bytes) -> None:
        # A server may say any amount while a person thinks, so both count and size are bounded.
        self._held.append((method, params))
        self._size += len(params)
        while len(self._held) > HELD or self._size > HELD_BYTES:
            self._size -= len(self._held.pop(0)[1])


class RequestOrigin(Struct, frozen=True, kw_only=True):
    """Who says what, for a server to be told of: as in a call's intent."""

    who: PrincipalEntry
    credential: CredentialEntry
    caller: RecordedCaller
    slug: str
    log: str
    method: str
    proto: str
    bytes_in: int


class CallRequest(RequestOrigin, frozen=True, kw_only=True):
    """One request for a tool, prompt, resource, completion or task.

    `targets` finds what its `name` stands for: a tool's or prompt's name, a URI, a sealed task.
    `params` are its own, without what belongs to a `round`: the answers and the state that a retry
    brings. `notify` takes a server's notifications to the client (None: it hears none), and
    `hearing` is the same for a client that may leave the call and take it up again. `put` asks a
    legacy client; a modern one is answered instead. `tasks` = a task is an answer that it
    understands.
    """

    workspace: str
    alias: str
    targets: TargetFinder
    name: str
    headers: dict[bytes, bytes]
    params: Members
    meta: Members
    era: Era
    asker: OnBehalfOf
    request: tuple[bytes, bytes] | None
    notify: Notify | None
    hearing: NotificationBuffer | MonotonicProgress | Notify | None
    round: RetriedRequest | None
    put: Put | None
    tasks: bool

    def mirrored(self, tool: ToolEntry) -> bool:
        """Say whether its headers repeat the arguments that the tool wants repeated."""
        arguments = self.params.get("arguments", Raw(b"{}"))
        # No legacy revision has these headers, so there their absence says nothing.
        return self.era == "legacy" or headers_mirror(self.headers, tool.mirrors, arguments)

    def told_to(self, server: Server) -> "CallRequest":
        """The same request, of a client that declares what this server is told of."""
        capabilities = server.told_of(self.asker.capabilities)
        if capabilities == self.asker.capabilities:
            return self
        return replace(self, asker=replace(self.asker, capabilities=capabilities))


def _drop_notification(_method: str, _params: bytes) -> None:
    """Nobody wants to hear it."""
