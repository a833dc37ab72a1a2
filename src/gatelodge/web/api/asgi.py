"""ASGI as far as the admin API needs it: one request that was read, one answer that is written.

Source: ASGI specification 3.0, HTTP connection scope; RFC 9110 9.3.2 (HEAD).
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

from gatelodge.web.api.authentication import LOCAL_EXTENSION
from gatelodge.web.api.operators import operator_at
from gatelodge.web.endpoint.http.connection import ClientConnection
from gatelodge.web.endpoint.http.request import HttpRequest

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_PHRASE = {s.value: s.phrase.encode() for s in HTTPStatus}
_BODILESS = frozenset((204, 304))
_ASKED_AS = {b"HEAD": "GET"}
"""A HEAD is answered as the GET of its path would be; what is sent of the answer has no body."""


class AsgiExchange:
    """One request at an application, and what it answered."""

    def __init__(self, connection: ClientConnection, request: HttpRequest, *, local: bool) -> None:
        self.status = 500
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.scope = _build_http_scope(connection, request, local=local)
        self._parts: list[bytes] = []
        self._unread: list[bytes] = [request.body]
        self._gone = asyncio.Event()
        connection.on_gone = self._gone.set
        # It may have gone before this listened, and nothing would ever say so again.
        if connection.gone:
            self._gone.set()

    async def run(self, app: AsgiApp) -> None:
        """Have it answered."""
        await app(self.scope, self._receive, self._send)
        self.body = b"".join(self._parts)

    async def _receive(self) -> MutableMapping[str, Any]:
        if self._unread:
            return {"type": "http.request", "body": self._unread.pop(), "more_body": False}
        # To ASGI a disconnect means that nobody waits: told early, an answer could be given up.
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
            self.headers = [(bytes(k).lower(), bytes(v)) for k, v in message.get("headers", ())]
        elif message["type"] == "http.response.body":
            # Kept whole, since one permit is asked for all of it at the moment when it leaves.
            self._parts.append(bytes(message.get("body", b"")))


def rendered(
    connection: ClientConnection,
    request: HttpRequest,
    status: int,
    headers: list[tuple[bytes, bytes]],
    body: bytes,
) -> bytes:
    """An answer as bytes, framed here whatever the application said of its length."""
    lines = [b"HTTP/1.1 %d %b" % (status, _PHRASE.get(status, b"Unknown"))]
    # A wrong length from the application would have bytes of this answer read as the next one.
    lines += [k + b": " + v for k, v in headers if k not in (b"content-length", b"connection")]
    if status not in _BODILESS:
        lines.append(b"content-length: %d" % len(body))
    if connection.closing:
        lines.append(b"connection: close")
    bare = status in _BODILESS or request.method == b"HEAD"
    return b"\r\n".join(lines) + b"\r\n\r\n" + (b"" if bare else body)


def _build_http_scope(connection: ClientConnection, request: HttpRequest, *, local: bool) -> Scope:
    path, _, query = request.target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1" if request.chunks else "1.0",
        "method": _ASKED_AS.get(request.method) or request.method.decode("ascii"),
        "scheme": "http",
        "path": "/".join(map(_segment, path.split(b"/"))),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": list(request.headers.items()),
        "client": connection.about("peername") or None,
        "server": None,
        "state": {},
        # Who is local stands where nothing that a client sends can reach: headers go elsewhere.
        "extensions": {LOCAL_EXTENSION: {"by": operator_at(connection.about("socket"))}}
        if local
        else {},
    }


def _segment(raw: bytes) -> str:
    """A part of a path, decoded but for a slash in it, by which the router would split it.

    `path_values` undoes what is left.
    """
    # Bytes that are no UTF-8 name nothing here: they end as an unknown name, not as a fault.
    text = unquote_to_bytes(raw).decode("utf-8", "replace")
    return text.replace("%", "%25").replace("/", "%2F")
