"""Sockets inside an instance's network namespace, for the gate that stays outside of it.

A thread that has entered another namespace is not used again: it ends, and its sockets stay. Where
the gate may not enter by itself (it is not root, and the namespace belongs to another user
namespace) a program of its own does (`inside.py`).
"""

import array
import asyncio
import contextlib
import errno
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

from gatelodge.adapters.runtime.network import inside
from gatelodge.adapters.runtime.network.inside import SocketOrder
from gatelodge.core.errors import UpstreamUnreachable

_DOCTOR = "See what this machine can isolate: gatelodge doctor."
_HELPER_SECONDS = 10.0
_MOST_SOCKETS = 200
"""The kernel passes 253 at once (SCM_MAX_FD)."""


async def open_in_namespace(
    namespace: int,
    *,
    roads: bool = False,
    names: bool = False,
    listen: Sequence[int] = (),
    connect: Sequence[int] = (),
) -> list[socket.socket]:
    """Sockets made within the network namespace of this descriptor; none of them blocks.

    `roads` lifts `lo` and makes the synthetic network local; `names` = UDP and TCP on
    127.0.0.1:53; then a listener for each port of `listen` and a connection to 127.0.0.1 for each
    of `connect`. Raises UpstreamUnreachable, and then nothing stays open.
    """
    order = SocketOrder(roads=roads, names=names, listen=list(listen), connect=list(connect))
    if 2 + len(listen) + len(connect) > _MOST_SOCKETS:
        raise UpstreamUnreachable(f"More than {_MOST_SOCKETS} ports cannot be opened.")
    # Our own: whoever gave it may close it while the thread works.
    held = os.dup(namespace)
    try:
        made = await _run_in_fresh_thread(lambda: _open_and_let_go(held, order))
    except OSError as fault:
        raise UpstreamUnreachable(
            f"No socket could be opened in the server's network: {fault.strerror or fault}.",
            remedy=_DOCTOR,
        ) from fault
    for each in made:
        each.setblocking(False)
    return made


async def connect_inside(namespace: int, port: int) -> socket.socket:
    """A connection to 127.0.0.1:port of the instance. Raises UpstreamUnreachable."""
    try:
        return (await open_in_namespace(namespace, connect=(port,)))[0]
    except UpstreamUnreachable as failed:
        raise UpstreamUnreachable(f"The server does not listen on port {port}.") from failed


def refuse_own_network(namespace: int) -> None:
    """Raise UpstreamUnreachable for the namespace that the gate itself is in."""
    own = os.stat("/proc/self/ns/net")  # noqa: PTH116 - of the kernel, it waits for nothing
    if os.path.samestat(os.fstat(namespace), own):
        raise UpstreamUnreachable("The server has no network of its own.", remedy=_DOCTOR)


def _open_and_let_go(held: int, order: SocketOrder) -> list[socket.socket]:
    try:
        try:
            inside.enter_network(held)
        except PermissionError:
            return _opened_by_helper(held, order)
        return inside.make_sockets(order)
    finally:
        os.close(held)


def _opened_by_helper(namespace: int, order: SocketOrder) -> list[socket.socket]:
    """What the program made; it is gone when this returns. Raises OSError."""
    ours, theirs = socket.socketpair()
    with ours:
        try:
            process = subprocess.Popen(
                (
                    *(sys.executable, "-I", "-S", inside.__file__),
                    *(str(theirs.fileno()), str(namespace), json.dumps(order)),
                ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={k: v for k, v in os.environ.items() if k == "LD_LIBRARY_PATH"},
                cwd="/",
                start_new_session=True,
                pass_fds=(theirs.fileno(), namespace),
            )
        finally:
            theirs.close()
        try:
            ours.settimeout(_HELPER_SECONDS)
            return _received_sockets(ours)
        finally:
            process.kill()  # it has nothing more to do
            process.wait()


def _received_sockets(ours: socket.socket) -> list[socket.socket]:
    numbers = array.array("i")
    said, passed, flags, _ = ours.recvmsg(16, socket.CMSG_SPACE(_MOST_SOCKETS * numbers.itemsize))
    for level, kind, data in passed:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
    made = [socket.socket(fileno=number) for number in numbers]
    fault = int(said) if said.isdigit() else errno.ECHILD
    if fault or flags & socket.MSG_CTRUNC:
        _close_all_sockets(made)
        number = fault or errno.EMFILE
        raise OSError(number, os.strerror(number))
    return made


async def _run_in_fresh_thread(work: Callable[[], list[socket.socket]]) -> list[socket.socket]:
    """What `work` returns, from a thread that nothing else ever runs in.

    When the wait for it is cancelled the sockets are closed as soon as they are there.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[list[socket.socket]] = loop.create_future()

    def deliver(made: list[socket.socket], fault: BaseException | None) -> None:
        if result.done():
            _close_all_sockets(made)
        elif fault is not None:
            result.set_exception(fault)
        else:
            result.set_result(made)

    def run() -> None:
        made: list[socket.socket] = []
        fault: OSError | None = None
        try:
            made = work()
        except OSError as raised:
            fault = raised
        try:
            loop.call_soon_threadsafe(deliver, made, fault)
        except RuntimeError:  # the loop is closed: nobody waits any more
            _close_all_sockets(made)

    threading.Thread(target=run, name="gatelodge-namespace", daemon=True).start()
    return await result


def _close_all_sockets(sockets: list[socket.socket]) -> None:
    for each in sockets:
        with contextlib.suppress(OSError):
            each.close()
