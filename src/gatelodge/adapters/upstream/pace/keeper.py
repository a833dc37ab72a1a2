"""Who keeps the links of one server, and hears what becomes of each."""

from typing import Protocol, TypeVar

from gatelodge.core.errors import HouseError
from gatelodge.ports.upstream import UpstreamRequest

L = TypeVar("L")


class LinkKeeper(Protocol[L]):
    """Whoever keeps a link: hears what becomes of it, and says which link carries a request."""

    def elsewhere(self, link: L, request: UpstreamRequest) -> L | HouseError | None:
        """The link that carries what was held while nothing was known; None = this one."""
        ...

    def met(self, link: L) -> None:
        """The server was met."""
        ...

    def unmet(self, link: L, fault: HouseError) -> None:
        """It was not met, or was lost; what it holds may be taken away (`released`)."""
        ...

    def changed(self) -> None:
        """What the server offers may have changed."""
        ...

    def updated(self, uri: str) -> None:
        """A watched resource may have changed."""
        ...

    def aside(self, link: L, method: str, params: bytes) -> bool:
        """Something was said in somebody's own session, outside of every request."""
        ...
