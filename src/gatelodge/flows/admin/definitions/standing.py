"""How what a server offers stands to what an admin said of it."""

from msgspec import Raw

from gatelodge.core.catalog.server import Server, Tool
from gatelodge.core.protocol.bridge.tasks import needs_task
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


def for_tasks(row: Tool) -> bool:
    """True for a tool that the gate leaves out, since it can be called as a task only."""
    return needs_task(Raw((row.approved_definition or row.definition).encode()))


def instructions_standing(row: Server) -> str:
    """What was said of a server's instructions: none, approved, changed, new."""
    if not row.instructions:
        return "none"
    if row.instructions == row.approved_instructions:
        return "approved"
    return "changed" if row.approved_instructions else "new"
