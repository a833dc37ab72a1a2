"""The watchman: looks after what no task of the node owns, and says what does not go well.

Each second: is the data directory still ours, is there room on its disk, does the store take
changes, does every background task get its work done. What changes is told in one line, when it
begins and when it ends.
"""

import asyncio
import logging

from gatelodge.adapters.store.database import Database
from gatelodge.flows.gateway.inflight import InFlight
from gatelodge.flows.health import LONG_SECONDS, RED_SECONDS, NodeHealth

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
STORE = "changing the store"


class DiskWatchman:
    """One task of a node; `shut` is asked at each request, on the same event loop."""

    def __init__(self, database: Database, health: NodeHealth, inflight: InFlight) -> None:
        self._database = database
        self._health = health
        self._inflight = inflight
        self._told: dict[str, str] = {}
        self._late: frozenset[str] = frozenset()
        self._lasted = 0.0

    def shut(self) -> str:
        """Why no call is taken now, empty when they are (hot path).

        Where the store takes no change nobody's access could be ended, so nobody is served.
        """
        room = self._database.room
        return ("" if room is None else room.low) or self._database.unwritable

    def faults(self) -> dict[str, str]:
        """Everything that does not go well: what, and why."""
        shut = self.shut()
        return {**self._health.lasting(), **({STORE: shut} if shut else {})}

    async def run(self) -> None:
        """Look until cancelled. Raises Conflict when another process may use the directory."""
        while True:
            # In a thread: a file system that hangs would stop the loop, and every call with it.
            await asyncio.to_thread(self._database.check_lock)
            await self._tend_disk_room()
            self._log_changed_faults(self.faults())
            self._tell_late(self._health.late())
            self._lasted = self._lasted + _LOOK_SECONDS if self.shut() else 0.0
            if self._lasted > RED_SECONDS:
                # What runs since before can be ended by nobody: it ends now.
                self._inflight.cut_all("stale")
            await asyncio.sleep(_LOOK_SECONDS)

    async def _tend_disk_room(self) -> None:
        if self._database.room is None:
            return
        try:
            await asyncio.to_thread(self._database.room.tend)
        except OSError as fault:
            self._health.failed("looking at the disk", fault.strerror or "it does not answer")
        else:
            self._health.well("looking at the disk")

    def _log_changed_faults(self, faults: dict[str, str]) -> None:
        for work, why in faults.items():
            if work not in self._told:
                log.error("%s fails: %s", work, why)
        for work in self._told.keys() - faults.keys():
            log.warning("%s goes well again", work)
        self._told = faults

    def _tell_late(self, late: frozenset[str]) -> None:
        for work in sorted(late - self._late):
            log.warning("%s takes longer than %d s and holds up the rest", work, LONG_SECONDS)
        for work in sorted(self._late - late):
            log.warning("%s is not late any more", work)
        self._late = late
