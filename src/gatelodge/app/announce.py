"""What `gatelodge up` says: once when it is ready, and when it goes."""

import logging
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from gatelodge.app.first_start import UNSEEN
from gatelodge.config.schema import ListenSettings
from gatelodge.core.http.authority import WILDCARD

log = logging.getLogger(__name__)

LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))


class ReadyAnnouncement(Struct, frozen=True, kw_only=True):
    """The gate serves. `token` is the owner's, at the first start only."""

    address: str
    directory: str
    token: str
    seconds: float
    warnings: tuple[str, ...] = ()

    @property
    def endpoint(self) -> str:
        """The MCP endpoint of the workspace `main`."""
        return f"{self.address}/k/main/mcp"


def exposures(listen: ListenSettings) -> tuple[str, ...]:
    """What whoever lets the gate listen beyond this machine should know, a sentence each."""
    if listen.host in LOOPBACK:
        return ()
    said = []
    if not listen.public_url.startswith("https://"):
        said.append(
            f"it listens on {listen.host or 'every address'} without TLS: tokens and payloads can "
            "be read on the way; put a proxy that ends TLS in front, and name it with "
            "--set listen.public_url=https://HOST"
        )
    if listen.host in WILDCARD and not (listen.public_url or listen.allowed_hosts):
        said.append(
            "only requests to localhost and 127.0.0.1 are served: for another name or address, "
            "--set listen.public_url=URL or --set listen.allowed_hosts=HOST"
        )
    return tuple(said)


class StartupAnnouncer(Protocol):
    """Whoever tells a person or a machine."""

    def ready(self, ready: ReadyAnnouncement) -> None:
        """It serves from now on."""
        ...

    def step(self, text: str) -> None:
        """A remark on the way (the demo's)."""
        ...

    def demonstrated(self) -> None:
        """The demo is set up."""
        ...

    def stopping(self) -> None:
        """A stop was asked for; running calls are finishing."""
        ...

    def stopped(self) -> None:
        """Everything is closed and durable."""
        ...


class UnstoppableAnnouncer:
    """Tells what can be told; a reader that has gone is named in the log, and stops nothing."""

    def __init__(self, announcer: StartupAnnouncer) -> None:
        self._announcer = announcer

    def ready(self, ready: ReadyAnnouncement) -> None:
        """It serves from now on; a token that was not shown is told of."""
        if not _was_told(lambda: self._announcer.ready(ready)) and ready.token:
            log.warning(UNSEEN)

    def step(self, text: str) -> None:
        """A remark on the way."""
        _was_told(lambda: self._announcer.step(text))

    def demonstrated(self) -> None:
        """The demo is set up."""
        _was_told(self._announcer.demonstrated)

    def stopping(self) -> None:
        """A stop was asked for."""
        _was_told(self._announcer.stopping)

    def stopped(self) -> None:
        """Everything is closed."""
        _was_told(self._announcer.stopped)


def _was_told(tell: Callable[[], None]) -> bool:
    try:
        tell()
    # A pipe that was closed, a disk that is full, a terminal that has gone, or one that cannot show
    # the name of the directory.
    except (OSError, ValueError) as fault:
        log.warning(
            "standard output cannot be written (%s); all else goes on", type(fault).__name__
        )
        return False
    return True
