"""What was found is compared with what its tier promises; what differs is told in words."""

import re

import pytest
from msgspec import structs

from gatelodge.core.hosting.facts import SEPARATE, IsolationFacts, deviations
from gatelodge.core.hosting.limits import InstanceLimits

LIMITS = InstanceLimits(memory_mib=64, cpus=0.5, processes=16)
CONTAINER = IsolationFacts(
    runtime="docker 29.0",
    tier="standard",
    source="kernel",
    uid=300_000,
    capabilities="0000000000000000",
    seccomp=True,
    no_new_privileges=True,
    namespaces=tuple(SEPARATE),
    root_read_only=True,
    interfaces=("lo",),
    memory_bytes=64 << 20,
    processes=16,
    cpus=0.5,
)


def test_a_container_that_has_all_of_its_tier_deviates_in_nothing():
    assert deviations(CONTAINER, "standard", LIMITS) == ()
    assert deviations(CONTAINER, "weak", LIMITS) == ()


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"memory_bytes": 0}, "the limit of memory is none"),
        ({"memory_bytes": 65 << 20}, "the limit of memory is"),
        ({"processes": 0}, "the limit of processes is none"),
        ({"cpus": 0.0}, "the limit of processor is none"),
        ({"uid": 0}, "it is uid 0 outside"),
        ({"capabilities": "00000000a80425fb"}, "it has capabilities"),
        ({"seccomp": False}, "no seccomp filter holds"),
        ({"no_new_privileges": False}, "it can get privileges by exec"),
        ({"root_read_only": False}, "its root can be written to"),
        ({"interfaces": ("lo", "eth0")}, "it has a network interface"),
        ({"namespaces": tuple(SEPARATE - {"user"})}, r"it shares namespaces \(user\)"),
        ({"tier": "weak", "namespaces": tuple(SEPARATE - {"pid", "user"})}, r"\(pid"),
    ],
)
def test_each_thing_that_is_missing_is_told(fields, told):
    wanted = fields.get("tier", "standard")
    found = deviations(structs.replace(CONTAINER, **fields), wanted, LIMITS)
    assert len(found) == 1
    assert re.search(told, found[0])


def test_a_container_without_a_user_namespace_is_weak_and_not_standard():
    shared = structs.replace(CONTAINER, tier="weak", namespaces=tuple(SEPARATE - {"user"}))
    assert deviations(shared, "weak", LIMITS) == ()
    assert deviations(shared, "standard", LIMITS) == (
        "the tier is weak, and standard was asked for",
    )
    # As uid 0 of the machine it would be no tier at all.
    assert deviations(structs.replace(shared, uid=0), "weak", LIMITS) == ("it is uid 0 outside",)
