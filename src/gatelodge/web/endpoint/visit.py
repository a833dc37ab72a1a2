"""One request at the endpoint: what is known of it so far, filled in as it is read."""

from gatelodge.core.protocol.envelope import Era, Message
from gatelodge.core.protocol.session import Session
from gatelodge.core.records.origin import DOOR
from gatelodge.core.view import View
from gatelodge.core.view_entry import CredentialEntry, PrincipalEntry, WorkspaceView
from gatelodge.flows.audit.recorder import Caller
from gatelodge.web.endpoint.answer import Answer
from gatelodge.web.endpoint.http1 import HttpConnection, HttpRequest
from gatelodge.web.endpoint.route import Route


class Visit:
    """Grows while a request is read; what is still None is not known yet.

    `log` is where the request is recorded: the door's log until the workspace is known.
    """

    __slots__ = (
        "answer",
        "caller",
        "connection",
        "credential",
        "era",
        "log",
        "message",
        "method",
        "proto",
        "request",
        "route",
        "session",
        "started",
        "view",
        "who",
        "workspace",
    )

    def __init__(self, connection: HttpConnection, request: HttpRequest, started: float) -> None:
        self.connection = connection
        self.request = request
        self.answer = Answer(connection)
        self.started = started
        self.log = DOOR
        self.era: Era = "legacy"
        self.proto = ""
        self.route: Route
        self.view: View
        self.workspace: WorkspaceView
        self.who: PrincipalEntry
        self.credential: CredentialEntry
        self.caller: Caller | None = None
        self.message: Message
        self.method = ""
        self.session: Session | None = None

    @property
    def answerable(self) -> str:
        """The member who answers for the caller; their data key seals the opening."""
        assert self.caller is not None
        return self.caller.member

    @property
    def bytes_in(self) -> int:
        """Size of the request's body."""
        return len(self.request.body)
