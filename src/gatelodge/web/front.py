"""Which face a request is for: a table of mounts, each a prefix of targets and its face."""

from gatelodge.web.endpoint.http.connection import ClientConnection
from gatelodge.web.endpoint.http.reader import Unreadable
from gatelodge.web.endpoint.http.request import HttpRequest
from gatelodge.web.endpoint.http.serving import RequestServing

Face = RequestServing[ClientConnection]


class SocketFront:
    """What stands behind the connections of one socket.

    Of the mounts the first whose prefix fits answers. The last one has none: it refuses, on record,
    what nobody knows.
    """

    __slots__ = ("_first", "_mounts", "_prefix")

    def __init__(self, *mounts: tuple[bytes, Face]) -> None:
        assert mounts[-1][0] == b"", "a request that fits no mount would have no face"
        self._mounts = mounts
        self._prefix, self._first = mounts[0]

    def receive(self, connection: ClientConnection, request: HttpRequest) -> None:
        """Begin to answer a request."""
        # Nearly every request is for the first mount: it is found without the table (hot path).
        if request.target.startswith(self._prefix):
            self._first.receive(connection, request)
        else:
            self._face_of_request(request).receive(connection, request)

    def judge(self, connection: ClientConnection, request: HttpRequest) -> None:
        """Look at the head of a request that has to wait."""
        self._face_of_request(request).judge(connection, request)

    def crowded(self, request: HttpRequest) -> None:
        """Its person has too much under way."""
        self._face_of_request(request).crowded(request)

    def turn_away(
        self, connection: ClientConnection, request: HttpRequest, fault: Unreadable
    ) -> None:
        """Answer what could not be read as a request, and close."""
        # Where not even a target was read, whoever mostly answers on this socket does.
        face = self._face_of_request(request) if request.target else self._first
        face.turn_away(connection, request, fault)

    def gone(self, request: HttpRequest) -> None:
        """Record a request that its client left before it was looked at."""
        self._face_of_request(request).gone(request)

    def _face_of_request(self, request: HttpRequest) -> Face:
        target = request.target
        return next(face for prefix, face in self._mounts if target.startswith(prefix))
