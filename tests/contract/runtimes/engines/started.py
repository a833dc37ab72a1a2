"""Container engines of the tests' own: each in its own namespaces, with its own data, and ended.

What an engine writes outside of its folder (/run, /var/lib, /opt, its mounts, its network) is in
namespaces that end with it; what stays are empty control groups, which are removed. An engine ends
with whoever started it; what a run that was killed left is removed by the next one.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from gatelodge.adapters.runtime.kernel.cgroups import find_control_groups

_PLACE = "GATELODGE_ENGINE_"
_PREFIX = "gatelodge-engine-"
_OWN_GROUP = "gatelodge-tests"
_READY_SECONDS = 30.0
_RANGE = "containers:2147483647:65536000\ngatelodge-tests:1610612736:65536\n"
_PREPARE = """
set -e
mount --no-mtab -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
[ ! -d /opt ] || mount -t tmpfs tmpfs /opt
export TMPDIR="$1"
for file in subuid subgid passwd group; do mount --bind "$1/$file" "/etc/$file"; done
ip link set lo up
cd /
"""
_DOCKERD = """
exec dockerd --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/pid" -H "unix://$1/socket" \
  --iptables=false --ip6tables=false --bridge=none --storage-driver overlay2 \
  --cgroup-parent gatelodge-tests $2
"""
_PODMAN = """
export CONTAINERS_CONF="$1/containers.conf"
exec podman --root "$1/data" --runroot "$1/exec" --storage-driver overlay \
  system service --time=0 "unix://$1/socket"
"""
_CONTAINERS_CONF = """
[containers]
default_ulimits = ["nofile=16384:16384", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
[network]
network_backend = "netavark"
"""
_WAYS = {
    # By the programs that it takes.
    "dockerd": (("dockerd", "containerd", "runc"), _DOCKERD, "--userns-remap=gatelodge-tests"),
    "plain": (("dockerd", "containerd", "runc"), _DOCKERD, ""),
    "podman": (("podman", "conmon", "runc", "netavark"), _PODMAN, ""),
}
_HELPERS = ("/usr/local/libexec/podman", "/usr/local/lib/podman", "/usr/libexec/podman",
            "/usr/lib/podman")  # fmt: skip
"""Where Podman looks for programs that stand in no PATH."""


SEEN_BY_BOTH = {"XDG_RUNTIME_DIR": "/dev/shm"}
"""For gates: such an engine sees nothing of the machine's /run, where files in memory lie else."""
_WORDS = {"dockerd": "docker", "plain": "docker", "podman": "podman"}


def can_start(name: str) -> bool:
    """Say whether the engine was asked for, which takes minutes, and can be started."""
    words = os.environ.get("REQUIRE_RUNTIMES", "").replace(",", " ").split()
    return _WORDS[name] in words and not what_lacks(name)


def what_lacks(*names: str) -> str:
    """What this machine lacks to start engines of these kinds; empty when it lacks nothing."""
    if os.geteuid() != 0:
        return "root"
    wanted = ["unshare", "nsenter", "setpriv"]
    wanted += [each for name in names for each in _WAYS[name][0]]
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_HELPERS))
    return ", ".join(each for each in dict.fromkeys(wanted) if not shutil.which(each, path=path))


def place_of(name: str) -> str:
    """Where the engine listens that this run started."""
    return os.environ[f"{_PLACE}{name.upper()}"]


@contextlib.contextmanager
def started_engine(name: str) -> Iterator[str]:
    """The place of an engine that runs until this is left."""
    _remove_left_behind()
    # Not in TMPDIR: the path of a socket has to be short.
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir="/tmp"))
    folder.chmod(0o711)  # uids of containers pass through it to their files
    try:
        _write_files(folder)
        with (folder / "log").open("wb") as said:
            # TERM has an engine end its containers as well.
            apart = ("setpriv", "--pdeathsig", "TERM", "unshare", "--mount", "--net")
            command = (*apart, "bash", "-c", _PREPARE + _WAYS[name][1])
            engine = subprocess.Popen(
                (*command, name, str(folder), _WAYS[name][2]), stdout=said, stderr=said
            )
        try:
            _wait_for_socket(engine, folder)
            os.environ[f"{_PLACE}{name.upper()}"] = f"unix://{folder}/socket"
            os.environ.update(SEEN_BY_BOTH)
            yield f"unix://{folder}/socket"
        finally:
            _end_engine(engine, folder, name)
    finally:
        _remove_groups()
        shutil.rmtree(folder, ignore_errors=True)


def _remove_left_behind() -> None:
    """The folders of runs that were killed; their engines ended with them."""
    for each in Path("/tmp").glob(f"{_PREFIX}*-*"):
        owner = each.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            shutil.rmtree(each, ignore_errors=True)


def _write_files(folder: Path) -> None:
    for each in ("data", "exec"):
        (folder / each).mkdir()
        (folder / each).chmod(0o711)
    (folder / "containers.conf").write_text(_CONTAINERS_CONF)
    for each in ("subuid", "subgid"):
        (folder / each).write_text(_RANGE)
    passwd, group = Path("/etc/passwd").read_text(), Path("/etc/group").read_text()
    user = "gatelodge-tests:x:1610612736:1610612736::/nonexistent:/usr/sbin/nologin\n"
    (folder / "passwd").write_text(passwd + user)
    (folder / "group").write_text(group + "gatelodge-tests:x:1610612736:\n")


def _wait_for_socket(engine: "subprocess.Popen[bytes]", folder: Path) -> None:
    until = time.monotonic() + _READY_SECONDS
    while not (folder / "socket").exists():
        said = (folder / "log").read_text(errors="replace")[-2000:]
        assert engine.poll() is None, said
        assert time.monotonic() < until, said
        time.sleep(0.02)


def _end_engine(engine: "subprocess.Popen[bytes]", folder: Path, name: str) -> None:
    """End what it still runs, then itself; its namespaces end with it."""
    if name == "podman" and engine.poll() is None:
        at = f"/proc/{engine.pid}/ns"
        command = ["nsenter", f"--mount={at}/mnt", f"--net={at}/net", "podman"]
        command += ["--root", f"{folder}/data", "--runroot", f"{folder}/exec"]
        command += ["--storage-driver", "overlay", "rm", "--all", "--force", "--time", "0"]
        env = {**os.environ, "CONTAINERS_CONF": f"{folder}/containers.conf"}
        subprocess.run(command, env=env, timeout=60, capture_output=True, check=False)
    engine.send_signal(signal.SIGTERM)
    try:
        engine.wait(30)
    except subprocess.TimeoutExpired:
        engine.kill()
        engine.wait(10)


def _groups() -> list[Path]:
    """Where engines make control groups, whatever they are told; the innermost first.

    A hierarchy in which this process has a group of its own gets them below that one.
    """
    tops = [each.folder for each in find_control_groups().values()]
    tops += [each.top for each in find_control_groups().values()]
    names = (_OWN_GROUP, "libpod_parent/conmon", "libpod_parent", "docker")
    return [top / name for top in dict.fromkeys(tops) for name in names]


def _remove_groups() -> None:
    """All that are empty, also of runs that were killed: an engine makes them anew."""
    for each in _groups():
        with contextlib.suppress(OSError):  # somebody uses it
            each.rmdir()


if __name__ == "__main__":  # `make engines` asks before it runs anything
    lacking = what_lacks("dockerd", "podman")
    sys.exit(f"this machine lacks {lacking}" if lacking else 0)
