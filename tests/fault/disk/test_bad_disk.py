"""A disk that fails now and then: what was acknowledged is there, and a restart is not needed.

The faults are those of a library that is loaded into the gate (`bad_disk.c`); where the machine has
no C compiler nothing of this is tried. Left out: files that are read as they are mapped.
"""

import contextlib
import itertools
import mmap
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from tests.fault.disk.test_store_full import ready, until
from tests.fault.scene.setting import MAIN, admit, open_to_everyone, serve
from tests.gate import Client, Gate
from tests.leaves import Calls, leaves_of
from tests.upstreams.witnessing import Witness

SOURCE = Path(__file__).with_name("bad_disk.c")
COMPILER = shutil.which("cc") or shutil.which("gcc")
SYNC, READ, WRITE = range(3)
_NUMBERS = itertools.count()
LASTS = 2.5
"""Seconds: longer than the lease, and than what a health page overlooks."""
AT_MOST = 60.0
"""Seconds within which a slow machine, too, writes enough for the fault to strike."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(COMPILER is None, reason="there is no C compiler on this machine"),
]


class Disk:
    """The faults of a gate's files, as the library in it reads them."""

    def __init__(self, folder: Path) -> None:
        self.library, self.file = folder / "bad_disk.so", folder / "said"
        self.file.write_bytes(b"\0" * 4096)
        assert COMPILER is not None
        command = [COMPILER, "-shared", "-fPIC", "-O1", "-o", self.library, SOURCE, "-ldl"]
        subprocess.run(command, check=True)
        with self.file.open("r+b") as file:
            self._said = mmap.mmap(file.fileno(), 4096)

    @property
    def env(self) -> dict[str, str]:
        """What has the gate load it."""
        return {"LD_PRELOAD": str(self.library), "BAD_DISK": str(self.file)}

    @property
    def struck(self) -> int:
        """How many calls failed so far."""
        return int.from_bytes(self._said[8:12], "little")

    @contextlib.contextmanager
    def failing(self, what: int, part: str):
        """Each call of this kind on files with this in their path fails."""
        self._said[16 : 16 + len(part) + 1] = part.encode() + b"\0"
        self._said[what] = 1
        try:
            yield
        finally:
            self._said[what] = 0


@pytest.fixture
def disk(tmp_path):
    return Disk(tmp_path)


def answered(client: Client) -> bool:
    """Whether a call was served; a refusal is one that says so."""
    answer = client.call("up__t_0")
    assert answer.status in (200, 503), answer.body
    return answer.status == 200 and not answer.json["result"].get("isError", False)


FAULTS = [
    pytest.param(SYNC, "/journal", id="the journal is not synced"),
    pytest.param(WRITE, "/journal/", id="the journal is not written"),
    pytest.param(READ, "/journal/", id="the journal is not read back"),
    pytest.param(SYNC, "/gatelodge.db", id="the database is not synced"),
    pytest.param(WRITE, "/gatelodge.db", id="the database is not written"),
    pytest.param(READ, "/gatelodge.db", id="the database is not read"),
    pytest.param(SYNC, "/guard/", id="the guard is not synced"),
    pytest.param(WRITE, "/guard/", id="the guard is not written"),
]


@pytest.mark.guarantee("audit:intent-before-effect")
@pytest.mark.parametrize(("what", "part"), FAULTS)
def test_what_was_acknowledged_is_there_and_a_passing_fault_needs_no_restart(
    tmp_path, disk, what, part
):
    gate = Gate(tmp_path / "gate", "audit.segment_bytes=16384", **disk.env)
    with Witness() as upstream:
        with gate.running():
            serve(gate, "up", upstream.url)
            open_to_everyone(gate, "up")
            client = gate.client(admit(gate, "ada"))
            good = sum(answered(client) for _ in range(20))
            assert good == 20
            with disk.failing(what, part):
                began = time.monotonic()
                while (lasted := time.monotonic() - began) < LASTS or (
                    not disk.struck and lasted < AT_MOST
                ):
                    good += sum(answered(client) for _ in range(5))
                    change(gate)
            assert disk.struck, "nothing of this kind happened"
            until(lambda: ready(gate).status == 200, f"it is never well again: {gate.stderr}")
            until(lambda: answered(client), f"it does not serve again: {gate.stderr}")
            until(lambda: change(gate), "nothing can be changed any more")
            good += 1
            gate.kill()
        with gate.running():
            assert gate.cli("audit", "fsck")["sound"]
        calls = Calls(leaves_of(gate.directory))
        calls.is_paired()
        assert calls.outcomes("ok").total() >= good
    assert "Traceback" not in gate.stderr


def change(gate: Gate) -> bool:
    """Whether governance state could be changed."""
    with contextlib.suppress(AssertionError, OSError):
        gate.api("POST", f"{MAIN}/members", {"email": f"m{next(_NUMBERS)}@example.test"})
        return True
    return False
