"""A process of the same user, with a secret and three doors: what a server must not get at."""

import os
import signal
import socket
import sys
from pathlib import Path

folder, name = Path(sys.argv[1]), sys.argv[2]
doors = []
for address in (f"\0{name}", str(folder / "socket")):
    door = socket.socket(socket.AF_UNIX)
    door.bind(address)
    door.listen()
    doors.append(door)
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    door = socket.socket(socket.AF_INET, kind)
    door.bind(("127.0.0.1", 0))
    if kind == socket.SOCK_STREAM:
        door.listen()
    doors.append(door)
print(*(each.getsockname()[1] for each in doors[2:]), flush=True)  # noqa: T201 - to the test
assert os.environ["SECRET"]
signal.pause()
