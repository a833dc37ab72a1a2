"""The runtimes that the contract holds for. A further backend is one more row of KINDS."""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import Struct, structs
from tests.contract.runtimes.engines.image import EngineImages, digests
from tests.contract.runtimes.engines.started import can_start, place_of
from tests.contract.runtimes.guest_image import IMAGE, GuestImages
from tests.contract.runtimes.guest_image import ROOT as GUEST_ROOT
from tests.kubernetes.kind import cluster_digest, cluster_runtime
from tests.kubernetes.needs import missing
from tests.upstreams.pools import ROOT

from gatelodge.adapters.runtime.docker.runtime import docker_runtime
from gatelodge.adapters.runtime.landlock.runtime import LandlockRuntime
from gatelodge.adapters.runtime.oci.groups import group_folders
from gatelodge.adapters.runtime.oci.runtime import OciRuntime
from gatelodge.adapters.runtime.process.runtime import ProcessRuntime
from gatelodge.adapters.runtime.process.uids import UidAllocator
from gatelodge.config.schema import HostingSettings
from gatelodge.core.hosting.facts import IsolationTier
from gatelodge.core.hosting.limits import InstanceLimits
from gatelodge.ports.runtime import LaunchSpec, Runtime

PROGRAM = "/usr/bin/python3"
"""A Python that every kind can run; the guest needs the standard library only."""
GUEST = Path(__file__).parent / "guest.py"
PAUSES = "GATE_PAUSES_ITS_GUEST"
"""A variable by which a gate of its own (`gate.py`) has its guest stand still."""


class RuntimeKind(Struct, frozen=True, kw_only=True):
    """How a runtime is made (from its settings and the folder of its caches), and what it promises.

    `isolation` is the pattern of what its instances say; `own_uids` = no two instances share one;
    `gates_uid` = one may be run as the gate's own user. `refusals` are what it is told
    of files that are not its own.
    `image` = it starts images: each instance has a root of its own, no cache, and its home is a
    /tmp in memory. `goes_with_first` = nothing of it outlasts its first process. `limits` = it
    has control groups. `refusals_of_host` are what it gets for a path of the machine's. `running`
    finds all that runs of a runtime's guests, by the mark that they bear or in its own way;
    `own_kernel` = no process of this machine shows what the guest is and has.
    `engine` is what has to be started for it (`engines/started.py`): such a kind ends what a killed
    gate left when the next one starts, does not hear of a closed input, and `adds` variables.
    `elsewhere` = it runs in a cluster, where no pid of it is known, and objects take their time
    to go. `digest` gives the image that it has for one of `guest_image`.
    """

    make: Callable[[HostingSettings, Path], Runtime]
    isolation: str
    tier: IsolationTier = "none"
    own_uids: bool = False
    image: bool = False
    own_kernel: bool = False
    goes_with_first: bool = False
    limits: bool = True
    refusals_of_host: tuple[str, ...] = ("ENOENT",)
    elsewhere: bool = False
    digest: Callable[[str], str] = str
    usable: bool = True
    gates_uid: bool = True
    refusals: tuple[str, ...] = ("Permission denied",)
    engine: str = ""
    adds: frozenset[str] = frozenset()
    running: Callable[[Runtime, str], list[int]] = lambda _, mark: marked(mark)


def _process(settings: HostingSettings, caches: Path) -> Runtime:
    return ProcessRuntime(settings, uids=None, caches=caches)


def _process_with_uids(settings: HostingSettings, caches: Path) -> Runtime:
    return ProcessRuntime(settings, uids=UidAllocator(ROOT.first_uid), caches=caches)


def _landlock(settings: HostingSettings, caches: Path) -> Runtime:
    return LandlockRuntime(settings, uids=None, caches=caches)


def _landlock_with_uids(settings: HostingSettings, caches: Path) -> Runtime:
    return LandlockRuntime(settings, uids=UidAllocator(ROOT.first_uid), caches=caches)


def _landlock_images(settings: HostingSettings, caches: Path) -> Runtime:
    images = GuestImages(Path(os.environ[GUEST_ROOT]))
    uids = UidAllocator(ROOT.first_uid) if os.geteuid() == 0 else None
    return LandlockRuntime(settings, uids=uids, caches=caches, images=images)


def _oci(*names: str) -> Callable[[HostingSettings, Path], Runtime]:
    def make(settings: HostingSettings, caches: Path) -> Runtime:
        images = GuestImages(Path(os.environ[GUEST_ROOT]))
        return OciRuntime(settings, images, caches, names=names)

    return make


def _engine(name: str) -> Callable[[HostingSettings, Path], Runtime]:
    def make(settings: HostingSettings, caches: Path) -> Runtime:
        mark = hashlib.sha256(str(caches).encode()).hexdigest()[:16]
        settings = structs.replace(settings, docker_url=place_of(name))
        return docker_runtime(settings, EngineImages(), mark)

    return make


def _in_groups(runtime: Runtime, _mark: str) -> list[int]:
    """What is in its control groups, whatever it calls itself."""
    assert isinstance(runtime, OciRuntime)
    # A group may be gone while the others are looked through; `os.walk` goes on then.
    folders = [each for at in group_folders(runtime.group) for each, _, _ in os.walk(at)]
    return sorted({int(pid) for at in folders for pid in _words(Path(at, "cgroup.procs"))})


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


def _can_run(name: str) -> bool:
    return os.geteuid() == 0 and shutil.which(name) is not None


KINDS = {
    "process": RuntimeKind(make=_process, isolation=r"not isolated"),
    "process with uids": RuntimeKind(
        make=_process_with_uids,
        isolation=r"not isolated, uid \d+",
        own_uids=True,
        usable=os.geteuid() == 0,
    ),
    "oci runc": RuntimeKind(
        make=_oci("runc"),
        isolation=r"isolated \(standard: runc \d\S*\)",
        tier="standard",
        own_uids=True,
        image=True,
        goes_with_first=True,
        usable=_can_run("runc"),
        running=_in_groups,
    ),
    "oci runsc": RuntimeKind(
        make=_oci("runsc"),
        isolation=r"isolated \(strong: runsc \d\S*\)",
        tier="strong",
        image=True,
        refusals_of_host=("ENOENT", "EACCES"),
        own_kernel=True,
        goes_with_first=True,
        usable=_can_run("runsc"),
        running=_in_groups,
    ),
    "landlock": RuntimeKind(
        make=_landlock if os.geteuid() else _landlock_with_uids,
        isolation=r"weak: Landlock \d+, seccomp, own namespaces, uid \d+",
        own_uids=os.geteuid() == 0,
        gates_uid=os.geteuid() != 0,
        refusals=("Permission denied", "No such file or directory"),
    ),
    "docker podman": RuntimeKind(
        make=_engine("podman"),
        isolation=r"isolated \(standard: podman \d.*; the engine shows its variables\)",
        tier="standard",
        own_uids=True,
        image=True,
        goes_with_first=True,
        usable=can_start("podman"),
        engine="podman",
        adds=frozenset({"HOSTNAME", "TERM", "container"}),
    ),
    "docker dockerd": RuntimeKind(
        make=_engine("dockerd"),
        isolation=r"isolated \(standard: docker \d.*; the engine shows its variables\)",
        tier="standard",
        image=True,
        goes_with_first=True,
        usable=can_start("dockerd"),
        engine="dockerd",
        adds=frozenset({"HOSTNAME"}),
    ),
    "kubernetes": RuntimeKind(
        make=cluster_runtime,
        isolation=r"kubernetes, tier none, uid \d+ \(egress .* not enforced, no user namespace\)",
        own_uids=True,
        image=True,
        goes_with_first=True,
        elsewhere=True,
        digest=cluster_digest,
        # Minutes: `make kubernetes` asks for it.
        usable="kubernetes" in os.environ.get("REQUIRE_RUNTIMES", "") and not missing(),
    ),
}

KINDS["landlock images"] = RuntimeKind(
    make=_landlock_images,
    isolation=KINDS["landlock"].isolation,
    tier="weak",
    own_uids=KINDS["landlock"].own_uids,
    gates_uid=KINDS["landlock"].gates_uid,
    image=True,
    limits=False,
    # It may not look at its init, which is behind another border.
    refusals_of_host=("ENOENT", "EACCES"),
)

NAMES = [
    name if name.startswith("process") else pytest.param(name, marks=pytest.mark.slow)
    for name, kind in KINDS.items()
]
"""For tests; those that start sandboxes are slow."""

REQUIRED = {
    "oci": "oci runc",
    "runsc": "oci runsc",
    "podman": "docker podman",
    "docker": "docker dockerd",
    "kubernetes": "kubernetes",
}
"""By its word in REQUIRE_RUNTIMES, the kind that may not be missing then."""


def check_required(name: str) -> None:
    """Fail where a kind is missing that this run shall not do without."""
    words = os.environ.get("REQUIRE_RUNTIMES", "").replace(",", " ").split()
    assert not set(words) - REQUIRED.keys(), "REQUIRE_RUNTIMES names what there is not"
    assert name not in {REQUIRED[word] for word in words}, f"{name} cannot run on this machine"


def spec(kind: str, script: str, *words: str, **fields: object) -> LaunchSpec:
    """The guest in one of its ways; `words` stand in its arguments, where they can be found."""
    given = {"server": "srv_one", "env": {}, "command": (PROGRAM, script, *words), **fields}
    if KINDS[kind].image:
        given = {"image": IMAGE, "tier": KINDS[kind].tier, **given}
        given["command"] = fields.get("command", words)
    if KINDS[kind].engine:
        given["image"] = digests().get(str(given["image"]), given["image"])
    if KINDS[kind].image:
        given["image"] = given["image"] and KINDS[kind].digest(str(given["image"]))
    if KINDS[kind].elsewhere:  # what is asked for is set aside, and the node has two processors
        given = {"limits": InstanceLimits(cpus=0.4), **given}
    return LaunchSpec(**given)  # type: ignore[arg-type]


def marked(word: str) -> list[int]:
    """The processes of this machine that bear the word among their arguments."""
    return [pid for pid, words in arguments().items() if word.encode() in words.split(b"\0")]


def arguments() -> dict[int, bytes]:
    """The arguments of each process; none of a zombie, which runs no more."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                found[int(folder.name)] = (folder / "cmdline").read_bytes()
            except OSError:
                continue
    return found


def open_here() -> set[str]:
    """The open files, sockets, namespaces and children of this process."""
    held = set()
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            held.add(str(each.readlink()))
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return held | {f"child {each}" for each in children}


def run_and_kill_gate(kind: str, *words: str, started: Callable[[], bool]) -> None:
    """Have a process of its own start a guest, and kill it once that has `started`."""
    command = (sys.executable, "-m", "tests.contract.runtimes.gate", kind, *words)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as gate:
        try:
            assert gate.stdout is not None
            assert gate.stdout.readline() == b"up\n"
            while not started():
                assert gate.poll() is None
        finally:
            gate.send_signal(signal.SIGKILL)
