"""What a request asks for, found in the view and in the offers: the server, its own name, params.

A name or URI that a client uses is turned back into the server's own here and nowhere else. What
is not found here and what is hidden is answered alike by whoever asked.
Source: decision 0014; MCP 2026-07-28 server/tools, server/prompts, server/resources.
"""

import msgspec
from msgspec import Raw, Struct

from gatelodge.core.catalog.offer import Item
from gatelodge.core.protocol.bridge.state import TaskId
from gatelodge.core.protocol.envelope import Members, read_text
from gatelodge.core.protocol.shown.messages import read_reference, with_reference
from gatelodge.core.protocol.shown.uris import BARE, Prefix, original_uri
from gatelodge.core.view import View
from gatelodge.core.view_entry import Entry, ReadEntry, ServerView, ToolEntry, WorkspaceView
from gatelodge.flows.catalog.offers import Offers

_encode = msgspec.json.Encoder().encode


class Target(Struct, frozen=True, gc=False):
    """One thing that may be used: what is decided about, and the request as its server takes it.

    `name` is what the record says (a tool's or prompt's name; URIs are never recorded), `label`
    what headers repeat.
    """

    entry: Entry
    name: str
    params: Members
    label: str

    @property
    def server(self) -> str:
        """The id of its server."""
        return self.entry.server

    @property
    def tool(self) -> ToolEntry | None:
        """The tool, when it is one."""
        return self.entry if isinstance(self.entry, ToolEntry) else None


class Targets:
    """Finds targets at one endpoint: that of a workspace, or (`alias`) of one of its servers."""

    __slots__ = ("_alias", "_offers", "_slug")

    def __init__(self, offers: Offers, slug: str, alias: str) -> None:
        self._offers = offers
        self._slug = slug
        self._alias = alias

    def tool(self, view: View, name: str, params: Members) -> Target | None:
        """The tool that goes by this name here."""
        workspace = view.workspaces.get(self._slug)
        if workspace is None:
            return None
        if not self._alias:
            tool = workspace.tools.get(name)
        else:
            server = workspace.servers.get(self._alias)
            tool = None if server is None else server.tools.get(name)
        if tool is None:
            return None
        forwarded = {k: v for k, v in params.items() if k != "_meta"}
        forwarded["name"] = Raw(_encode(tool.name))
        return Target(tool, tool.name, forwarded, tool.name)

    def prompt(self, view: View, name: str, params: Members) -> Target | None:
        """The prompt that goes by this name here."""
        found = self._prompt(view.workspaces.get(self._slug), name)
        if found is None:
            return None
        entry, item = found
        return Target(entry, item.name, _with(params, "name", item.name), item.name)

    def resource(self, view: View, uri: str, params: Members) -> Target | None:
        """The resource of this URI; whether its server has it is the server's to say."""
        found = self._resource(view.workspaces.get(self._slug), uri)
        if found is None:
            return None
        server, own = found
        return Target(server.resources, "", _with(params, "uri", own), own)

    def completion(self, view: View, params: Members) -> Target | None:
        """What the reference of a completion/complete is about."""
        ref = params.get("ref")
        reference = read_reference(ref)
        if ref is None or reference is None:
            return None
        workspace = view.workspaces.get(self._slug)
        entry: ReadEntry
        if reference.kind == "prompt":
            prompt = self._prompt(workspace, reference.name)
            if prompt is None:
                return None
            entry, own = prompt[0], prompt[1].name
        else:
            resource = self._resource(workspace, reference.name)
            if resource is None:
                return None
            entry, own = resource[0].resources, resource[1]
        forwarded = {k: v for k, v in params.items() if k != "_meta"}
        forwarded["ref"] = with_reference(ref, own)
        return Target(entry, "", forwarded, own)

    def task(self, view: View, task: TaskId, params: Members) -> Target | None:
        """The tool whose call became this task; each request about it is decided anew."""
        workspace = view.workspaces.get(self._slug)
        servers = () if workspace is None else workspace.servers.values()
        server = next((each for each in servers if each.id == task.server), None)
        tool = None if server is None else server.tools.get(task.tool)
        if tool is None:
            return None
        return Target(tool, tool.name, _with(params, "taskId", task.task), task.task)

    def prefix(self, view: View, alias: str) -> Prefix:
        """How the URIs of the server of that alias are shown here."""
        if self._alias:
            return BARE
        workspace = view.workspaces.get(self._slug)
        servers = () if workspace is None else tuple(workspace.servers.values())
        return Prefix(alias, self._offers.clashing(servers))

    def _prompt(self, workspace: WorkspaceView | None, name: str) -> tuple[ReadEntry, Item] | None:
        alias = self._alias or name.partition("__")[0]
        server = None if workspace is None else workspace.servers.get(alias)
        offer = None if server is None else self._offers.of(server.id)
        if server is None or offer is None:
            return None
        item = (offer.named if self._alias else offer.shown).get(name)
        return None if item is None else (server.prompts, item)

    def _resource(self, workspace: WorkspaceView | None, uri: str) -> tuple[ServerView, str] | None:
        if workspace is None:
            return None
        if self._alias:
            server = workspace.servers.get(self._alias)
            return None if server is None else (server, uri)
        found = original_uri(uri, workspace.servers)
        if found is not None:
            return workspace.servers[found[0]], found[1]
        if uri[:8].lower() != "https://":
            return None
        owner = next((s for s in workspace.servers.values() if self._offers.lists(s.id, uri)), None)
        return None if owner is None else (owner, uri)


def _with(params: Members, name: str, value: str) -> Members:
    forwarded = {k: v for k, v in params.items() if k != "_meta"}
    if read_text(forwarded.get(name)) != value:
        forwarded[name] = Raw(_encode(value))
    return forwarded
