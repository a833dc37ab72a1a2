"""What an instance in a cluster is: from the pod as it was admitted, and as it is within."""

import copy

import pytest

from gatelodge.adapters.runtime.kubernetes.attestation import changes, read_facts
from gatelodge.adapters.runtime.kubernetes.objects import (
    InstanceMark,
    InstanceShape,
    deployment_object,
)
from gatelodge.adapters.runtime.kubernetes.reasons import ending, refused_by_cluster, start_failure
from gatelodge.core.hosting.facts import deviations
from gatelodge.core.hosting.limits import InstanceLimits

INSIDE = {
    "uid": 20_000, "uid_map": "0 1000000 65536", "capabilities": "0", "seccomp": True,
    "no_new_privileges": True, "root_read_only": True, "writable": ["/tmp"],
    "interfaces": ["eth0", "lo"], "memory_bytes": 256 << 20, "processes": 64, "cpus": 1.0,
    "tried": 3, "reached": [],
}  # fmt: skip


def admitted(*, own_users: bool = True, runtime_class: str = ""):
    shape = InstanceShape(
        image="registry.example.com/mcp@sha256:0",
        uid=20_000,
        limits=InstanceLimits(),
        files=(),
        runtime_class=runtime_class,
        own_users=own_users,
        grace=1.0,
    )
    made = deployment_object(InstanceMark("gate", "run", "one", "srv_one"), shape)
    return made["spec"]["template"]["spec"]


@pytest.mark.parametrize(
    ("spec", "inside", "tier"),
    [
        (admitted(), {}, "standard"),
        (admitted(own_users=False), {"uid_map": "0 0 4294967295"}, "weak"),
        (admitted(), {"uid_map": "0 0 4294967295"}, "weak"),  # asked for, and not done
        (admitted(runtime_class="gvisor", own_users=False), {}, "strong"),
        (admitted(), {"reached": ["10.0.0.1:443"]}, "none"),
        (admitted(), {"tried": 0}, "none"),
    ],
)
@pytest.mark.guarantee("isolation:attested")
def test_its_tier_is_what_both_say(spec, inside, tier):
    facts = read_facts(spec, {**INSIDE, **inside}, "gvisor")
    assert facts.tier == tier
    assert deviations(facts, tier, InstanceLimits()) == ()


@pytest.mark.parametrize(
    ("where", "changed", "told"),
    [
        ("inside", {"capabilities": "3"}, "capabilities"),
        ("inside", {"seccomp": False}, "seccomp"),
        ("inside", {"root_read_only": False}, "root can be written"),
        ("inside", {"memory_bytes": 1 << 40}, "limit of memory"),
        ("inside", {"memory_bytes": 0}, "limit of memory"),
        ("inside", {"processes": -1}, "limit of processes"),
        ("context", {"allowPrivilegeEscalation": True}, "privileges by exec"),
        ("context", {"readOnlyRootFilesystem": False}, "root can be written"),
        ("context", {"capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]}}, "capabilities"),
        ("context", {"seccompProfile": {"type": "Unconfined"}}, "seccomp"),
        ("spec", {"hostPID": True}, "namespaces"),
        ("spec", {"hostNetwork": True}, "namespaces"),
    ],
)
def test_what_either_of_both_denies_is_a_deviation(where, changed, told):
    spec, inside = copy.deepcopy(admitted()), dict(INSIDE)
    context = spec["containers"][0]["securityContext"]
    {"inside": inside, "context": context, "spec": spec}[where].update(changed)
    facts = read_facts(spec, inside, "")
    assert told in "; ".join(deviations(facts, "standard", InstanceLimits()))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"containers": [*admitted()["containers"], {"name": "mesh"}]}, "container"),
        ({"initContainers": [{"name": "mesh"}]}, "container"),
        ({"volumes": [*admitted()["volumes"], {"name": "token"}]}, "volume"),
        ({"automountServiceAccountToken": True}, "token"),
        ({"runtimeClassName": "other"}, "runtime class"),
    ],
)
def test_what_the_cluster_added_is_told(changed, told):
    assert changes(admitted(), admitted()) == ()
    assert told in " ".join(changes({**admitted(), **changed}, admitted()))


def state(**states):
    return {"status": {"phase": "Running", "containerStatuses": [states]}}


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (state(state={"waiting": {"reason": "ImagePullBackOff"}}), "image cannot be pulled"),
        (state(state={"waiting": {"reason": "CrashLoopBackOff"}}), "again and again"),
        (state(state={"waiting": {"reason": "CreateContainerConfigError"}}), "configured"),
        (state(state={"terminated": {"exitCode": 3, "reason": "Error"}}), "status 3"),
        ({"status": {"phase": "Failed", "reason": "Evicted"}}, "Evicted"),
    ],
)
def test_why_it_does_not_come_up_is_told_with_a_remedy(found, told):
    failed = start_failure(found)
    assert told in failed.detail
    assert failed.remedy


def test_what_may_still_come_up_is_waited_for():
    assert start_failure(state(state={"waiting": {"reason": "ContainerCreating"}})) is None
    assert refused_by_cluster({"status": {"conditions": [{"type": "Progressing"}]}}) is None


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (None, "its pod was removed"),
        (state(state={"terminated": {"reason": "OOMKilled"}}), "out of memory"),
        (state(lastState={"terminated": {"reason": "OOMKilled"}}), "out of memory"),
        ({"status": {"reason": "Evicted"}}, "evicted by the cluster"),
        (state(state={"running": {}}), ""),
    ],
)
def test_why_it_ended_is_told_where_the_cluster_knows(found, told):
    assert ending(found) == told
