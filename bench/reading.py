"""People who read pages of the console, one after another, while calls go through the gate."""

import http.client
import threading
import time

from bench.wire import Refused

PAGES = ("/", "/audit", "/access", "/members", "/servers", "/changes", "/unused", "/logs")
"""What a person opens in turn: overview, audit explorer, matrix, lists, last use, logs."""


class PageReader:
    """One person who opens a page at each tick, whole, over one connection."""

    def __init__(self, port: int, cookie: str, pause: float) -> None:
        self.times: list[float] = []
        self.failed: Exception | None = None
        self._port = port
        self._cookie = cookie
        self._pause = pause
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Read no more. Raises what a page was refused with."""
        self._stopped.set()
        self._thread.join()
        if self.failed:
            raise self.failed

    def _read(self) -> None:
        link = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        due, turn = time.monotonic(), 0
        try:
            while not self._stopped.wait(max(0.0, due - time.monotonic())):
                self._open(link, PAGES[turn % len(PAGES)])
                turn, due = turn + 1, due + self._pause
        except (OSError, http.client.HTTPException, Refused) as error:
            self.failed = error
        finally:
            link.close()

    def _open(self, link: http.client.HTTPConnection, page: str) -> None:
        began = time.monotonic()
        link.request("GET", f"/console/w/main{page}", headers={"Cookie": self._cookie})
        answer = link.getresponse()
        answer.read()
        if answer.status != 200:
            raise Refused(f"{page}: {answer.status}")
        self.times.append((time.monotonic() - began) * 1000)
