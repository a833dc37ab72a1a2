"""A store that cannot be written: access ends within a second, or nobody is served at once.

Each row breaks the disk under a gate that serves, then mends it; it goes on without a restart.
"""

import contextlib
import os
import resource
import socket
import subprocess
import time
from pathlib import Path

import pytest
from tests.fault.disk.test_store_full import fill, ready, until
from tests.fault.scene.setting import MAIN, admit, open_to_everyone, serve
from tests.gate import Gate
from tests.leaves import Calls, leaves_of
from tests.upstreams.witnessing import Witness

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk"),
]


@pytest.fixture
def place(tmp_path):
    """A small disk with a file system of its own, where the machine lets one be mounted."""
    image, place = tmp_path / "image", tmp_path / "disk"
    image.touch()
    os.truncate(image, 48 << 20)
    place.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    mounted = subprocess.run(["mount", "-o", "loop", image, place], check=False)
    if mounted.returncode:
        pytest.skip("no loop device may be mounted here")
    place.chmod(0o700)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@contextlib.contextmanager
def full(gate):
    fill(gate.directory)
    yield
    (gate.directory / "ballast").unlink()


@contextlib.contextmanager
def writes_fail(gate):
    """No file may be written beyond its first page: each write of a log fails as on a bad disk."""
    pid, (_, hard) = gate.process.pid, resource.prlimit(gate.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, hard))
    yield
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


@contextlib.contextmanager
def read_only(gate):
    """The database and its log refuse each write, also by whoever has them open; the rest is well.

    Not the memory that connections share: who writes to mapped pages is ended by the system.
    """
    files = [str(gate.directory / f"gatelodge.db{part}") for part in ("", "-wal")]
    subprocess.run(["chattr", "+i", *files], check=True)
    yield
    subprocess.run(["chattr", "-i", *files], check=True)


@contextlib.contextmanager
def no_descriptors(gate):
    """Strangers hold every connection that they get, and no more files may be opened."""
    held = [socket.create_connection(("127.0.0.1", gate.port)) for _ in range(40)]
    pid, limits = gate.process.pid, resource.prlimit(gate.process.pid, resource.RLIMIT_NOFILE)
    opened = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (opened + 2, limits[1]))
    yield
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    for each in held:
        each.close()


def ended(gate):
    """Whether the member's access could be ended, within a second."""
    began = time.monotonic()
    try:
        gate.api("POST", f"{MAIN}/members/ada@example.test/suspend", {})
    except (AssertionError, OSError):
        return False
    return time.monotonic() - began < 1.0


def served(client):
    try:
        return client.call("up__t_0").status == 200
    except OSError:
        return False


@pytest.mark.parametrize("kind", [full, writes_fail, read_only, no_descriptors])
def test_access_is_ended_in_a_second_or_nobody_is_served_and_then_all_goes_on(place, kind):
    gate = Gate(place, "audit.segment_bytes=65536")
    with Witness() as upstream:
        with gate.running():
            serve(gate, "up", upstream.url)
            open_to_everyone(gate, "up")
            client = gate.client(admit(gate, "ada"))
            assert served(client)
            with kind(gate):
                gone = ended(gate)
                assert not served(client), "access was ended, or should have been"
                time_to_look(client)
            until(lambda: ready(gate).status == 200, "it does not go on")
            if not gone:
                gate.api("POST", f"{MAIN}/members/ada@example.test/suspend", {})
            assert client.call("up__t_0").status == 401
            gate.api("POST", f"{MAIN}/members/ada@example.test/resume", {})
            until(lambda: served(client), "it does not serve again")
            assert gate.cli("audit", "fsck")["sound"]
        Calls(leaves_of(gate.directory)).is_paired()


def time_to_look(client):
    """It stays so: a fault that lasts is not forgotten by the next call."""
    for _ in range(20):
        assert not served(client)
        time.sleep(0.05)
