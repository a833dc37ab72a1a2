"""How what a server offers stands to what an admin said of it."""

from gatelodge.core.catalog.server import Server, Tool
from gatelodge.core.protocol.shown.conform import nonconformities


def standing(row: Tool) -> str:
    """What an admin's words come to for a tool now."""
    if not row.present:
        return "gone"
    if row.blocked:
        return "blocked"
    if row.pinned:
        return "pinned"
    return "changed" if row.approved else "new"


def unfit(row: Tool) -> tuple[str, ...]:
    """Why clients of some era would refuse every list with this tool in it."""
    return tuple(map(str, nonconformities("tools", row.definition)))


def instructions_standing(row: Server) -> str:
    """What was said of a server's instructions: none, approved, changed, new."""
    if not row.instructions:
        return "none"
    if row.instructions == row.approved_instructions:
        return "approved"
    return "changed" if row.approved_instructions else "new"
