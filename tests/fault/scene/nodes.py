"""Two nodes on one PostgreSQL, the second with a copy of the first one's keys."""

import contextlib
import shutil
import time

from tests.gate import WAIT, Gate


@contextlib.contextmanager
def two_nodes(place, url, *sets):
    """Two gates that serve; both are stopped with the block."""
    first = Gate(place / "first", f"store.url={url}", *sets)
    second = Gate(place / "second", f"store.url={url}", *sets)
    with first.running():
        shutil.copytree(first.directory / "keys", second.directory / "keys")
        second.directory.chmod(0o700)
        second.token = first.token
        with second.running():
            yield first, second


def until_both_serve(gates, token):
    """Wait until a request of this member is admitted on each node."""
    _until(gates, lambda gate: gate.client(token).request("tools/list", {}).status == 200)


def until_both_are_stale(gates, token):
    """Wait until no node's lease lasts; before that one may refuse for want of its journal."""
    _until(gates, lambda gate: b"fresh" in gate.client(token).request("tools/list", {}).body)


def until_both_call(gates, token, tool):
    """Wait until a call of this tool succeeds on each node."""
    _until(gates, lambda gate: _succeeded(gate.client(token).call(tool).json))


def _succeeded(answer):
    return "result" in answer and not answer["result"].get("isError", False)


def _until(gates, true):
    ends = time.monotonic() + WAIT
    for gate in gates:
        while not true(gate):
            assert time.monotonic() < ends, "a node never does"
            time.sleep(0.01)
