"""Pages in a browser: what they may send to the endpoint, and what they may read of an answer.

Only for origins that were let through before; a page of any other learns nothing. There are no
cookies, so a page has what its own script was given. Source: Fetch standard, CORS protocol.
"""

from gatelodge.web.endpoint.http.request import HttpRequest

_ASKED = b"access-control-request-method"
_FIELDS = b"access-control-request-headers"
_EXPOSED = b"access-control-expose-headers: Mcp-Session-Id, WWW-Authenticate"


def is_preflight(request: HttpRequest) -> bool:
    """Say whether a browser asks what its page may send; such a question carries no token."""
    return request.method == b"OPTIONS" and _ASKED in request.headers


def preflight(request: HttpRequest) -> tuple[bytes, ...]:
    """What the page may send: the endpoint's verbs, with the fields that it asked for."""
    asked = request.headers.get(_FIELDS, b"")
    # The field goes back as it came: llhttp lets no line break through, so it adds no field.
    allowed = (b"access-control-allow-headers: " + asked,) if asked else ()
    return (
        b"access-control-allow-methods: POST, GET, DELETE",
        b"access-control-max-age: 600",
        *allowed,
    )


def readable_by(origin: bytes) -> tuple[bytes, ...]:
    """The fields that let a page of this origin read the answer."""
    # The one origin and never `*`: every page could read it. So caches have to tell them apart.
    return (b"access-control-allow-origin: " + origin, b"vary: Origin", _EXPOSED)
