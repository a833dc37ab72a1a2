"""The people of the demo's history, and what each of them does at the gate."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from msgspec import to_builtins

from gatelodge.app.demonstration.asking import DemoVisitor
from gatelodge.app.demonstration.played import PlayedServers
from gatelodge.app.demonstration.servers import SERVERS
from gatelodge.core.catalog.server import StdioTransport

_EARLIER: Final = "Shows the differences between two branches"
_DAY: Final = 86_400
_HOME: Final = "example.test"


def transport_before(alias: str) -> StdioTransport:
    """How a server of the demo was reached in its history: by a command beside the gate.

    It is disabled at the end of the history, so that nothing ever starts it.
    """
    (offer,) = (each for each in SERVERS if each.alias == alias)
    command = (
        (sys.executable, "-m", offer.module)
        if offer.module
        else ("npx", "--yes", offer.source.removeprefix("npm:"), *offer.args)
    )
    return StdioTransport(command=command, run_as="gateway")


class DemoPeople:
    """Everybody who is at the gate, by first name. Call `close` at the end."""

    def __init__(self, address: str, local: Path, played: PlayedServers, owner: str) -> None:
        self._enter: Callable[[str], DemoVisitor] = lambda token: DemoVisitor(address, local, token)
        self._played = played
        self._operator = self._enter("")
        self._here = {"owner": self._enter(owner)}
        self._tokens: dict[str, str] = {}

    def close(self) -> None:
        """Let go of every connection."""
        for each in (self._operator, *self._here.values()):
            each.close()

    async def joins(self, by: str, name: str, role: str = "member") -> None:
        """Somebody adds a member, who gets a token."""
        body = {"email": _mail(name), "name": name.title(), "role": role}
        await self._here[by].change("/members", **body)
        await self._gets_token(name, member=_mail(name))

    async def agent(self, name: str, owner: str) -> None:
        """An agent comes, for whom a member answers."""
        await self._here["sana"].change("/agents", name=name, owner=_mail(owner))
        await self._gets_token(name, agent=name)

    async def group(self, name: str, *members: str) -> None:
        """A group, and who is in it."""
        await self._here["sana"].change("/groups", name=name)
        for each in members:
            await self.moves(each, into=name)

    async def moves(self, name: str, *, into: str = "", out: str = "") -> None:
        """Somebody leaves a group for another."""
        for group, verb in ((out, "remove-member"), (into, "add-member")):
            if group:
                path = f"/groups/{group}/{verb}"
                await self._here["sana"].change(path, principal=_mail(name))

    async def grant(self, server: str, *, days: int = 0, ticket: str = "", **wanted: Any) -> None:
        """A grant, perhaps for some days."""
        if "member" in wanted:
            wanted["member"] = _mail(wanted["member"])
        if days:
            wanted["for_seconds"] = days * _DAY
        wanted["ticket"] = f"demo/OPS-{ticket or '1'}"
        await self._here["sana"].change("/grants", server=server, **wanted)

    async def revokes_grant(self, name: str, server: str, why: str) -> None:
        """What somebody was granted themselves ends."""
        found = await self._here["sana"].read("/grants?limit=500")
        for each in found["items"]:
            if (each["grantee"], each["server"]) == (_mail(name), server):
                await self._here["ravi"].end(f"/grants/{each['id']}?why=demo/{why}")

    async def server(self, alias: str, reads: tuple[str, ...], harmless: tuple[str, ...]) -> None:
        """A server comes: described by the operator, looked at, approved, its tools reviewed."""
        if alias == "git":
            self._played.was_described("git", "git_diff", _EARLIER)
        transport = to_builtins(transport_before(alias))
        await self._operator.change("/servers", alias=alias, transport=transport)
        await self._approve(alias, by="owner")
        found = {}
        for names, read_only in ((reads, True), (harmless, False)):
            for name in names:
                shown = await self._shown(alias, name)
                finding = {"read_only": read_only, "destructive": False}
                found[name] = {"digest": shown["digest"], **finding, "open_world": False}
        if found:
            await self._here["sana"].change(f"/servers/{alias}/tools/review", tools=found)

    async def drifts(self, alias: str, tool: str) -> None:
        """A server says something else of a tool than what was approved; the gate sees it."""
        self._played.is_described(alias, tool)
        await self._here["sana"].change(f"/servers/{alias}/observe")

    async def approves_again(self, alias: str) -> None:
        """The admin looks at what differs, and takes it."""
        await self._here["sana"].read(f"/servers/{alias}/tools/diff")
        await self._approve(alias, by="sana")
        shown = await self._shown(alias, "git_diff")
        finding = {"read_only": True, "destructive": False, "open_world": False}
        reviewed = {"git_diff": {"digest": shown["digest"], **finding}}
        await self._here["sana"].change(f"/servers/{alias}/tools/review", tools=reviewed)

    async def blocks(self, alias: str, tool: str, why: str) -> None:
        """A tool is closed to everybody."""
        path = f"/servers/{alias}/tools/block"
        await self._here["ravi"].change(path, tool=tool, why=f"demo/{why}")

    async def guardrail(self, name: str, text: str) -> None:
        """A rule that wins over every grant."""
        await self._here["ravi"].change("/guardrails", name=name, text=text)

    async def leaves(self, name: str, why: str) -> None:
        """Somebody's access ends, everywhere, with a receipt."""
        path = f"/members/{_mail(name)}/revoke"
        await self._here["ravi"].change(path, why=f"demo/{why}")

    async def rests(self, name: str, why: str) -> None:
        """Somebody's access rests."""
        path = f"/members/{_mail(name)}/suspend"
        await self._here["ravi"].change(path, why=f"demo/{why}")

    async def ends_agent(self, name: str, why: str) -> None:
        """An agent's access ends."""
        await self._here["ravi"].change(f"/agents/{name}/revoke", why=f"demo/{why}")

    async def renews_token(self, name: str) -> None:
        """Somebody gets another token, and the one before ends."""
        before, link = self._tokens[name], self._here[name]
        await self._gets_token(name, member=_mail(name))
        link.close()
        await self._here["ravi"].change(f"/tokens/{before}/revoke", why="demo/OPS-40")

    async def looks_into_audit(self, why: str) -> None:
        """The auditor looks at who called what, and who changed what for a ticket."""
        await self._here["ines"].read("/audit/records?outcome=denied&limit=20")
        await self._here["ines"].read(f"/audit/changes?why=demo/{why}")

    async def looks(self, name: str) -> None:
        """Somebody's client asks which tools there are."""
        await self._here[name].look()

    async def calls(self, name: str, tool: str) -> None:
        """Somebody calls a tool; whatever comes of it stands in the record."""
        if name in self._here:
            await self._here[name].call(tool)

    async def servers_rest(self) -> None:
        """The end of the history: nothing that played in it is reached any more."""
        for each in SERVERS:
            await self._operator.change(f"/servers/{each.alias}/disable", why="demo/into-sandboxes")

    async def _approve(self, alias: str, *, by: str) -> None:
        seen = await self._here[by].change(f"/servers/{alias}/observe")
        tools = {each["name"]: each["digest"] for each in seen["tools"]}
        path = f"/servers/{alias}/approve"
        await self._here[by].change(path, description=seen["digest"], tools=tools)

    async def _shown(self, alias: str, tool: str) -> Any:
        found = await self._here["sana"].read(f"/servers/{alias}/tools/show?tool={tool}")
        return found["tool"]

    async def _gets_token(self, name: str, **whom: str) -> None:
        # On the gate's own machine: such a token ends with nobody else's.
        made = await self._operator.change("/tokens", label="demo", days=30, **whom)
        self._here[name] = self._enter(made["token"])
        self._tokens[name] = made["id"]


def _mail(name: str) -> str:
    return f"{name}@{_HOME}"
