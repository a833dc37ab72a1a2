"""One writer at a time; who ends access goes before all who wait, what a server caused behind."""

import threading

import pytest

from gatelodge.adapters.store import queue
from gatelodge.adapters.store.queue import WriterQueue
from gatelodge.core.errors import StoreDown

WAIT = 10.0


class Writers:
    """Threads that write in turn; `order` is who did, in the order of it."""

    def __init__(self) -> None:
        self.queue = WriterQueue()
        self.order: list[str] = []
        self._threads: list[threading.Thread] = []

    def wait(self, name, rank) -> None:
        """Have one more writer wait, who waits indeed when this returns."""
        waiting = len(self.queue._waiting)
        thread = threading.Thread(target=self._write, args=(name, rank))
        self._threads.append(thread)
        thread.start()
        with self.queue._changed:
            came = self.queue._changed.wait_for(lambda: len(self.queue._waiting) > waiting, WAIT)
        assert came, f"{name} waits"

    def done(self) -> list[str]:
        for thread in self._threads:
            thread.join(WAIT)
        return self.order

    def _write(self, name, rank) -> None:
        with self.queue.turn(rank):
            self.order.append(name)


@pytest.mark.guarantee("revoke:under-a-second")
def test_an_end_of_access_goes_before_all_who_wait_and_what_a_server_caused_behind():
    writers = Writers()
    with writers.queue.turn("last"):
        for name, rank in (
            ("news 1", "last"),
            ("grant 1", "plain"),
            ("news 2", "last"),
            ("suspend 1", "first"),
            ("grant 2", "plain"),
            ("suspend 2", "first"),
        ):
            writers.wait(name, rank)
    assert writers.done() == ["suspend 1", "suspend 2", "grant 1", "grant 2", "news 1", "news 2"]


def test_who_waited_in_vain_stands_in_nobodys_way(monkeypatch):
    writers = Writers()
    with writers.queue.turn("plain"):
        monkeypatch.setattr(queue, "WAIT_SECONDS", 0.0)
        with pytest.raises(StoreDown, match="busy"), writers.queue.turn("first"):
            pytest.fail("two write at once")
        monkeypatch.setattr(queue, "WAIT_SECONDS", WAIT)
        writers.wait("grant", "plain")
    assert writers.done() == ["grant"]


def test_a_writer_that_fails_gives_its_turn_back():
    writers = Writers()
    with pytest.raises(ZeroDivisionError), writers.queue.turn("plain"):
        raise ZeroDivisionError
    with writers.queue.turn("last"):
        pass
