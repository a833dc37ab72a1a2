"""What an instance is, from the pod as it was admitted and from what its bridge read inside.

Both have to say a thing before it counts: what a cluster stores is not always what a node does, and
an admission hook may have changed what was sent.
"""

from collections.abc import Mapping
from typing import Any, Final

from gatelodge.core.hosting.facts import SEPARATE, IsolationFacts, IsolationTier

_FACTORS: Final = {
    "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40,
    "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "m": 0.001, "": 1,
}  # fmt: skip
_WHOLE_MAP: Final = "0 0 4294967295"
"""The user map of a container without a user namespace of its own."""


def changes(stored: Mapping[str, Any], sent: Mapping[str, Any]) -> tuple[str, ...]:
    """What the cluster changed in the spec of a pod that no border survives, each in words."""
    ours, names = sent["containers"][0], ("initContainers", "ephemeralContainers")
    held = {
        "a container was added": len(stored.get("containers", ())) == 1
        and not any(stored.get(name) for name in names),
        "its image is another one": _container(stored).get("image") == ours["image"],
        "its command is another one": _container(stored).get("command") == ours["command"],
        "a volume was added": {each["name"] for each in stored.get("volumes", ())}
        == {each["name"] for each in sent["volumes"]},
        "a token of the cluster is given to it": stored.get("automountServiceAccountToken")
        is False,
        "its runtime class is another one": stored.get("runtimeClassName")
        == sent.get("runtimeClassName"),
    }
    return tuple(fault for fault, holds in held.items() if not holds)


def read_facts(stored: Mapping[str, Any], inside: Mapping[str, Any], strong: str) -> IsolationFacts:
    """The facts; `strong` is the runtime class that has a kernel of its own, empty = none has."""
    container = _container(stored)
    around, own = stored.get("securityContext") or {}, container.get("securityContext") or {}
    limits = (container.get("resources") or {}).get("limits") or {}
    profile = (own.get("seccompProfile") or around.get("seccompProfile") or {}).get("type")
    capabilities = own.get("capabilities") or {}
    # What is declared is not measured here: a full set stands for "not dropped".
    dropped = "ALL" in (capabilities.get("drop") or ()) and not capabilities.get("add")
    kept_in = not inside["reached"] and bool(inside["tried"])
    own_users = stored.get("hostUsers") is False and inside["uid_map"] != _WHOLE_MAP
    return IsolationFacts(
        runtime=f"kubernetes {stored.get('runtimeClassName') or ''}".strip(),
        tier=_tier(stored, strong, kept_in=kept_in, own_users=own_users),
        source="declared",
        uid=int(inside["uid"]),
        uid_map=str(inside["uid_map"]),
        capabilities=str(inside["capabilities"]) if dropped else "ffffffffffffffff",
        seccomp=bool(inside["seccomp"]) and profile in ("RuntimeDefault", "Localhost"),
        no_new_privileges=bool(inside["no_new_privileges"])
        and own.get("allowPrivilegeEscalation") is False,
        namespaces=_namespaces(stored, own_users=own_users),
        root_read_only=bool(inside["root_read_only"]) and own.get("readOnlyRootFilesystem") is True,
        writable=tuple(inside["writable"]),
        interfaces=tuple(inside["interfaces"]),
        filtered=kept_in,
        memory_bytes=_larger(inside["memory_bytes"], limits.get("memory")),
        processes=max(0, int(inside["processes"])),
        cpus=_larger(inside["cpus"], limits.get("cpu")),
    )


def _container(stored: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (stored.get("containers") or [{}])[0]
    return found


def _tier(
    stored: Mapping[str, Any], strong: str, *, kept_in: bool, own_users: bool
) -> IsolationTier:
    """What it comes to: without a network policy that holds, no promise is kept."""
    if not kept_in:
        return "none"
    if strong and stored.get("runtimeClassName") == strong:
        return "strong"
    return "standard" if own_users else "weak"


def _namespaces(stored: Mapping[str, Any], *, own_users: bool) -> tuple[str, ...]:
    shared = {
        "net": stored.get("hostNetwork"),
        "uts": stored.get("hostNetwork"),
        "pid": stored.get("hostPID"),
        "ipc": stored.get("hostIPC"),
        "user": not own_users,
    }
    return tuple(sorted(each for each in SEPARATE if not shared.get(each)))


def _larger(read: float, declared: str | None) -> Any:
    """The laxer of both; zero = no limit where either knows of none."""
    amount = _quantity(declared) if declared else 0
    return max(read, amount) if read and amount else 0


def _quantity(text: str) -> float:
    """A quantity of Kubernetes as a number; zero for what is none."""
    digits = text.rstrip("KMGTikm")
    try:
        return float(digits) * _FACTORS[text[len(digits) :]]
    except (ValueError, KeyError):
        return 0.0
