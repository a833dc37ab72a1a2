"""Under what bytes leave for a client: asked right before they are written, and then they are."""

from typing import Protocol


class WritePermit(Protocol):
    """Whoever answers for what is said."""

    def holds(self) -> bool:
        """Say whether it may leave now."""
        ...

    def withheld(self) -> None:
        """It did not leave."""
        ...
