"""What `gatelodge up` says: once when it is ready, and when it goes."""

from typing import Protocol

from msgspec import Struct


class Ready(Struct, frozen=True, kw_only=True):
    """The gate serves. `token` is the owner's, at the first start only."""

    address: str
    directory: str
    token: str
    seconds: float

    @property
    def endpoint(self) -> str:
        """The MCP endpoint of the workspace `main`."""
        return f"{self.address}/k/main/mcp"


class Announce(Protocol):
    """Whoever tells a person or a machine."""

    def ready(self, ready: Ready) -> None:
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
