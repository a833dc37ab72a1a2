"""One HTTP/1.1 request as it was read, and the limits within which it is read."""

from msgspec import Struct


class HttpLimits(Struct, frozen=True):
    """Sizes in bytes, times in seconds."""

    header_bytes: int
    body_bytes: int
    keepalive: float
    write: float = 30.0


class HttpRequest(Struct, eq=False):
    """One request. Header names are lower case; a repeated single one is named.

    `size` is what was read of the body, also where the body itself was not kept. `last` = the
    connection ends with it, `chunks` = its answer may be sent in chunks (not to HTTP/1.0).
    A request that has to wait is `judged` first: then either `away` says why it is turned away,
    or `person` who sends it; `charged` bytes are counted against them, of its own and of its answer
    until it is `over`. `repeats` = its head, which is small, is that of the request before.
    """

    away: Exception | None = None
    judged: bool = False
    person: str = ""
    charged: int = 0
    over: bool = False
    method: bytes = b""
    target: bytes = b""
    headers: dict[bytes, bytes] = {}
    repeated: bytes = b""
    body: bytes = b""
    size: int = 0
    last: bool = False
    chunks: bool = True
    repeats: bool = False

    def forget(self) -> None:
        """Let go of what is large."""
        self.body, self.headers, self.away, self.over = b"", {}, None, True


class RepeatedHead(Struct, frozen=True, gc=False):
    """The head of a connection's last request, by its bytes; `whole` = with its body.

    It stands for a POST that came at once and alone, whose body is framed by its length, and that
    asks nothing of the connection (no upgrade, no 100-continue, not the last).
    """

    head: bytes
    whole: int
    target: bytes
    headers: dict[bytes, bytes]
    chunks: bool

    def request(self, data: bytes) -> HttpRequest:
        """The request that these bytes are: the same head, another body."""
        body = data[len(self.head) :]
        return HttpRequest(
            method=b"POST",
            target=self.target,
            headers=self.headers,
            body=body,
            size=len(body),
            chunks=self.chunks,
            repeats=True,
        )
