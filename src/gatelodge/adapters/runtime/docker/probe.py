"""What a container engine can do for us, before anything is started on it: for doctor."""

import contextlib
import re
import secrets as random

from gatelodge.adapters.runtime.docker.body import INSTANCE, MARK, ContainerPlan, container_body
from gatelodge.adapters.runtime.docker.engine import ContainerEngine, EngineTraits
from gatelodge.adapters.runtime.docker.image import empty_image
from gatelodge.adapters.runtime.finish import finish_despite_cancellation
from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.hosting.facts import IsolationTier
from gatelodge.core.hosting.limits import InstanceLimits
from gatelodge.ports.runtime import RuntimeGap, RuntimeOffer

NAME = "docker"
_LEAST = {"docker": (20, 10), "podman": (4, 3)}
_FIXED_RUNC = ((1, 2, 8), (1, 3, 3), (1, 4, 0))
"""First releases without CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881, by their branches."""
_UPGRADE = "Upgrade it."
_V1_ROOTLESS = RuntimeGap(
    "A rootless engine on cgroup v1 drops all limits, so nothing is started on it.",
    "Use a machine with cgroup v2, or an engine that root runs.",
)
_NO_SECCOMP = RuntimeGap(
    "The engine filters no system calls, so nothing is started on it.",
    "Use an engine and a kernel with seccomp.",
)
_NO_RANGES = {
    "podman": RuntimeGap(
        "Containers share their uids with this machine: the tier is weak.",
        "Give them a range: containers:2147483647:65536000 in /etc/subuid and /etc/subgid.",
    ),
    "docker": RuntimeGap(
        "Containers share their uids with this machine: the tier is weak.",
        'Set "userns-remap": "default" in daemon.json, or run the daemon rootless.',
    ),
}


async def probe_engine(engine: ContainerEngine, mark: str) -> RuntimeOffer:
    """What it offers; whatever fails is a gap. `mark` is that of the gate's containers."""
    try:
        traits = await engine.traits()
    except UpstreamUnreachable as failed:
        return RuntimeOffer(runtime=NAME, gaps=(RuntimeGap(failed.detail, failed.remedy or ""),))
    gaps, tiers = judge_engine(traits)
    if tiers:
        more, tiers = await _try_container(engine, traits, mark)
        gaps += more
    return RuntimeOffer(
        runtime=NAME, version=f"{traits.words} ({traits.runtime})", tiers=tiers, gaps=tuple(gaps)
    )


async def _try_container(
    engine: ContainerEngine, traits: EngineTraits, mark: str
) -> tuple[list[RuntimeGap], tuple[IsolationTier, ...]]:
    """Make a container of an empty image, which says whether there are uids to give.

    It is never started, since nothing is in it. A gate that is killed here leaves it to the next.
    """
    ranges = traits.kind == "podman" and not traits.rootless
    wishes = (True, False) if ranges else (False,)
    archive, image = empty_image()
    try:
        await engine.load_data(archive)
    except UpstreamUnreachable as failed:
        return [RuntimeGap(failed.detail, failed.remedy or "")], ()
    refused: list[RuntimeGap] = []
    try:
        for own_range in wishes:
            try:
                await _make_and_remove(engine, traits, mark, image, own_range=own_range)
            except UpstreamUnreachable as failed:
                refused.append(RuntimeGap(failed.detail, failed.remedy or ""))
                continue
            if own_range or traits.user_namespaces:
                return [], ("weak", "standard")
            return [_NO_RANGES[traits.kind]], ("weak",)
    finally:
        with contextlib.suppress(UpstreamUnreachable):
            await engine.forget(image)
    return refused[-1:], ()


async def _make_and_remove(
    engine: ContainerEngine, traits: EngineTraits, mark: str, image: str, *, own_range: bool
) -> None:
    name = f"gatelodge-{mark}-trial-{random.token_hex(4)}"
    plan = ContainerPlan(
        image=image,
        command=("/nothing",),
        env={},
        cwd="/",
        limits=InstanceLimits(),
        labels={MARK: mark, INSTANCE: name},
        own_range=own_range,
    )
    try:
        await engine.create(name, container_body(plan, traits))
    finally:
        await finish_despite_cancellation(engine.remove(name))


def judge_engine(traits: EngineTraits) -> tuple[list[RuntimeGap], tuple[IsolationTier, ...]]:
    """What follows from what it says of itself; no tier where nothing may be started on it."""
    fatal = []
    if _numbers(traits.version)[:2] < _LEAST[traits.kind]:
        least = ".".join(map(str, _LEAST[traits.kind]))
        fatal.append(RuntimeGap(f"{traits.words} is older than {least}.", _UPGRADE))
    if traits.rootless and traits.cgroups == "1":
        fatal.append(_V1_ROOTLESS)
    if not traits.seccomp:
        fatal.append(_NO_SECCOMP)
    if fatal:
        return fatal, ()
    gaps = []
    if _has_known_faults(traits.runtime):
        gaps.append(
            RuntimeGap(
                f"{traits.runtime} has faults that let containers out (CVE-2025-31133 and others), "
                "unless its distributor mended them; a user namespace keeps the worst away.",
                "Upgrade runc to 1.2.8, 1.3.3, 1.4.0 or later.",
            )
        )
    return gaps, ("weak", "standard") if traits.user_namespaces else ("weak",)


def _has_known_faults(runtime: str) -> bool:
    if not runtime.startswith("runc"):
        return False
    found = _numbers(runtime)
    return bool(found) and not any(
        found >= fixed and (found[:2] == fixed[:2] or fixed == _FIXED_RUNC[-1])
        for fixed in _FIXED_RUNC
    )


def _numbers(version: str) -> tuple[int, ...]:
    found = re.search(r"\d+(?:\.\d+)+", version)
    return tuple(int(each) for each in found[0].split(".")) if found else ()
