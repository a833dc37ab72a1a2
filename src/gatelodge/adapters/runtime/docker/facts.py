"""What is found of a container: by this machine's kernel where it runs here, else by the engine.

An engine on this machine is told by its containers: the process that it names is in a control group
that bears the container's id. In a virtual machine (desktops) or elsewhere, the number means
another process or none.
"""

import asyncio
from pathlib import Path
from typing import Any

from msgspec import structs

from gatelodge.adapters.runtime.docker.body import UID
from gatelodge.adapters.runtime.docker.engine import EngineTraits
from gatelodge.adapters.runtime.kernel.facts import read_facts
from gatelodge.core.hosting.facts import IsolationFacts, IsolationTier

_EXEC_SECONDS, _LOOK_SECONDS = 1.0, 0.01
_ALL_CAPABILITIES = "000001ffffffffff"


def runs_here(pid: int, container: str) -> bool:
    """Say whether the container's first process is one of this machine, as this gate sees it."""
    try:
        return pid > 0 and container in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False


async def kernel_facts(pid: int, runtime: str) -> IsolationFacts:
    """What the kernel says. Raises UpstreamUnreachable when it cannot be read.

    The process is the runtime's own for a moment; the filter of system calls comes last of all.
    Without a user namespace the uid is one of this machine, and so the tier is `weak` only
    (decision 0033).
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + _EXEC_SECONDS
    while True:
        facts = await asyncio.to_thread(read_facts, pid, runtime=runtime, tier="standard")
        if facts.seccomp or loop.time() >= until:
            return _with_tier(facts, user="user" in facts.namespaces)
        await asyncio.sleep(_LOOK_SECONDS)


def engine_facts(container: dict[str, Any], traits: EngineTraits, runtime: str) -> IsolationFacts:
    """What the engine keeps of a container: what it took, which need not be what holds."""
    kept, state = container["HostConfig"], container["Config"]
    security = " ".join(kept.get("SecurityOpt") or ())
    user = traits.user_namespaces or "auto" in (kept.get("UsernsMode") or "")
    shared = {name for name, at in _modes(kept).items() if at == "host"}
    separate = {"pid", "net", "mnt", "ipc", "uts"} - shared
    facts = IsolationFacts(
        runtime=runtime,
        tier="standard",
        source="engine",
        uid=UID if str(state.get("User", "")).startswith(str(UID)) else 0,
        capabilities="" if _drops_all(kept) else _ALL_CAPABILITIES,
        seccomp=traits.seccomp and "unconfined" not in security,
        no_new_privileges="no-new-privileges" in security,
        namespaces=tuple(sorted(separate | ({"user"} if user else set()))),
        root_read_only=bool(kept.get("ReadonlyRootfs")),
        writable=tuple(sorted(kept.get("Tmpfs") or ())),
        interfaces=("lo",) if kept.get("NetworkMode") == "none" else ("lo", "unknown"),
        memory_bytes=int(kept.get("Memory") or 0),
        processes=max(int(kept.get("PidsLimit") or 0), 0),
        cpus=_processor_share(kept),
    )
    return _with_tier(facts, user=user)


def _with_tier(facts: IsolationFacts, *, user: bool) -> IsolationFacts:
    tier: IsolationTier = "standard" if user else "weak"
    return structs.replace(facts, tier=tier)


def _modes(kept: dict[str, Any]) -> dict[str, str]:
    names = {"pid": "PidMode", "net": "NetworkMode", "ipc": "IpcMode", "uts": "UTSMode"}
    return {name: str(kept.get(key) or "") for name, key in names.items()}


def _drops_all(kept: dict[str, Any]) -> bool:
    """Podman names each capability that it dropped."""
    dropped = kept.get("CapDrop") or ()
    return not kept.get("CapAdd") and not kept.get("Privileged") and bool(dropped)


def _processor_share(kept: dict[str, Any]) -> float:
    if kept.get("NanoCpus"):
        return int(kept["NanoCpus"]) / 1e9
    quota, period = int(kept.get("CpuQuota") or 0), int(kept.get("CpuPeriod") or 0)
    return quota / period if quota > 0 and period > 0 else 0.0
