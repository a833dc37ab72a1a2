"""How a process is kept apart, read back from /proc after its start.

What was asked of a runtime proves nothing; these files are what the kernel does. Sources: proc(5),
cgroups(7), namespaces(7).
"""

from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from gatelodge.adapters.runtime.kernel.cgroups import find_control_groups, read_limits
from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.hosting.facts import IsolationFacts, IsolationTier

_NAMESPACES = ("user", "pid", "net", "mnt", "ipc", "uts", "cgroup")
_NOT_FILES = {"proc", "mqueue", "devpts"}
"""Mounts that hold no files: what may be written there, the kernel settles file by file."""
_HARMLESS = {"/null", "/zero", "/full", "/random", "/urandom", "/tty"}
"""Devices that runtimes show one by one, or lay over what shall not be read."""
_MEND = "Start it again; when it happens again, see: gatelodge doctor."
_EXITING = 0x4
"""Of the flags in /proc/PID/stat: it is in the middle of its end (PF_EXITING)."""
_FILTERED = "2"
"""`Seccomp:` of a process behind a filter."""


class ProcessIdentity(Struct, frozen=True):
    """What a process is, which its own exec settles; a zombie still shows it.

    `over` = it has ended. `capabilities` is the union of effective and bounding set, in hex.
    """

    uid: int
    capabilities: str
    seccomp: bool
    no_new_privileges: bool
    over: bool


def read_facts(
    pid: int, *, runtime: str, tier: IsolationTier, landlock: bool = False
) -> IsolationFacts:
    """What the kernel says of the process. Raises UpstreamUnreachable when it cannot be read.

    `runtime` is told as the facts' runtime. No file tells of Landlock: `landlock` is what whoever
    put the process into it knows.
    """
    facts = read_surroundings(pid, runtime=runtime, tier=tier)
    return with_identity(structs.replace(facts, landlock=landlock), read_identity(pid))


def attest_process(
    pid: int, found: IsolationFacts, status: int | None, *, around: int = 0
) -> IsolationFacts:
    """What the kernel says of a process now, of which `found` was read at its start.

    `status` is its exit status, None while it runs. `around` is the process whose surroundings
    are read, where that is another one. Raises UpstreamUnreachable when it cannot be read.
    """
    if status is not None:
        raise ended_error()
    facts = read_surroundings(around or pid, runtime=found.runtime, tier=found.tier)
    identity = read_identity(pid)
    # What is ending has let go of its groups, mounts and namespaces: that would look like a
    # deviation.
    if is_ending(pid) or is_ending(around or pid):
        raise _unread(pid)
    return with_identity(structs.replace(facts, landlock=found.landlock), identity)


def ended_error() -> UpstreamUnreachable:
    """Why nothing is found of an instance that has ended."""
    return UpstreamUnreachable(
        "The program of this instance has ended.", remedy="See what runs: gatelodge instance list"
    )


def read_surroundings(pid: int, *, runtime: str, tier: IsolationTier) -> IsolationFacts:
    """What stands around the process: namespaces, mounts, interfaces, limits; not who it is.

    All of it is there before the program runs, and gone once it has ended.
    Raises UpstreamUnreachable when it cannot be read.
    """
    proc = Path(f"/proc/{pid}")
    try:
        begun = _start_time(proc)
        facts = _read(proc, runtime, tier)
        if _start_time(proc) != begun:
            raise ProcessLookupError  # the number belongs to another one by now
    except (OSError, ValueError, IndexError) as failed:
        raise _unread(pid) from failed
    return facts


def read_identity(pid: int) -> ProcessIdentity:
    """What the process itself is. Raises UpstreamUnreachable when it cannot be read."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
        lines = (line.partition(":\t") for line in text.splitlines())
        status = {name: value.split() for name, _, value in lines}
        held = int(status["CapEff"][0], 16) | int(status["CapBnd"][0], 16)
        return ProcessIdentity(
            uid=int(status["Uid"][1]),
            capabilities=f"{held:016x}",
            seccomp=status["Seccomp"][0] == _FILTERED,
            no_new_privileges=status["NoNewPrivs"][0] == "1",
            over=status["State"][0] in "ZX",
        )
    except (OSError, ValueError, LookupError) as failed:
        raise _unread(pid) from failed


def with_identity(facts: IsolationFacts, identity: ProcessIdentity) -> IsolationFacts:
    """The facts with who the process is."""
    known: dict[str, Any] = structs.asdict(identity)
    del known["over"]
    return structs.replace(facts, **known)


def _read(proc: Path, runtime: str, tier: IsolationTier) -> IsolationFacts:
    mounts = [line.partition(" - ") for line in (proc / "mountinfo").read_text().splitlines()]
    pairs = [(before.split(" "), after.split(" ")) for before, _, after in mounts]
    # A later mount covers an earlier one at the same place.
    places = {each[4]: _writable(each, after) for each, after in pairs}
    limits = read_limits(find_control_groups(proc.name))
    interfaces = (proc / "net" / "dev").read_text().splitlines()[2:]
    return IsolationFacts(
        runtime=runtime,
        tier=tier,
        source="kernel",
        uid_map=" ".join((proc / "uid_map").read_text().split()),
        namespaces=tuple(each for each in _NAMESPACES if _is_own(proc, each)),
        root_read_only=places.get("/") is False,
        writable=tuple(at for at, writable in places.items() if writable),
        interfaces=tuple(line.partition(":")[0].strip() for line in interfaces),
        memory_bytes=limits.memory_bytes,
        processes=limits.processes,
        cpus=limits.cpus,
    )


def _writable(before: list[str], after: list[str]) -> bool:
    """Say whether a mount holds files that can be written: neither it nor its file system is ro."""
    if after[0] in _NOT_FILES or (after[0] == "devtmpfs" and before[3] in _HARMLESS):
        return False
    return all("ro" not in each.split(",") for each in (before[5], after[2]))


def _is_own(proc: Path, name: str) -> bool:
    return (proc / "ns" / name).readlink() != Path(f"/proc/self/ns/{name}").readlink()


def is_ending(pid: int) -> bool:
    """Say whether it has ended or is about to, whatever its state is told to be."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return True
    return fields[0] in "ZX" or bool(int(fields[6]) & _EXITING)


def _start_time(proc: Path) -> str:
    return (proc / "stat").read_text().rpartition(")")[2].split()[19]


def _unread(pid: int) -> UpstreamUnreachable:
    return UpstreamUnreachable(
        f"How the instance is kept apart could not be read of its process {pid}.", remedy=_MEND
    )
