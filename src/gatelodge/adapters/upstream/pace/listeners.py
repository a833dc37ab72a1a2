"""Whoever hears of what servers say of themselves."""

from collections.abc import Callable

from gatelodge.ports.upstream import SessionNotification


class Listeners:
    """Those of a pool (`Upstreams`); each word reaches all of them."""

    def __init__(self) -> None:
        self.changed: list[Callable[[str], None]] = []
        self.updated: list[Callable[[str, str], None]] = []
        self.said: list[Callable[[SessionNotification], bool]] = []

    def tell_changed(self, server: str) -> None:
        """What that server offers may have changed."""
        for listener in self.changed:
            listener(server)

    def tell_updated(self, server: str, uri: str) -> None:
        """A watched resource of it changed, or may have."""
        for listener in self.updated:
            listener(server, uri)

    def tell_said(self, said: SessionNotification) -> bool:
        """It said something in a session, outside of every request; false when nobody heard."""
        told = False
        for listener in self.said:
            told |= listener(said)
        return told
