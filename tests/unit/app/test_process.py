"""What the gate's process settles before it opens anything: its memory and its descriptors."""

import resource
import subprocess
import sys

import pytest

from gatelodge.app.announce import exposures
from gatelodge.app.process import share
from gatelodge.config.schema import ListenSettings

CLOSED = """
import ctypes, resource
from gatelodge.app.process import close_memory
close_memory()
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""
ROOM = """
import resource
from gatelodge.app.process import room_for
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
print(room_for({wanted}), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def ran(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True
    )
    return done.stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has the switch")
def test_no_core_file_and_no_other_process_sees_the_gates_memory():
    assert ran(CLOSED) == "(0, 0) 0"


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "told"),
    [(256, 4096, 1000, "1000 2024"), (256, 1024, 10_000, "512 1024"), (100, 100, 10_000, "50 100")],
)
def test_the_limit_of_open_files_is_raised_and_some_are_kept_from_clients(
    soft: int, hard: int, wanted: int, told: str
):
    assert ran(ROOM.format(soft=soft, hard=hard, wanted=wanted)) == told


def test_clients_never_take_the_last_descriptors():
    for files in (1, 2, 64, 1024, 11_023, 11_024, 100_000):
        left = share(files, 10_000)
        assert 1 <= left <= 10_000
        assert files < 2 or files - left >= min(1024, files // 2)
    assert share(resource.RLIM_INFINITY, 10_000) == 10_000


def test_listening_beyond_this_machine_is_warned_of_with_what_to_set():
    assert exposures(ListenSettings()) == exposures(ListenSettings(host="::1")) == ()
    open_to_all = exposures(ListenSettings(host="0.0.0.0"))
    assert "TLS" in open_to_all[0]
    assert "listen.allowed_hosts" in open_to_all[1]
    (only,) = exposures(ListenSettings(host="::", public_url="http://gate.example.test"))
    assert "TLS" in only
    assert exposures(ListenSettings(host="0.0.0.0", public_url="https://gate.example.test")) == ()
