"""Why a pod does not come up, or ended, in words; what it says is decided by its states alone."""

from typing import Any, Final

from gatelodge.adapters.runtime.kubernetes.api import QUOTA
from gatelodge.core.errors import UpstreamUnreachable

_IMAGE: Final = (
    "Push the image to the registry that hosting.kubernetes_images names, by its digest; see "
    "docs/operations.md."
)
_SPEC: Final = "See that the image runs as a user other than root, and holds the gate's own Python."
_ROOM: Final = "Give it fewer resources (its limits), or the cluster more."
_POLICY: Final = "See which admission policy of the namespace refuses what deploy/kubernetes needs."
_WAITING: Final[dict[str, tuple[str, str]]] = {
    "ImagePullBackOff": ("Its image cannot be pulled", _IMAGE),
    "ErrImagePull": ("Its image cannot be pulled", _IMAGE),
    "ErrImageNeverPull": ("Its image is not on the node", _IMAGE),
    "InvalidImageName": ("Its image has no valid name", _IMAGE),
    "CreateContainerConfigError": ("Its container cannot be configured", _SPEC),
    "CreateContainerError": ("Its container cannot be made", _SPEC),
    "RunContainerError": ("Its container cannot be started", _SPEC),
    "CrashLoopBackOff": ("Its bridge ends again and again", _SPEC),
}
_MOST: Final = 300
OUT_OF_MEMORY: Final = "out of memory"


def start_failure(pod: dict[str, Any]) -> UpstreamUnreachable | None:
    """Why this pod will not come up by waiting; None while it may."""
    status = pod.get("status", {})
    if status.get("phase") == "Failed":
        told = status.get("message") or status.get("reason") or "no reason is told"
        return UpstreamUnreachable(f"Its pod failed: {told[:_MOST]}", remedy=_ROOM)
    for each in status.get("containerStatuses", ()):
        state = each.get("state", {})
        waiting = state.get("waiting") or {}
        known = _WAITING.get(waiting.get("reason", ""))
        if known is not None:
            told = f": {waiting['message']}" if waiting.get("message") else ""
            return UpstreamUnreachable(f"{known[0]}{told[:_MOST]}.", remedy=known[1])
        ended = state.get("terminated") or each.get("lastState", {}).get("terminated")
        if ended:
            told = f"{ended.get('reason', '')} {ended.get('message', '')}".strip()
            text = f"Its bridge ended with status {ended.get('exitCode')} ({told[:_MOST]})."
            return UpstreamUnreachable(text, remedy=_SPEC)
    return None


def unscheduled(pod: dict[str, Any]) -> str:
    """Why no node takes it, as the scheduler says; empty when one did, or nothing was said yet."""
    for each in pod.get("status", {}).get("conditions", ()):
        if each.get("type") == "PodScheduled" and each.get("status") == "False":
            return str(each.get("message", ""))[:_MOST]
    return ""


def refused_by_cluster(deployment: dict[str, Any]) -> UpstreamUnreachable | None:
    """Why the cluster makes no pod of it: a quota, or an admission policy; None when it may."""
    for each in deployment.get("status", {}).get("conditions", ()):
        if each.get("type") == "ReplicaFailure" and each.get("status") == "True":
            told = str(each.get("message", ""))
            quota = "exceeded quota" in told
            what = "The quota of the namespace is used up" if quota else "The cluster refuses it"
            remedy = QUOTA if quota else _POLICY
            return UpstreamUnreachable(f"{what}: {told[:_MOST]}", remedy=remedy)
    return None


def no_node(why: str) -> UpstreamUnreachable:
    """It waited for a node for as long as it may."""
    return UpstreamUnreachable(f"No node takes it: {why}", remedy=_ROOM)


def ending(pod: dict[str, Any] | None) -> str:
    """Why a pod that ran does so no more, as far as its last state tells; else empty."""
    if pod is None or pod.get("metadata", {}).get("deletionTimestamp"):
        return "its pod was removed"
    status = pod.get("status", {})
    if status.get("reason") in ("Evicted", "NodeLost", "Preempting"):
        return f"{status['reason'].lower()} by the cluster"
    for each in status.get("containerStatuses", ()):
        for state in (each.get("state", {}), each.get("lastState", {})):
            if (state.get("terminated") or {}).get("reason") == "OOMKilled":
                return OUT_OF_MEMORY
    return ""
