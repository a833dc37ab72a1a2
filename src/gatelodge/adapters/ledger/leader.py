"""Who sequences where there is one node. Several take turns by a lock: `lock.PostgresLeader`."""


class OnlyNode:
    """The port `Leader` where there is one node."""

    async def leads(self) -> bool:
        """Always true."""
        return True

    async def resign(self) -> None:
        """Nothing to give up."""
