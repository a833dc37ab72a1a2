"""A connection that finds no place is told so, and counted."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from gatelodge.app.faces import ServedFaces
from gatelodge.app.listener import SocketListener, must_be_free
from gatelodge.config.schema import LimitSettings, ListenSettings, Settings
from gatelodge.core.errors import Invalid
from gatelodge.core.records.origin import UNROUTED
from gatelodge.web.endpoint.endpoint import McpEndpoint
from gatelodge.web.endpoint.http.connection import ClientConnection

MOST = 4


class Kept:
    """Keeps what is recorded of requests that were turned away."""

    def __init__(self) -> None:
        self.refused_at: list[tuple[str, object, str, int]] = []

    def refused(self, log, who, refusal, _durable) -> None:
        self.refused_at.append((log, who, refusal.reason, refusal.http))


class Client:
    """A connection that is open, of this person."""

    def __init__(self, person: str) -> None:
        self.person = person


class Wire:
    """The transport of one connection."""

    def __init__(self) -> None:
        self.told, self.closed = b"", False

    def write(self, chunk: bytes) -> None:
        self.told += chunk

    def close(self) -> None:
        self.closed = True


@pytest.mark.anyio
async def test_each_connection_beyond_the_limit_is_told_503_and_counted(tmp_path: Path):
    recorder = Kept()
    endpoint = McpEndpoint(SimpleNamespace(recorder=recorder))
    settings = Settings(data_dir=str(tmp_path), limits=LimitSettings(connections=MOST))
    listener = SocketListener(settings, ServedFaces(endpoint, None, None, None))
    for person in ("ada", "bob", "cyd", "dan"):
        assert isinstance(listener._accept_or_refuse_client(None), ClientConnection)
        listener._connections.open.add(Client(person))
    for _ in range(2):
        wire = Wire()
        listener._accept_or_refuse_client(None).connection_made(wire)
        assert (wire.told[:12], wire.closed) == (b"HTTP/1.1 503", True)
    assert recorder.refused_at == [(UNROUTED, None, "limit", 503)] * 2


@pytest.mark.parametrize("port", [0, 1])
@pytest.mark.parametrize("host", ["a" * 64, "a..b", "\u00e9" * 64])
def test_a_host_that_is_no_name_is_refused_before_anything_is_made(host: str, port: int):
    with pytest.raises(Invalid, match="no name of a host") as caught:
        must_be_free(ListenSettings(host=host, port=port))
    assert "listen.host" in caught.value.remedy
