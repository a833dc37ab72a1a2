"""Which face a request is for: the MCP endpoint below `/k/`, the admin API anywhere else."""

from gatelodge.web.api.face import ApiFace
from gatelodge.web.endpoint.endpoint import McpEndpoint
from gatelodge.web.endpoint.http.connection import ClientConnection
from gatelodge.web.endpoint.http.reader import Unreadable
from gatelodge.web.endpoint.http.request import HttpRequest

_ENDPOINT = b"/k/"


class SocketFront:
    """What stands behind the connections of one socket; a face that is None is not there."""

    __slots__ = ("_api", "_endpoint")

    def __init__(self, endpoint: McpEndpoint | None, api: ApiFace | None) -> None:
        assert endpoint is not None or api is not None
        self._endpoint = endpoint
        self._api = api

    def receive(self, connection: ClientConnection, request: HttpRequest) -> None:
        """Begin to answer a request (hot path)."""
        endpoint = self._endpoint
        if endpoint is None or request.target[:3] != _ENDPOINT:
            self._face_of_request(request).receive(connection, request)
        else:
            endpoint.receive(connection, request)

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
        face = self._face_of_request(request) if request.target else (self._endpoint or self._api)
        assert face is not None
        face.turn_away(connection, request, fault)

    def gone(self, request: HttpRequest) -> None:
        """Record a request that its client left before it was looked at."""
        self._face_of_request(request).gone(request)

    def _face_of_request(self, request: HttpRequest) -> McpEndpoint | ApiFace:
        api, endpoint = self._api, self._endpoint
        if endpoint is None or (api is not None and request.target[:3] != _ENDPOINT):
            assert api is not None
            return api
        return endpoint
