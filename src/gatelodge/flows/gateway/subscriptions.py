"""Which streams hear of which resource, and so what each server has to watch.

A server watches the union of what its streams wait for, told anew whenever that changes. A stream
counts only where its principal may read: nothing that a member asks for alone makes a server work
(guarantee isolation:no-second-path). Owned by the event loop.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from gatelodge.core.ids import ServerId

Uris = frozenset[tuple[ServerId, str]]
"""Resources by their server and by the URI which that server knows them by."""
S = TypeVar("S")
_NONE: frozenset[str] = frozenset()
_LONGEST_PATH = 2048


class ResourceSubscriptions(Generic[S]):
    """Streams by server and URI; `hand` tells a server all that it has to watch from now on."""

    def __init__(self, hand: Callable[[str, frozenset[str]], None]) -> None:
        self._hand = hand
        self._waiting: dict[ServerId, dict[str, set[S]]] = {}
        self._handed: dict[ServerId, frozenset[str]] = {}

    def enter(self, stream: S, uris: Iterable[tuple[ServerId, str]]) -> None:
        """Let this stream wait for these too."""
        touched = {server for server, uri in uris if self._add_waiting_stream(stream, server, uri)}
        self._hand_changed_uris(touched)

    def leave(self, stream: S, uris: Iterable[tuple[ServerId, str]]) -> None:
        """Let it wait for these no more. Idempotent."""
        touched = {
            server for server, uri in uris if self._remove_waiting_stream(stream, server, uri)
        }
        self._hand_changed_uris(touched)

    def replace(self, waiting: Iterable[tuple[S, Uris]]) -> None:
        """Let exactly these wait; servers hear of the difference only."""
        # All enter first and are compared once: a server would else hear that what goes on ended.
        before = self._waiting
        self._waiting = {}
        for stream, uris in waiting:
            for server, uri in uris:
                self._add_waiting_stream(stream, server, uri)
        self._hand_changed_uris(before.keys() | self._waiting.keys())

    def hand_again(self, server: ServerId) -> None:
        """Tell a server that was met again what it has to watch, if anything."""
        if server in self._handed:
            self._hand(server, self._handed[server])

    def waiting(self, server: ServerId, uri: str) -> Iterator[S]:
        """The streams to tell that this resource changed, each once.

        A server may name a part of what was subscribed to (MCP, resources/updated), so those who
        wait for something that the URI lies below hear of it too.
        """
        by_uri = self._waiting.get(server)
        if not by_uri:
            return
        told: set[S] = set()
        for each in _enclosing_uris(uri):
            for stream in by_uri.get(each, ()):
                if stream not in told:
                    told.add(stream)
                    yield stream

    def _add_waiting_stream(self, stream: S, server: ServerId, uri: str) -> bool:
        """True when it is the first that waits for this resource."""
        streams = self._waiting.setdefault(server, {}).setdefault(uri, set())
        streams.add(stream)
        return len(streams) == 1

    def _remove_waiting_stream(self, stream: S, server: ServerId, uri: str) -> bool:
        """True when it was the last that waited for this resource."""
        by_uri = self._waiting.get(server, {})
        streams = by_uri.get(uri)
        if streams is None:
            return False
        streams.discard(stream)
        if not streams:
            del by_uri[uri]
        if not by_uri:
            del self._waiting[server]
        return not streams

    def _hand_changed_uris(self, servers: Iterable[ServerId]) -> None:
        for server in servers:
            uris = frozenset(self._waiting.get(server, ()))
            if uris == self._handed.get(server, _NONE):
                continue
            if uris:
                self._handed[server] = uris
            else:
                del self._handed[server]
            self._hand(server, uris)


def _enclosing_uris(uri: str) -> Iterator[str]:
    """The URI itself, then each shorter one that ends before or with a `/`, `?` or `#` of it.

    A longer URI than anybody writes is looked up as it is: it shall cost no more than others.
    """
    yield uri
    if len(uri) > _LONGEST_PATH:
        return
    for place in range(len(uri) - 1, 0, -1):
        if uri[place] in "/?#":
            yield uri[: place + 1]
            yield uri[:place]
