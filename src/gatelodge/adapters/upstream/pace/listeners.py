"""Whoever hears of servers what they say of themselves."""

import asyncio
from collections.abc import Callable

from gatelodge.core.protocol.upstream import UPDATED, updated_uri
from gatelodge.ports.upstream import Ending, OnBehalfOf, SessionNotification

GATHER_SECONDS = 0.05
"""How long one change of a resource is waited with: servers tell it in every session, and more than
once. Whoever reads it after being told sees all that changed until then."""
MOST_GATHERED = 1024
"""Changes that are waited with; any more are told at once."""
MOST_SAID = 4096
"""Characters of a URI, and bytes of a notification, that are kept meanwhile; what is longer is told
at once."""


class UpstreamListeners:
    """Those of a pool (`Upstreams`); each word reaches all of them. On one event loop."""

    def __init__(self) -> None:
        self.changed: list[Callable[[str], None]] = []
        self.updated: list[Callable[[str, str], None]] = []
        self.said: list[Callable[[SessionNotification], bool]] = []
        self.quarantined: list[Callable[[str], None]] = []
        self.ending: list[Callable[[str, str | None, Ending], None]] = []
        self._gathered: dict[tuple[str, str], dict[OnBehalfOf, SessionNotification] | None] = {}
        """By server and URI: for whom it is, by session; None = for everybody."""

    def tell_ending(self, server: str, principal: str | None, why: Ending) -> None:
        """Instances are about to be ended: of this principal, the shared ones (""), all (None)."""
        for listener in self.ending:
            listener(server, principal, why)

    def tell_quarantined(self, server: str) -> None:
        """That server ended too often, and is left alone."""
        for listener in self.quarantined:
            listener(server)

    def tell_changed(self, server: str) -> None:
        """What that server offers may have changed."""
        for listener in self.changed:
            listener(server)

    def tell_updated(self, server: str, uri: str) -> None:
        """A watched resource of it changed, or may have; of what is said several times once."""
        if self._gather_if_room((server, uri)):
            # For everybody: that covers the single sessions in which the same change was told.
            self._gathered[server, uri] = None
        else:
            self._tell_all(server, uri)

    def tell_said(self, said: SessionNotification) -> bool:
        """It said something in a session, outside of every request; false when nobody heard."""
        what = (said.server, updated_uri(said.params))
        short = said.method == UPDATED and len(said.params) <= MOST_SAID
        if not short or not self._gather_if_room(what):
            return self._tell_session_listeners(said)
        whose = self._gathered[what]
        if whose is not None:
            whose[said.asker] = said
        # What is gathered counts as heard, or the caller would tell it to everybody at once.
        return True

    def _gather_if_room(self, what: tuple[str, str]) -> bool:
        """Wait with a change; false when there is no room."""
        if what not in self._gathered:
            if len(self._gathered) >= MOST_GATHERED or len(what[1]) > MOST_SAID:
                return False
            self._gathered[what] = {}
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self._tell_gathered, what)
        return True

    def _tell_gathered(self, what: tuple[str, str]) -> None:
        whose = self._gathered.pop(what)
        if whose is None:
            self._tell_all(*what)
        else:
            for said in whose.values():
                self._tell_session_listeners(said)

    def _tell_all(self, server: str, uri: str) -> None:
        for listener in self.updated:
            listener(server, uri)

    def _tell_session_listeners(self, said: SessionNotification) -> bool:
        told = False
        for listener in self.said:
            told |= listener(said)
        return told
