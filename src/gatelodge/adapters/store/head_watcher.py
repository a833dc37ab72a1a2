"""Up to which moment a view of a given size holds every commit: known without asking the store.

On PostgreSQL a thread of its own looks at the head again and again, so that neither a busy event
loop nor a slow change makes a node look cut off; only a store that cannot be read does. On SQLite
this process is the only one that writes, so what it committed is all there is.
"""

import math
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Protocol

from sqlalchemy import Connection

from gatelodge.adapters.store.watch import PostgresWatch
from gatelodge.core.errors import HouseError
from gatelodge.ports.store import FreshnessProof
from gatelodge.ports.world import Clock

Head = tuple[int, str]
"""The size of the gov log, and the epoch of the store."""

_KEPT = 64
_FIRST_SECONDS = 2.0
"""How long a start may wait for the first look: to connect takes a moment."""
_UNKNOWN = -math.inf


class ProvenCommits(FreshnessProof, Protocol):
    """What is known of the commits, and whoever finds it out."""

    def begin(self) -> None:
        """Begin to look, where that is needed; waits for the first look. Idempotent."""
        ...

    def committed(self, gov: int, at: float) -> None:
        """A change of this process was committed, at that moment at the latest."""
        ...

    @property
    def strange(self) -> Head | None:
        """A head that cannot follow on those before it: the store is another one, or went back."""
        ...

    def close(self) -> None:
        """Look no more."""
        ...


class OwnCommits:
    """The proof where nobody else can write. Committed from any thread, asked on the loop.

    `_unapplied` holds pairs, oldest first: a size of the log, and when the change that led to it
    was committed. Once it is full, its newest pair takes in each further change and keeps its own
    moment: the lease of a view that lacks only some of these ends early, never late.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._head = 0
        self._unapplied: list[tuple[int, float]] = []
        self.turn = 0

    def begin(self) -> None:
        """There is nothing to look at."""

    def until(self, applied: int) -> float:
        """Without end while all is applied, else the moment of the first change that is not."""
        # Asked before each effect, hence no lock: a number is read whole, and it only rises.
        if 0 <= self._head <= applied:
            return math.inf
        with self._lock:
            self._unapplied = [each for each in self._unapplied if each[0] > applied]
            return self._unapplied[0][1] if self._unapplied and applied >= 0 else _UNKNOWN

    def committed(self, gov: int, at: float) -> None:
        """A change was committed; from now on a view without it has the lease left, no more."""
        with self._lock:
            # Threads may tell in another order than they committed in: the larger size holds.
            if gov > self._head:
                kept = self._unapplied
                if len(kept) == _KEPT:
                    at = kept[-1][1]
                self._unapplied = [*kept[: _KEPT - 1], (gov, at)]
                self._head = gov
                self.turn += 1

    @property
    def strange(self) -> Head | None:
        """Nobody else puts another store in its place."""
        return None

    def close(self) -> None:
        """There is nothing to end."""


class HeadWatcher:
    """The proof on PostgreSQL: looks at the head from a thread and a connection of its own.

    `_seen` holds, newest first, a size of the log and when the last look was begun that found it.
    It is replaced as a whole by the thread and read on the event loop. A log that went back, or
    another epoch, is no proof of anything any more.
    """

    def __init__(
        self,
        watch: PostgresWatch,
        head: Callable[[Connection], Head],
        clock: Clock,
        pause: float,
    ) -> None:
        self._watch = watch
        self._head = head
        self._clock = clock
        self._pause = pause
        self._seen: tuple[tuple[int, float], ...] = ()
        self._epoch = ""
        self.strange: Head | None = None
        self.turn = 0
        self._began = False
        self._looked = Event()
        self._over = Event()
        self._thread = Thread(
            target=self._poll_head_until_closed, name="gatelodge-lookout", daemon=True
        )

    def begin(self) -> None:
        """Begin to look; returns after the first look, which may have found nothing."""
        if not self._began:
            self._began = True
            self._thread.start()
        # The loading thread waits here, so that the first view has a lease when it is used.
        self._looked.wait(_FIRST_SECONDS)

    def until(self, applied: int) -> float:
        """When the last look was begun that found no more than this."""
        for gov, at in self._seen:
            if gov <= applied:
                return at
        return _UNKNOWN

    def committed(self, gov: int, at: float) -> None:
        """The next look finds it."""

    def close(self) -> None:
        """Look no more; a look that hangs is cut short."""
        self._over.set()
        # In this order: a look that is cut short has to find that no other one follows.
        self._watch.abort()

    def _poll_head_until_closed(self) -> None:
        while not self._over.is_set():
            # Before the question: a commit that its answer lacks was made later (decision 0007).
            at = self._clock.boottime()
            with suppress(HouseError):  # then the lease runs out by itself
                self._update_seen_heads(*self._watch.ask(self._head), at)
            # After a failed look too, so that a start does not wait for a store that is away.
            self._looked.set()
            self._over.wait(self._pause)
        # Only here: the connection is this thread's, and `close` does no more than cut its wait.
        self._watch.close()

    def _update_seen_heads(self, gov: int, epoch: str, at: float) -> None:
        seen = self._seen
        self._epoch = self._epoch or epoch
        if epoch != self._epoch or (seen and gov < seen[0][0]):
            # A view's size is never below 0, so every follower sees that the log went back.
            self._seen, self.strange = (), (-1, epoch)
            self._over.set()
        elif seen and seen[0][0] == gov:
            self._seen = ((gov, at), *seen[1:])
        else:
            self._seen = ((gov, at), *seen[: _KEPT - 1])
        self.turn += 1
