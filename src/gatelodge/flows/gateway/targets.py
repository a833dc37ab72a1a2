"""What a request asks for, found in the view and in the offers: the server, its own name, params.

A name or URI that a client uses is turned back into the server's own here and nowhere else. What
is not found here and what is hidden is answered alike by whoever asked.
Source: decision 0014; MCP 2026-07-28 server/tools, server/prompts, server/resources.
"""

import msgspec
from msgspec import Raw, Struct

from gatelodge.core.catalog.server import Server
from gatelodge.core.ids import Instant, PrincipalId, ServerId
from gatelodge.core.protocol.bridge.state import TASK_CONTEXT, read_task_id
from gatelodge.core.protocol.envelope import Era, Members, read_text
from gatelodge.core.protocol.shown.messages import read_reference, with_reference
from gatelodge.core.protocol.shown.uris import BARE, UriPrefix, original_uri
from gatelodge.core.view import PolicyView
from gatelodge.core.view_entry import Entry, ServerView, WorkspaceView
from gatelodge.flows.catalog.offers import OfferMemory
from gatelodge.flows.gateway.listing import ListViewer, find_prompt, web_servers
from gatelodge.ports.world import Clock, StringSealer

_encode = msgspec.json.Encoder().encode


class CallTarget(Struct, frozen=True, gc=False):
    """One thing that may be used: what is decided about, and the request as its server takes it.

    `name` is what the record says (a tool's or prompt's name; URIs are never recorded), `label`
    what headers repeat. `host` is its server; `added` = a tool that is offered only to clients
    which declare something, and in which era.
    """

    entry: Entry
    name: str
    params: Members
    label: str
    host: Server
    added: Era | None = None

    @property
    def server(self) -> str:
        """The id of its server."""
        return self.entry.server


class TargetFinder:
    """Finds targets for one principal at one endpoint: a workspace's, or (`alias`) a server's."""

    __slots__ = ("_alias", "_clock", "_offers", "_principal", "_sealer", "_slug")

    def __init__(
        self,
        offers: OfferMemory,
        clock: Clock,
        sealer: StringSealer,
        principal: PrincipalId,
        slug: str,
        alias: str,
    ) -> None:
        self._offers, self._clock, self._sealer = offers, clock, sealer
        self._principal, self._slug, self._alias = principal, slug, alias

    def find(self, view: PolicyView, method: str, name: str, params: Members) -> CallTarget | None:
        """What a request of this method is about: the tool, prompt, resource or task of that name.

        A completion is about what its reference names.
        """
        workspace = view.workspaces.get(self._slug)
        if workspace is None:
            return None
        if method == "tools/call":  # first, as nearly every one is (hot path)
            return self._find_tool(workspace, name, params)
        if method == "prompts/get":
            return self._find_prompt(workspace, name, params)
        if method == "resources/read":
            return self._find_resource(view, workspace, name, params)
        if method == "completion/complete":
            return self._find_completion(view, workspace, params)
        return self._find_task(workspace, name, params)

    def _find_tool(self, workspace: WorkspaceView, name: str, params: Members) -> CallTarget | None:
        if not self._alias:
            tool = workspace.tools.get(name)
            server = None if tool is None else workspace.servers.get(tool.alias)
        else:
            server = workspace.servers.get(self._alias)
            tool = None if server is None else server.tools.get(name)
        if tool is None or server is None:
            return None
        forwarded = _forwarded_params(params)
        forwarded["name"] = Raw(_encode(tool.name))
        added = self._offers.added_in(tool.server, tool.name)
        return CallTarget(tool, tool.name, forwarded, tool.name, server.server, added)

    def _find_prompt(
        self, workspace: WorkspaceView, name: str, params: Members
    ) -> CallTarget | None:
        found = find_prompt(workspace, self._alias, name, self._offers)
        if found is None:
            return None
        server, item = found
        forwarded = _params_with_value(params, "name", item.name)
        return CallTarget(server.prompts, item.name, forwarded, item.name, server.server)

    def _find_resource(
        self, view: PolicyView, workspace: WorkspaceView, uri: str, params: Members
    ) -> CallTarget | None:
        """The resource of this URI; whether its server has it is the server's to say."""
        found = self._resource_by_uri(view, workspace, uri)
        if found is None:
            return None
        server, own = found
        forwarded = _params_with_value(params, "uri", own)
        return CallTarget(server.resources, "", forwarded, own, server.server)

    def _find_completion(
        self, view: PolicyView, workspace: WorkspaceView, params: Members
    ) -> CallTarget | None:
        """The prompt or resource that the reference of a completion/complete names."""
        ref = params.get("ref")
        reference = read_reference(ref)
        if ref is None or reference is None:
            return None
        if reference.kind == "prompt":
            about = self._find_prompt(workspace, reference.name, {})
        else:
            about = self._find_resource(view, workspace, reference.name, {})
        if about is None:
            return None
        forwarded = _forwarded_params(params)
        forwarded["ref"] = with_reference(ref, about.label)
        return CallTarget(about.entry, "", forwarded, about.label, about.host)

    def _find_task(
        self, workspace: WorkspaceView, sealed: str, params: Members
    ) -> CallTarget | None:
        """The tool whose call became this task of the caller's, got at this endpoint.

        Each request about it is decided anew.
        """
        task = read_task_id(self._sealer.open(sealed, TASK_CONTEXT))
        mine = (workspace.id, self._alias, self._principal)
        # Another's task is as unknown as one that never was: an answer that differs would tell.
        if task is None or (task.workspace, task.alias, task.principal) != mine:
            return None
        # The id is asked for and not the alias, which another server may bear by now.
        server = workspace.server(ServerId(task.server))
        tool = None if server is None else server.tools.get(task.tool)
        if tool is None or server is None:
            return None
        forwarded = _params_with_value(params, "taskId", task.task)
        return CallTarget(tool, tool.name, forwarded, task.task, server.server)

    def prefix(self, view: PolicyView, alias: str) -> UriPrefix:
        """How the URIs of the server of that alias are shown here."""
        if self._alias:
            return BARE
        several = (
            uri for uri, servers in self._web_resource_servers(view).items() if len(servers) > 1
        )
        return UriPrefix(alias, frozenset(several))

    def _web_resource_servers(self, view: PolicyView) -> dict[str, tuple[ServerView, ...]]:
        """The servers that list each web resource which this principal may read here."""
        workspace, who = view.workspaces.get(self._slug), view.principals.get(self._principal)
        if workspace is None or who is None:
            return {}
        at = Instant(self._clock.now())
        return web_servers(ListViewer(view, who, workspace, self._alias, at), self._offers)

    def _resource_by_uri(
        self, view: PolicyView, workspace: WorkspaceView, uri: str
    ) -> tuple[ServerView, str] | None:
        if self._alias:
            server = workspace.servers.get(self._alias)
            return None if server is None else (server, uri)
        found = original_uri(uri, workspace.servers)
        if found is not None:
            return workspace.servers[found[0]], found[1]
        # Where several list it none is chosen: a server that was not meant would see the request.
        owners = self._web_resource_servers(view).get(uri, ())
        return (owners[0], uri) if len(owners) == 1 else None


def _forwarded_params(params: Members) -> Members:
    """The params that go on.

    A wish for a task of 2025-11-25 does not: the gate offers none of those, so the request is
    processed as if it were not there (basic/utilities/tasks).
    """
    # The caller's own params are read again later, for the digest that a state is bound to.
    forwarded = params.copy()
    # It goes up apart: reserved keys are issued anew for the era that the server speaks.
    forwarded.pop("_meta", None)
    forwarded.pop("task", None)
    return forwarded


def _params_with_value(params: Members, name: str, value: str) -> Members:
    forwarded = _forwarded_params(params)
    # An equal value keeps the spelling of its client (guarantee protocol:lossless).
    if read_text(forwarded.get(name)) != value:
        forwarded[name] = Raw(_encode(value))
    return forwarded
