"""Isolation as it was found after a start, and whether that is what the tier promises.

What is asked for proves nothing: engines drop limits that they cannot keep, in one line of warning
or in none. So each instance is looked at from outside, once it runs and before a byte reaches it;
what differs from its tier is a refusal.
"""

from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct

from gatelodge.core.hosting.limits import InstanceLimits

IsolationTier = Literal["none", "weak", "standard", "strong"]
"""`none` = a child process; `weak` = Landlock, seccomp and namespaces, without limits of its own;
`standard` = user namespace, no capability, seccomp, read-only root, limits; `strong` = that behind
a kernel of its own (gVisor)."""

TIERS: Final[tuple[IsolationTier, ...]] = ("none", "weak", "standard", "strong")
"""From the weakest on."""

FactSource = Literal["kernel", "engine", "declared", "none"]
"""Who said so: this machine's kernel, a container engine, an API that keeps what was admitted."""

PROMISES: Final[dict[IsolationTier, str]] = {
    "none": "nothing: it is a process of the gate's machine",
    "weak": "namespaces of its own, a seccomp filter, no capability, a read-only root, no network "
    "but to allowed places; no limits of its own",
    "standard": "a user namespace, no capability, a seccomp filter, a read-only root, no network "
    "but to allowed places, and limits of memory, processors and processes",
    "strong": "what `standard` does, behind a kernel of its own",
}
"""What each tier promises, in words."""

SEPARATE: Final = frozenset({"user", "pid", "net", "mnt", "ipc", "uts"})
"""Namespaces that an instance has for itself in the tier `standard` (a cgroup one too, where the
runtime can); `strong` and `weak` want the same but for `user`."""

_OF_OWN_KERNEL: Final = {"user", "pid"}
"""Those that a kernel of its own has within itself: its platforms trace their processes from the
namespaces of the machine, which the program never sees."""

OWN_KERNEL_PROCESSES: Final = 128
"""Processes and threads that a kernel of its own needs beside those of its program: without them
it ends when the program reaches half of what it may have."""


class IsolationFacts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was found of one instance. Empty or zero = not there, or not to be seen.

    `capabilities` is the union of effective and bounding set, in hex. `uid_map` is `inside outside
    length`. `writable` are the mounts that it can write to, `devices` what stands in its /dev.
    """

    runtime: str
    """Its name and version, such as `runc 1.1.5`."""
    tier: IsolationTier
    source: FactSource
    uid: int = 0
    uid_map: str = ""
    capabilities: str = ""
    seccomp: bool = False
    landlock: bool = False
    no_new_privileges: bool = False
    namespaces: tuple[str, ...] = ()
    """Those that are not the gate's own."""
    root_read_only: bool = False
    writable: tuple[str, ...] = ()
    interfaces: tuple[str, ...] = ()
    filtered: bool = False
    """It has a network, and was seen to reach nothing through it just before its start."""
    memory_bytes: int = 0
    processes: int = 0
    cpus: float = 0.0


class PromisedFact(Struct, frozen=True, kw_only=True):
    """One promise beside what was found; `deviation` says what is wrong, empty when it is kept."""

    name: str
    promised: str
    found: str
    deviation: str = ""


def compare_facts(
    facts: IsolationFacts, wanted: IsolationTier, limits: InstanceLimits
) -> tuple[PromisedFact, ...]:
    """Everything that the tier promises, beside what was found; the tier itself is the first.

    An instance of the tier `none` promises nothing. `wanted` is the least that was asked for; of
    one that is weaker nothing else is looked at.
    """
    weaker = TIERS.index(facts.tier) < TIERS.index(wanted)
    fault = f"the tier is {facts.tier}, and {wanted} was asked for" if weaker else ""
    told = [PromisedFact(name="tier", promised=wanted, found=facts.tier, deviation=fault)]
    if weaker or facts.tier == "none":
        return tuple(told)
    told += _of_every_tier(facts)
    if facts.tier in ("standard", "strong"):
        told += _of_limits(facts, limits)
    return tuple(told)


def deviations(
    facts: IsolationFacts, wanted: IsolationTier, limits: InstanceLimits
) -> tuple[str, ...]:
    """What is not as the tier promises, each in words; empty when all of it is there."""
    return tuple(each.deviation for each in compare_facts(facts, wanted, limits) if each.deviation)


def _of_every_tier(facts: IsolationFacts) -> list[PromisedFact]:
    # A kernel of its own keeps the program's identity and calls to itself.
    own_kernel = facts.tier == "strong"
    own = "its own kernel's" if own_kernel else ""
    separate = set(SEPARATE)
    # A pod without a user namespace is no root outside all the same, and has no capability.
    if facts.tier == "weak":
        separate -= {"user"}
    if own_kernel:
        separate -= _OF_OWN_KERNEL
    missing = separate - set(facts.namespaces)
    held = (
        ("new privileges", "none", own or ("none" if facts.no_new_privileges else "by exec"),
         facts.no_new_privileges or own_kernel, "it can get privileges by exec"),
        ("seccomp", "a filter", own or ("a filter" if facts.seccomp else "none"),
         facts.seccomp or own_kernel, "no seccomp filter holds"),
        ("root", "read-only", "read-only" if facts.root_read_only else "can be written to",
         facts.root_read_only, "its root can be written to"),
        ("capabilities", "none", own or (_some(facts.capabilities) or "none"),
         own_kernel or not _some(facts.capabilities),
         f"it has capabilities ({facts.capabilities})"),
        ("uid outside", "not 0", own or str(facts.uid), facts.uid != 0 or own_kernel,
         "it is uid 0 outside"),
        ("namespaces", _list(separate), _list(facts.namespaces), not missing,
         f"it shares namespaces ({', '.join(sorted(missing))})"),
        ("interfaces", "none but lo", _list(facts.interfaces),
         facts.filtered or set(facts.interfaces) <= {"lo"}, "it has a network interface"),
    )  # fmt: skip
    return [
        PromisedFact(name=name, promised=promised, found=found, deviation="" if holds else fault)
        for name, promised, found, holds, fault in held
    ]


def _of_limits(facts: IsolationFacts, limits: InstanceLimits) -> list[PromisedFact]:
    kernel = OWN_KERNEL_PROCESSES if facts.tier == "strong" else 0
    asked = {
        "memory": (facts.memory_bytes, limits.memory_mib << 20),
        "processes": (facts.processes, limits.processes + kernel),
        "processor": (facts.cpus, limits.cpus),
    }
    return [
        PromisedFact(
            name=f"limit of {what}",
            promised=f"{most:g}" if what == "processor" else str(most),
            found=str(found or "none"),
            deviation=""
            if 0 < found <= most
            else f"the limit of {what} is {found or 'none'}, and {most} was asked for",
        )
        for what, (found, most) in asked.items()
    ]


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _some(capabilities: str) -> str:
    """The capabilities without leading zeros, empty for none."""
    return capabilities.lstrip("0")


def facts_in_words(facts: IsolationFacts) -> str:
    """The facts as one line that a record holds: `name=value`, sorted by name.

    What was not found is left out; a list is written with commas. The name of the runtime and the
    tier stand beside it in the record.
    """
    told = []
    for name in sorted(facts.__struct_fields__):
        value = getattr(facts, name)
        if name in ("runtime", "tier") or not value:
            continue
        text = ",".join(value) if isinstance(value, tuple) else f"{value}"
        told.append(f"{name}={'yes' if value is True else text}")
    return "; ".join(told)
