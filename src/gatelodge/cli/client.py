"""The admin API as commands see it, however the gate is reached.

Three ways, tried in this order: a remote gate (`--url`, with a personal token), the local socket
of a running node (`DATA/run/admin.sock`), else the same API inside this process over the data
directory. Paths and answers are the same on all three. A token goes into a header only: never into
an argument, a URL or an error.
"""

import http.client
import os
import socket
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlencode, urlsplit

import msgspec
from msgspec import Struct

from gatelodge.cli.output import UndecidedChange
from gatelodge.config.schema import Settings
from gatelodge.core.errors import GateUnreachable, HouseError, Invalid
from gatelodge.web import problems
from gatelodge.web.api.operators import operator_of

SECONDS = 90.0
"""How long one request may take; adding a server observes it, which may start a process."""
TOKEN_VARIABLE = "GATELODGE_TOKEN"  # noqa: S105 - the variable's name
_ROOT = "/api/v1"
_ADDRESS_BYTES = 108
"""The longest Unix socket address that Linux takes, its final zero included."""


class ApiRequest(Struct, frozen=True):
    """One request: `path` with its query, `body` JSON or empty."""

    method: str
    path: str
    body: bytes = b""


class ApiResponse(Struct, frozen=True):
    """What came back."""

    status: int
    body: bytes


class ApiConnection(Protocol):
    """One way to reach the admin API."""

    def send(self, asked: ApiRequest) -> ApiResponse:
        """Send and wait. Raises GateUnreachable."""
        ...

    def close(self) -> None:
        """Let go of what was opened."""
        ...


class GateClient:
    """The admin API of one gate; opened at the first request."""

    def __init__(self, way: ApiConnection, workspace: str) -> None:
        self._way = way
        self.workspace = workspace

    def get(self, path: str, **query: object) -> Any:
        """What stands there. Raises the error that the gate answered."""
        return self._request_json("GET", path, query, None)

    def post(self, path: str, body: object = None, **query: object) -> Any:
        """What came of it. Raises the error that the gate answered."""
        return self._request_json("POST", path, query, {} if body is None else body)

    def delete(self, path: str, **query: object) -> Any:
        """What came of it. Raises the error that the gate answered."""
        return self._request_json("DELETE", path, query, None)

    def every(self, path: str, **query: object) -> Iterator[dict[str, Any]]:
        """Each item of a list, page after page."""
        cursor = ""
        while True:
            page = self.get(path, cursor=cursor, **query)
            yield from page["items"]
            cursor = page.get("next", "")
            if not cursor:
                return

    def here(self, *segments: str) -> str:
        """The path of something in the chosen workspace. Raises Invalid for an empty name."""
        if "" in segments:
            raise Invalid("the name is empty", remedy="Say which one.")
        return path_of("workspaces", self.workspace, *segments)

    def close(self) -> None:
        """Let go of the way."""
        self._way.close()

    def _request_json(
        self, method: str, path: str, query: Mapping[str, object], body: object
    ) -> Any:
        asked = ApiRequest(
            method,
            _ROOT + path + _query_string(query),
            b"" if body is None else msgspec.json.encode(body),
        )
        try:
            answered = self._way.send(asked)
        except KeyboardInterrupt:
            # What only reads has changed nothing that anybody could be in doubt about.
            if method == "GET":
                raise
            raise UndecidedChange from None
        try:
            value = msgspec.json.decode(answered.body) if answered.body else None
        except msgspec.DecodeError:
            # Whatever stands at that address answered: its words are not shown as a gate's.
            raise GateUnreachable(f"the answer (HTTP {answered.status}) is not a gate's") from None
        if answered.status >= http.client.MULTIPLE_CHOICES:
            raise _error_of_response(answered.status, value)
        return value


def path_of(*segments: str) -> str:
    """A path of these segments, each percent-encoded."""
    return "".join("/" + quote(segment, safe="@:") for segment in segments)


def _error_of_response(status: int, value: object) -> HouseError:
    if isinstance(value, dict) and "code" in value:
        return problems.error_of(value)
    return GateUnreachable(f"the gate answered HTTP {status} and gave no reason")


def _query_string(query: Mapping[str, object]) -> str:
    pairs = []
    for name, value in query.items():
        if value is True:
            pairs.append((name, "true"))
        elif value is not None and value is not False and value != "":
            pairs.append((name, str(value)))  # 0 is a number like others
    return "?" + urlencode(pairs) if pairs else ""


class RemoteGate:
    """A gate somewhere else, over HTTP(S).

    Redirects are not followed: they would take the token along.
    """

    def __init__(self, url: str, token: str) -> None:
        import urllib.request

        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Invalid("--url wants the gate's address, such as https://gate.example.com")
        if "@" in parts.netloc:
            # Named in errors and by proxies: no place for what is secret.
            raise Invalid(
                "--url holds a user or a password",
                remedy=f"Leave them out; a token goes into {TOKEN_VARIABLE} or --token-file.",
            )
        if not token.isascii() or not token.isprintable() or " " in token:
            raise Invalid("the token is not one word of ASCII", remedy="Give the token alone.")
        local = parts.hostname in {"127.0.0.1", "::1", "localhost"}
        if parts.scheme == "http" and token and not local:
            raise Invalid(
                "--url: a token is not sent over plain http to another machine",
                remedy="Use https://, or run the command on the gate's own machine.",
            )
        if parts.query or parts.fragment:
            raise Invalid("--url wants an address without ? and #")
        # A proxy may serve the gate below a path of its own.
        self._root = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._token = token
        # To a proxy from the environment this address would mean the proxy's own machine.
        ways = [] if not local else [urllib.request.ProxyHandler({})]
        self._opener = urllib.request.build_opener(_no_redirect(), *ways)

    def send(self, asked: ApiRequest) -> ApiResponse:
        """Send and wait. Raises GateUnreachable."""
        import urllib.error
        import urllib.request

        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            self._root + asked.path,
            data=asked.body or None,
            method=asked.method,
            headers={"accept": "application/json"},
        )
        if asked.body:
            request.add_header("content-type", "application/json")
        if self._token:
            request.add_unredirected_header("authorization", f"Bearer {self._token}")
        try:
            with self._opener.open(request, timeout=SECONDS) as response:
                return ApiResponse(response.status, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return ApiResponse(error.code, error.read())
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            # What fails before a request is sent, urllib raises as an error of its own.
            sent = not isinstance(error, urllib.error.URLError)
            raise _unanswered(self._root, asked, reason, sent=sent) from None

    def close(self) -> None:
        """Nothing stays open."""


def _no_redirect() -> Any:
    import urllib.request

    class NoRedirect(urllib.request.HTTPRedirectHandler):
        """Leaves a redirect as the answer that it is."""

        def redirect_request(self, *_given: Any, **_named: Any) -> None:
            """No second request."""
            return

    return NoRedirect()


class LocalSocket:
    """A node that runs on this machine, over its Unix socket; who may open it may do all."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def found(cls, settings: Settings) -> "LocalSocket | None":
        """The socket of a running node, or None when nobody listens there."""
        path = socket_path(settings)
        try:
            if not stat.S_ISSOCK(path.stat().st_mode):
                return None
            # The file outlives a gate that was killed: only a socket that takes a connection is a
            # gate's.
            with _connect_unix_socket(path, 2.0):
                return cls(path)
        # Not the same as nobody: the command would go on to open a directory that a gate may hold.
        except PermissionError:
            raise GateUnreachable(
                f"{path} may not be opened by this account",
                remedy="Run the command as the account that runs the gate, or use --url.",
            ) from None
        except OSError:
            return None

    def send(self, asked: ApiRequest) -> ApiResponse:
        """Send and wait. Raises GateUnreachable."""
        link = http.client.HTTPConnection("localhost", timeout=SECONDS)
        sent = False
        try:
            link.sock = _connect_unix_socket(self._path, SECONDS)
            fields = {"content-type": "application/json"} if asked.body else {}
            link.request(asked.method, asked.path, asked.body or None, fields)
            sent = True
            response = link.getresponse()
            return ApiResponse(response.status, response.read())
        except (OSError, http.client.HTTPException) as error:
            raise _unanswered(self._path, asked, error, sent=sent) from None
        finally:
            link.close()

    def close(self) -> None:
        """Nothing stays open."""


class InProcess:
    """The admin API over the data directory itself, when no node runs on it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = ExitStack()
        self._portal: Any = None
        self._app: Any = None

    def send(self, asked: ApiRequest) -> ApiResponse:
        """Send and wait; the first request opens the house."""
        if self._portal is None:
            self._start_offline_app()
        answered = self._portal.call(_call_asgi_app, self._app, asked)
        assert isinstance(answered, ApiResponse)
        return answered

    def close(self) -> None:
        """Close the house in order."""
        self._stack.close()

    def _start_offline_app(self) -> None:
        from anyio.from_thread import start_blocking_portal

        from gatelodge.app import offline_api

        self._portal = self._stack.enter_context(start_blocking_portal("asyncio"))
        opening = self._portal.wrap_async_context_manager(offline_api(self._settings))
        self._app = self._stack.enter_context(opening)


async def _call_asgi_app(app: Any, asked: ApiRequest) -> ApiResponse:
    """One request through an ASGI app."""
    path, _, query = asked.path.partition("?")
    fields = [(b"host", b"localhost")]
    if asked.body:
        fields.append((b"content-type", b"application/json"))
        fields.append((b"content-length", str(len(asked.body)).encode()))
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": asked.method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": fields,
        "client": None,
        "server": ("localhost", 0),
        # Whoever can open the directory holds its keys, so no more than the account is asked.
        "extensions": {"gatelodge.local": {"by": operator_of(os.getpid(), os.getuid())}},
        "state": {},
    }
    waiting = [{"type": "http.request", "body": asked.body, "more_body": False}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return ApiResponse(sent[0]["status"], b"".join(each.get("body", b"") for each in sent[1:]))


def socket_path(settings: Settings) -> Path:
    """Where a running node listens for its own machine."""
    return Path(settings.data_dir) / "run" / "admin.sock"


def token_from(file: Path | None) -> str:
    """The token for a remote gate: from the named file, else the environment.

    Raises Invalid when the file cannot be read or others may read it.
    """
    if file is None:
        return os.environ.get(TOKEN_VARIABLE, "").strip()
    try:
        if file.stat().st_mode & 0o077:
            raise Invalid(f"--token-file: others may read {file}", remedy=f"Run: chmod 600 {file}")
        return file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        # What was given may be the token itself, so it is not told.
        remedy = f"It wants a FILE; a token itself goes into {TOKEN_VARIABLE}."
        raise Invalid("--token-file: no file that can be read", remedy=remedy) from None


def _connect_unix_socket(path: Path, seconds: float) -> socket.socket:
    """A connection to the socket.

    Its directory is entered through /proc when the path is longer than an address may be.
    """
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.settimeout(seconds)
    try:
        if len(os.fsencode(path)) < _ADDRESS_BYTES:
            link.connect(str(path))
        else:
            held = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                link.connect(f"/proc/self/fd/{held}/{path.name}")
            finally:
                os.close(held)
    except OSError:
        link.close()
        raise
    return link


def _unanswered(gate: object, asked: ApiRequest, reason: object, *, sent: bool) -> GateUnreachable:
    told = f"{gate} did not answer ({_failure_reason(reason)})"
    if not sent or asked.method == "GET":
        return GateUnreachable(told)
    return GateUnreachable(
        f"{told}; what was asked for may have been done",
        remedy="Look before asking again: gatelodge audit changes tail.",
    )


def _failure_reason(reason: object) -> str:
    if isinstance(reason, TimeoutError):
        return f"no answer within {SECONDS:.0f} s"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return type(reason).__name__
