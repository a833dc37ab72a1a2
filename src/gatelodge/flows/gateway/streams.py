"""Open listen streams, told exactly when what their member may call has changed.

After each swap of the view the tools of every stream are compared with what the stream last knew;
only those that differ hear `tools/list_changed`. Owned by the event loop.
"""

import asyncio
from collections.abc import Callable

from gatelodge.core.ids import Instant, PrincipalId
from gatelodge.core.view import View
from gatelodge.core.view_entry import PrincipalEntry
from gatelodge.flows.gateway.listing import tools_of
from gatelodge.ports.world import Clock

BREATH_SECONDS = 15.0
"""Proxies close a stream that says nothing for half a minute or more."""
Shown = tuple[tuple[str, str], ...]
"""Shown name and definition digest of each tool, in order."""
Memo = dict[tuple[PrincipalId, str, str], Shown]


class Stream:
    """One open stream: `changed` and `breathe` speak to its client, at once and without fail."""

    __slots__ = ("alias", "breathe", "changed", "knows", "principal", "slug")

    def __init__(
        self,
        principal: PrincipalId,
        place: tuple[str, str],
        changed: Callable[[], None],
        breathe: Callable[[], None],
    ) -> None:
        self.principal = principal
        self.slug, self.alias = place
        self.changed = changed
        self.breathe = breathe
        self.knows: Shown = ()


class Streams:
    """Every open stream of this node."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: set[Stream] = set()

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    def add(self, stream: Stream, view: View) -> None:
        """Begin to watch for this stream."""
        stream.knows = self._shown(stream, view, {})
        self._open.add(stream)

    def remove(self, stream: Stream) -> None:
        """Forget a stream that ended. Idempotent."""
        self._open.discard(stream)

    async def run(self) -> None:
        """Keep every idle stream open through proxies, until cancelled."""
        while True:
            await asyncio.sleep(BREATH_SECONDS)
            for stream in tuple(self._open):
                stream.breathe()

    def on_view(self, view: View) -> None:
        """Compare, and tell those for whom something changed."""
        memo: Memo = {}
        for stream in tuple(self._open):
            now = self._shown(stream, view, memo)
            if now != stream.knows:
                stream.knows = now
                stream.changed()

    def _shown(self, stream: Stream, view: View, memo: Memo) -> Shown:
        key = (stream.principal, stream.slug, stream.alias)
        known = memo.get(key)
        if known is None:
            who = view.principals.get(stream.principal)
            known = memo[key] = self._tools(view, who, stream) if who is not None else ()
        return known

    def _tools(self, view: View, who: PrincipalEntry, stream: Stream) -> Shown:
        workspace = view.workspaces.get(stream.slug)
        if workspace is None:
            return ()
        at = Instant(self._clock.now())
        tools = tools_of(view, who, workspace, stream.alias, at)
        return tuple((tool.shown, tool.digest + tool.standing) for tool in tools)
