"""How a node asks for changes: one read of head, epoch and new leaves, and a way to be woken.

On PostgreSQL one dedicated connection both LISTENs and asks, so that an answered question proves
that announcements would arrive too (a half-open listener is found by the next poll).
"""

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import Protocol, TypeVar

from sqlalchemy import Connection, text

from gatelodge.adapters.store.database import Database
from gatelodge.core.errors import StoreDown
from gatelodge.ports.store import GovProgress

CHANNEL = "gatelodge_gov"
_STATEMENT_MS = 550
_LONGEST_SIZE = 18
"""Digits of a size; no log grows to one that has more."""

T = TypeVar("T")
Ask = Callable[[Connection], GovProgress]


class ChangeFeed(Protocol):
    """Asks the store, one question at a time, in a worker thread."""

    def ask(self, question: Ask) -> GovProgress:
        """The answer; raises StoreDown."""
        ...

    def abort(self) -> None:
        """Make a question that takes too long fail now; from any thread."""
        ...

    def socket(self) -> int | None:
        """A file descriptor that turns readable when a change is announced, if there is one."""
        ...

    def announced(self) -> int:
        """The largest size of the gov log that was announced during the last question, else 0."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class SqliteWatch:
    """One process, one file: every question is a read transaction, and nobody else announces."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self, question: Ask) -> GovProgress:
        """The answer of a fresh snapshot."""
        with self._database.read() as connection:
            return question(connection)

    def abort(self) -> None:
        """Nothing to do: a reader of SQLite waits for nobody."""

    def socket(self) -> int | None:
        """None: changes are announced inside the process."""
        return None

    def announced(self) -> int:
        """Always 0: there is no other node."""
        return 0

    def close(self) -> None:
        """Nothing to do: the database owns its connections."""


class PostgresWatch:
    """A connection that LISTENs and asks.

    Owned by the one thread that asks; `_socket` is guarded by `_lock`, since whoever gives up
    waiting shuts it down from another thread.
    """

    def __init__(self, database: Database, *, notify: bool) -> None:
        self._database = database
        self._notify = notify
        self._connection: Connection | None = None
        self._announced = 0
        self._lock = Lock()
        self._socket: int | None = None

    def ask(self, question: Callable[[Connection], T]) -> T:
        """The answer; a lost connection is made anew at the next question."""
        # A size that was announced before is in this answer, or whoever named it made it up.
        self._announced = 0
        try:
            with self._database.translated():
                return question(self._connection or self._connect_and_listen())
        except StoreDown:
            # After a fault nobody knows what this connection still brings: it is not used again.
            self.close()
            raise

    def abort(self) -> None:
        """Shut the socket down, so that the thread which waits for an answer sees an end now."""
        with self._lock:
            if self._socket is None:
                return
            # On a duplicate: closing the driver's descriptor would free its number for others.
            with suppress(OSError), socket.socket(fileno=os.dup(self._socket)) as line:
                line.shutdown(socket.SHUT_RDWR)

    def socket(self) -> int | None:
        """The connection's own descriptor, while there is one."""
        return self._socket

    def announced(self) -> int:
        """The largest size that a NOTIFY named during the last question, which may be made up."""
        return self._announced

    def close(self) -> None:
        """Close the connection; whoever still waits on it sees StoreDown."""
        # First: a late `abort` must not shut down whatever gets the same number next.
        with self._lock:
            self._socket = None
        gone, self._connection = self._connection, None
        if gone is not None:
            # Otherwise closing begins with a rollback, and may wait for a server that is gone.
            gone.invalidate()
            gone.close()

    def _connect_and_listen(self) -> Connection:
        made = self._database.watch()
        driver = made.connection.driver_connection
        assert driver is not None
        driver.add_notify_handler(self._note_announced_size)
        # Known before it is set up: `ask` closes it when that fails, and `abort` reaches it.
        self._connection = made
        with self._lock:
            self._socket = driver.fileno()
        # Below the bound of a poll, so that the server gives up before the thread is given up.
        made.execute(text(f"SET statement_timeout = {_STATEMENT_MS}"))
        if self._notify:
            made.execute(text(f"LISTEN {CHANNEL}"))
        return made

    def _note_announced_size(self, announcement: object) -> None:
        payload = str(getattr(announcement, "payload", ""))
        # Whoever may log in to the database may send on this channel, and anything.
        if len(payload) <= _LONGEST_SIZE and payload.isascii() and payload.isdigit():
            self._announced = max(self._announced, int(payload))
