"""What `gatelodge up` says: once when it is ready, and when it goes."""

from typing import Protocol

from msgspec import Struct

from gatelodge.config.schema import ListenSettings

LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))
WILDCARD = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - compared with
"""Addresses that stand for every interface, and how a client on this machine reaches them."""


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
