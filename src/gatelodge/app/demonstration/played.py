"""The servers of the demo's history: they say what the real ones say they offer, and do nothing.

They stand behind the port of every upstream, so that calls to them are decided and recorded like
any other. Their definitions (`definitions.json`) are those of the servers that the demo runs.
"""

import asyncio
from collections.abc import Callable, Collection
from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec
from msgspec import Raw

from gatelodge.core.catalog.server import Server
from gatelodge.core.protocol.version import Era
from gatelodge.ports.upstream import (
    MayGo,
    ObservedOffer,
    OnBehalfOf,
    ServerHealth,
    ServerLoad,
    SessionNotification,
    UpstreamReply,
    UpstreamRequest,
)

_DONE: Final = {"content": [{"type": "text", "text": "Played for the demo."}]}
_FAILS_EACH: Final = 29
"""One call in so many is answered as a failure: no fortnight is without one."""


@cache
def definitions() -> dict[str, list[dict[str, Any]]]:
    """What each server of the demo offers: its tools, as it sends them."""
    text = (files("gatelodge.app.demonstration") / "definitions.json").read_bytes()
    return msgspec.json.decode(text, type=dict[str, list[dict[str, Any]]])


class PlayedExchange:
    """The port `UpstreamExchange`: answered before it is asked for."""

    def __init__(self, reply: UpstreamReply, era: Era) -> None:
        self.spoken: Era = era
        self.reply: asyncio.Future[UpstreamReply] = asyncio.get_running_loop().create_future()
        self.reply.set_result(reply)

    def answer(self, question: int, reply: UpstreamReply, admitted: MayGo) -> None:
        """Nothing: none of them asks."""

    def abort(self, reason: str) -> None:
        """Nothing: it is answered already."""


class PlayedServers:
    """The port `Upstreams`, as a node is given it."""

    def __init__(self) -> None:
        self._earlier: dict[tuple[str, str], str] = {}
        self._calls = 0

    def was_described(self, alias: str, tool: str, text: str) -> None:
        """Have a tool described in other words than today's, until `is_described`."""
        self._earlier[alias, tool] = text

    def is_described(self, alias: str, tool: str) -> None:
        """Have it described as the real server describes it."""
        self._earlier.pop((alias, tool), None)

    def begin(
        self,
        server: str,  # noqa: ARG002 - the form of the port
        request: UpstreamRequest,
        on_notification: Callable[[str, bytes], None] | None,  # noqa: ARG002
    ) -> PlayedExchange:
        """Answer that it was done, or once in a while that it failed."""
        self._calls += 1
        result = {**_DONE, "isError": self._calls % _FAILS_EACH == 0}
        if request.era == "modern":
            result["resultType"] = "complete"
        return PlayedExchange(UpstreamReply(Raw(msgspec.json.encode(result))), request.era)

    async def observe(self, server: Server) -> ObservedOffer:
        """What it offers at this point of the history."""
        offered = []
        for each in definitions().get(server.alias, []):
            earlier = self._earlier.get((server.alias, each["name"]))
            told = each if earlier is None else {**each, "description": earlier}
            offered.append(Raw(msgspec.json.encode(told)))
        return ObservedOffer(tools=tuple(offered), capabilities=Raw(b'{"tools":{}}'))

    async def reconcile(self, servers: tuple[Server, ...]) -> None:
        """Nothing: they are there."""

    def health(self, server: str) -> ServerHealth:  # noqa: ARG002 - the form of the port
        """Always well."""
        return ServerHealth(state="ready", isolation="played for the demo")

    def calls_in(self, server: str, principal: str) -> int:  # noqa: ARG002
        """None: they are answered at once."""
        return 0

    def restart(self, server: str) -> bool:  # noqa: ARG002
        """There is nothing to restart."""
        return False

    def on_list_changed(self, listener: Callable[[str], None]) -> None:
        """Nothing: who plays looks again by itself."""

    def on_quarantine(self, listener: Callable[[str], None]) -> None:
        """Nothing: none ends."""

    def subscribe(self, server: str, uris: frozenset[str]) -> None:
        """Nothing: they have no resources."""

    def on_updated(self, listener: Callable[[str, str], None]) -> None:
        """Nothing: they have no resources."""

    def on_notification(self, listener: Callable[[SessionNotification], bool]) -> None:
        """Nothing: they say nothing."""

    def hear_of_roots(self, asker: OnBehalfOf) -> frozenset[str]:  # noqa: ARG002
        """None of them."""
        return frozenset()

    def roots_changed(self, asker: OnBehalfOf, servers: Collection[str] | None = None) -> None:
        """Nothing: none hears of it."""

    def leave(self, principal: str, servers: Collection[str] | None = None) -> None:
        """Nothing: they hold nothing of anybody."""

    def load(self) -> dict[str, ServerLoad]:
        """Nothing is open."""
        return {}

    async def close(self) -> None:
        """Nothing is open."""
