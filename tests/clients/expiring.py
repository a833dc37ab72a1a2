"""A relay before a gate that keeps its port, and through which sessions can be made to expire."""

import contextlib
import re
import socket
import threading

_SESSION = re.compile(rb"(?i)(\r\nmcp-session-id: *)([\x21-\x7e]+)")


class Relay:
    """Passes bytes on, both ways. `expire()` makes every session that was seen so far unknown.

    The gate then answers as it does to a session that ended: 404. `target` is the gate's port, and
    may be set anew when the gate was restarted at another.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self._seen: set[bytes] = set()
        self._ended: set[bytes] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def expire(self) -> int:
        """End all sessions so far; returns how many there were."""
        self._ended |= self._seen
        return len(self._ended)

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            gate = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            client.close()
            return
        back = threading.Thread(target=self._pump, args=(gate, client), daemon=True)
        back.start()
        self._pump(client, gate, upward=True)
        back.join()
        client.close()
        gate.close()

    def _pump(self, source: socket.socket, sink: socket.socket, *, upward: bool = False) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(_SESSION.sub(self._ending, data) if upward else data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _ending(self, found: re.Match[bytes]) -> bytes:
        head, session = found.groups()
        if session in self._ended:
            return head + b"x" * len(session)
        self._seen.add(session)
        return found[0]
