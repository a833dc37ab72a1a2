"""The admin API as one ASGI app; the web framework is imported when it is built, not before."""

from typing import TYPE_CHECKING

from gatelodge.web.api.context import AdminContext

if TYPE_CHECKING:
    from litestar import Litestar


def admin_app(gate: AdminContext, *, local: bool = False) -> "Litestar":
    """Build the admin API. `local` = whoever reaches it is the operator (the local socket).

    Importing the framework takes half a second, which no command that needs no API should pay.
    """
    from gatelodge.web.api.routes import assembled

    return assembled(gate, local=local)
