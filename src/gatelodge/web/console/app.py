"""The console as one ASGI app; the web framework is imported when it is built, not before."""

from typing import TYPE_CHECKING

from gatelodge.web.api.context import AdminContext

if TYPE_CHECKING:
    from litestar import Litestar


def console_app(gate: AdminContext) -> "Litestar":
    """Build the console over this gate."""
    from gatelodge.web.console.routes import assembled

    return assembled(gate)
