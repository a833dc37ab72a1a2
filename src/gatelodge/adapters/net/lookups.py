"""Looking up the names that servers want to reach, on a few threads that nothing else needs.

A name server that does not answer holds a thread for as long as the system's resolver waits, and no
thread can be cancelled. So these are neither those of the loop's pool, where the gate reads its
store, nor more than a few in the whole process: what would be one more waits, and then fails.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakKeyDictionary

from gatelodge.adapters.net.dial import CONNECT_SECONDS
from gatelodge.core.errors import UpstreamUnreachable

AT_ONCE: Final = 8
"""Names that are looked up at a time, of all instances; one name is one, however many ask."""

LooksUpName = Callable[[str], list[str]]


class NameLookups:
    """What is being looked up now, on one event loop."""

    def __init__(self, look: LooksUpName, seconds: float = CONNECT_SECONDS) -> None:
        """`look` blocks, and is called on a thread; nobody waits longer than `seconds`."""
        self._look, self._seconds = look, seconds
        self._running: dict[str, asyncio.Future[list[str]]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    async def resolve(self, host: str) -> list[str]:
        """The addresses of a host. Raises UpstreamUnreachable, also when there is no room."""
        try:
            async with asyncio.timeout(self._seconds):
                # Whoever asks may give up, and others wait for the same answer.
                return await asyncio.shield(await self._begin(host))
        except (OSError, UnicodeError) as unknown:
            raise UpstreamUnreachable("The server's name cannot be resolved.") from unknown

    async def _begin(self, host: str) -> "asyncio.Future[list[str]]":
        """The look-up of a host: the one that runs, or a new one when there is room."""
        if host not in self._running:
            await self._room.acquire()
            if host in self._running:  # somebody else began it meanwhile
                self._room.release()
            else:
                self._running[host] = self._start_thread(host)
        return self._running[host]

    def _start_thread(self, host: str) -> "asyncio.Future[list[str]]":
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[str]] = loop.create_future()

        def deliver(found: list[str], fault: Exception | None) -> None:
            del self._running[host]
            self._room.release()
            if fault is None:
                answer.set_result(found)
            else:
                answer.set_exception(fault)
                answer.exception()  # it may be that nobody waits any more

        def run() -> None:
            found: list[str] = []
            fault: Exception | None = None
            try:
                found = self._look(host)
            except (OSError, UnicodeError) as raised:
                fault = raised
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(deliver, found, fault)

        # A daemon: the gate's end does not wait for a name server.
        threading.Thread(target=run, name="gatelodge-lookup", daemon=True).start()
        return answer


_OF_LOOP: WeakKeyDictionary[Any, NameLookups] = WeakKeyDictionary()


async def resolve_apart(host: str, port: int) -> list[str]:
    """The addresses of a host, each once. Raises UpstreamUnreachable when it has none.

    `port` is what will be connected to; it says nothing about the addresses.
    """
    del port
    loop = asyncio.get_running_loop()
    lookups = _OF_LOOP.get(loop)
    if lookups is None:
        lookups = _OF_LOOP[loop] = NameLookups(_ask_system)
    return await lookups.resolve(host)


def _ask_system(host: str) -> list[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
