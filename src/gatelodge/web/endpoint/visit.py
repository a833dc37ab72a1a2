"""One request at the endpoint: what is known of it so far, filled in as it is read."""

from gatelodge.core.protocol.capabilities import NOTHING, declared
from gatelodge.core.protocol.envelope import Era, Members, Message
from gatelodge.core.protocol.session import Session
from gatelodge.core.protocol.version import META_CLIENT_CAPABILITIES
from gatelodge.core.records.origin import DOOR
from gatelodge.core.view import View
from gatelodge.core.view_entry import CredentialEntry, PrincipalEntry, WorkspaceView
from gatelodge.flows.audit.recorder import Caller
from gatelodge.flows.gateway.bridge.words import Said
from gatelodge.flows.gateway.targets import Targets
from gatelodge.ports.upstream import Asker
from gatelodge.web.endpoint.http.answer import Answer
from gatelodge.web.endpoint.http.connection import HttpConnection, HttpRequest
from gatelodge.web.endpoint.route import Route


class Admitted:
    """Who a connection's last request was let in as, good while nothing of it differs.

    It holds no more than the request itself did, and no longer than its connection.
    """

    __slots__ = (
        "asker",
        "authorization",
        "caller",
        "client",
        "credential",
        "host",
        "log",
        "meta",
        "origin",
        "passing",
        "route",
        "target",
        "targets",
        "version",
        "view",
        "who",
        "workspace",
    )

    def __init__(self, visit: "Visit") -> None:
        headers = visit.request.headers
        self.target = visit.request.target
        self.authorization = headers.get(b"authorization")
        self.host = headers.get(b"host")
        self.origin = headers.get(b"origin")
        self.view = visit.view
        self.route = visit.route
        self.workspace = visit.workspace
        self.log = visit.log
        self.credential = visit.credential
        self.who = visit.who
        self.client = b""
        self.caller = visit.caller
        self.targets, self.asker = visit.targets, visit.asker
        self.meta: Members | None = None
        """Of the last modern request which said what it must; `caller` is who it said it was."""
        self.version: bytes | None = None
        self.passing: Members = {}

    def fits(self, request: HttpRequest, view: View) -> bool:
        """Say whether this request is let in exactly as the last one was."""
        headers = request.headers
        return (
            self.view is view
            and self.target == request.target
            and self.authorization == headers.get(b"authorization")
            and self.host == headers.get(b"host")
            and self.origin == headers.get(b"origin")
            and not request.repeated
        )

    def speaks(self, message: Message, version: bytes | None) -> bool:
        """Say whether this request says the same of itself as the last modern one did."""
        return (
            message.meta is self.meta
            and version == self.version
            and bool(message.id)
            and "clientInfo" not in message.params
        )

    def lend(self, visit: "Visit") -> None:
        """Fill in the visit."""
        visit.route, visit.log, visit.view = self.route, self.log, self.view
        visit.workspace, visit.credential, visit.who = self.workspace, self.credential, self.who
        visit.caller, visit.targets, visit.asker = self.caller, self.targets, self.asker


class Visit:
    """Grows while a request is read; what is still None is not known yet.

    `log` is where the request is recorded: the door's log until the workspace is known.
    """

    __slots__ = (
        "answer",
        "asker",
        "caller",
        "connection",
        "credential",
        "era",
        "log",
        "message",
        "method",
        "passing",
        "proto",
        "raw_id",
        "request",
        "route",
        "session",
        "size",
        "started",
        "targets",
        "task",
        "view",
        "who",
        "workspace",
    )

    def __init__(self, connection: HttpConnection, request: HttpRequest, started: float) -> None:
        self.connection = connection
        self.request = request
        self.answer: Answer = Answer(connection, request)
        self.size = request.size
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
        self.targets: Targets
        self.asker: Asker
        """The caller, as one whom nothing can be asked."""
        self.message: Message
        self.passing: Members
        """Of the message's `_meta` what may go on to a server."""
        self.method = ""
        self.raw_id = b"null"
        self.session: Session | None = None
        self.task = ""
        """The sealed id of the task that the request is about."""

    def said(self) -> Said:
        """Who says what, for servers that are told of it."""
        assert self.caller is not None
        return Said(
            who=self.who,
            credential=self.credential,
            caller=self.caller,
            slug=self.route.workspace,
            log=self.log,
            method=self.method,
            proto=self.proto,
            bytes_in=self.size,
        )

    def look_again(self, view: View) -> bool:
        """Take this view for the rest; false when the caller or the workspace is not in it."""
        workspace = view.workspaces.get(self.route.workspace)
        who = view.principals.get(self.who.id)
        if workspace is None or who is None or workspace.id != who.workspace:
            return False
        self.view, self.workspace, self.who = view, workspace, who
        return True

    def forget(self) -> None:
        """Let go of what a long stream does not need: a view that will be old, and the body."""
        self.connection.memo = None
        self.connection.let_go(self.request)
        self.message = Message("", self.raw_id, {}, {})
        del self.view, self.workspace, self.who, self.credential, self.targets, self.asker
        self.caller = None

    @property
    def answerable(self) -> str:
        """The member who answers for the caller; their data key seals the opening."""
        assert self.caller is not None
        return self.caller.member

    @property
    def capabilities(self) -> bytes:
        """What this client can be asked on this very request (`core.protocol.capabilities`)."""
        if self.session is None:
            return declared(self.message.meta.get(META_CLIENT_CAPABILITIES))
        # On an answer that is no stream a legacy client cannot be asked anything.
        return self.session.capabilities if self.answer.may_stream else NOTHING

    @property
    def bytes_in(self) -> int:
        """Size of the request's body, or of its part of a batch."""
        return self.size
