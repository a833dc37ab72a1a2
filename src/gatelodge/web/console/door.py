"""The door of the console: what pages may ask, and from which page."""

from typing import Any

from gatelodge.core.errors import Forbidden, Invalid
from gatelodge.web.api.authentication import READING, AuthMiddleware, is_body_of_another_type

FORM = b"application/x-www-form-urlencoded"


class ConsoleDoor(AuthMiddleware, frozen=True):
    """As the admin API's door, for pages: a change comes from a page of this very console.

    A browser sends the cookie to no request that another site causes (SameSite=Strict), and says
    in `Origin` which page asks for a change: both have to hold (Fetch standard, RFC 6265bis). Which
    scheme the console is reached by is known to the browser alone: it says so in `Sec-Fetch-Site`.
    """

    def check_origin(self, scope: Any, headers: dict[bytes, bytes]) -> None:
        """Raise Forbidden for a change that a page elsewhere, or no page, asks for."""
        if scope["method"] in READING:
            return
        scheme, _, authority = headers.get(b"origin", b"").lower().partition(b"://")
        own = scheme in (b"http", b"https") and authority == headers.get(b"host", b"").lower()
        if not own or headers.get(b"sec-fetch-site", b"same-origin") != b"same-origin":
            scope["state"]["foreign"] = True
            raise Forbidden(
                "a change is made from a page of the console",
                remedy="Programs use the admin API below /api/v1.",
            )

    def check_form(self, method: str, headers: dict[bytes, bytes]) -> None:
        """Raise Invalid for a body that no form of a page sends."""
        if is_body_of_another_type(method, headers, FORM):
            raise Invalid("the body must be a form", remedy="Send it from a page of the console.")
