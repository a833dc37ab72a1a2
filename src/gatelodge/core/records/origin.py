"""The logs by name: ids that code uses, and origins that checkpoints bear."""

GOV = "gov"
"""The log of who may do what."""
DOOR = "door"
"""The log of requests that reach no workspace."""


def calls_log(workspace: str) -> str:
    """The id of a workspace's log of calls."""
    return f"calls:{workspace}"


def origin_of(log: str, gate: str) -> str:
    """The origin of a log of that gate, `audit.origin` or `localhost`; never change it later."""
    return f"{gate or 'localhost'}/{log.replace(':', '/')}"
