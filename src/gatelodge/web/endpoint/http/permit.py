"""Under what bytes leave for a client: asked right before they are written, and then they are."""

import asyncio
from typing import Protocol


class Permit(Protocol):
    """Whoever answers for what is said."""

    def holds(self) -> bool:
        """Say whether it may leave now."""
        ...

    def withheld(self) -> None:
        """It did not leave."""
        ...


def write_under(permit: Permit | None, transport: asyncio.Transport, data: bytes) -> None:
    """Write what its permit lets out (None = it needs none); the rest ends the connection.

    It goes out at once, as far as the client takes it, and not at the end of the loop's round: what
    the permit said would not be true then, if the machine slept in between.
    """
    if permit is None or permit.holds():
        transport.set_write_buffer_limits(high=0)
        transport.write(data)
        transport.set_write_buffer_limits()
    else:
        transport.abort()
        permit.withheld()
