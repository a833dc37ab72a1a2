"""The face of the console: a session's cookie is the token that it holds, and nothing else is.

A console session is a short-lived personal token: it is recorded, listed and revoked as every
other, and ends with the one that it was opened with. So a request of a page is judged, counted and
answered as one to the admin API (`ApiFace`).
"""

from gatelodge.web.api.face import ApiFace
from gatelodge.web.endpoint.http.connection import ClientConnection
from gatelodge.web.endpoint.http.request import HttpRequest

ROOT = "/console"
"""Below which every page stands."""
COOKIE = "__Host-gatelodge"
"""Set with Secure and Path=/, without Domain: else no browser takes it (RFC 6265bis 4.1.3.2)."""
SESSION_PATH = f"{ROOT}/session"
"""Where a session is opened: by the token in its header, as the admin API takes it."""

_NAME = COOKIE.encode() + b"="


class ConsoleFace(ApiFace):
    """Serves the console's pages."""

    def receive(self, connection: ClientConnection, request: HttpRequest) -> None:
        """Begin to answer a request."""
        _bear_cookie(request)
        super().receive(connection, request)

    def judge(self, connection: ClientConnection, request: HttpRequest) -> None:
        """Look at a request's head: where it comes from, and whose body would be read."""
        _bear_cookie(request)
        super().judge(connection, request)


def _bear_cookie(request: HttpRequest) -> None:
    """Put the session's token where the admin API looks for one; without a session there is none.

    A page's own script can read no cookie of ours, so nobody but the browser brings one.
    """
    if request.target.partition(b"?")[0] == SESSION_PATH.encode():
        return
    # A new one: the head of a repeated request is shared with the request before.
    headers = {name: value for name, value in request.headers.items() if name != b"authorization"}
    token = _token_of_cookie(request.headers.get(b"cookie", b""))
    if token:
        headers[b"authorization"] = b"Bearer " + token
    request.headers = headers


def _token_of_cookie(field: bytes) -> bytes:
    parts = (part.strip(b" \t") for part in field.split(b";"))
    found = [part[len(_NAME) :] for part in parts if part.startswith(_NAME)]
    # A browser keeps one of that name: whatever brought a second cannot be told from it.
    return found[0] if len(found) == 1 else b""
