"""The end of the process at the latest: no store that hangs keeps it alive."""

import asyncio
import logging
import os
import threading

from gatelodge.core.errors import Broken, HouseError, fault_leaves, name_of_fault

log = logging.getLogger(__name__)

GRACE_SECONDS = 5.0
"""For closing records and stores, after those who are served had their time."""
_UNAVAILABLE = 4
"""As the command line has it for what cannot be reached."""


class ProcessEnd:
    """Ends the process when it has not ended by itself some time after it was asked to.

    A thread that waits for a server which does not answer cannot be ended, and Python waits for its
    threads. What is left then is what a kill leaves: the next start makes it good.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds + GRACE_SECONDS
        self._timer: threading.Timer | None = None

    def asked(self, stopping: asyncio.Event) -> None:
        """The process was asked to end; the time runs from the first time on."""
        stopping.set()
        if self._timer is None:
            self._timer = threading.Timer(self._seconds, self._force_process_exit)
            # Python waits at its end for every other thread: this one must not keep the process
            # alive.
            self._timer.daemon = True
            self._timer.start()

    def over(self) -> None:
        """Everything is closed."""
        if self._timer is not None:
            self._timer.cancel()

    def _force_process_exit(self) -> None:
        log.error(
            "not all could be closed within %d s (does the store answer?): ended as by a kill; "
            "the next start makes it good",
            self._seconds,
        )
        logging.shutdown()
        # `sys.exit` would end this thread alone, and Python would go on waiting for the others.
        os._exit(_UNAVAILABLE)


def shown_fault(fault: BaseException) -> HouseError:
    """What a task died of, as an error that may be shown."""
    leaves = list(fault_leaves(fault))
    if len(leaves) == 1 and isinstance(leaves[0], HouseError):
        return leaves[0]
    # Types alone: the words of a foreign error may hold what a client or a server sent.
    text = f"a task of the gate died of {name_of_fault(fault)}"
    return Broken(text, remedy="Restart the gate; its log tells the place under `died of`.")
