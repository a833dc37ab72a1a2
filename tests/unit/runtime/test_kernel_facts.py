"""What /proc and the control groups say is what the facts say; what is not there is no limit."""

import os
import subprocess
import sys

import pytest

from gatelodge.adapters.runtime.kernel.cgroups import (
    ControlGroup,
    GroupLimits,
    read_group_stats,
    read_limits,
)
from gatelodge.adapters.runtime.kernel.facts import read_facts, read_identity, read_surroundings
from gatelodge.core.errors import UpstreamUnreachable

V1 = {
    "memory": {
        "memory.limit_in_bytes": "9223372036854771712",
        "memory.usage_in_bytes": "4096",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2",
    },
    "pids": {"pids.max": "64", "pids.current": "3"},
    "cpu": {
        "cpu.cfs_quota_us": "50000",
        "cpu.cfs_period_us": "100000",
        "cpu.stat": "nr_periods 1\nthrottled_time 2000000000",
    },
    "cpuacct": {"cpuacct.usage": "1500000000"},
}
V2 = {
    "": {
        "memory.max": "268435456",
        "memory.swap.max": "0",
        "memory.current": "8192",
        "memory.events": "oom 1\noom_kill 1",
        "pids.max": "max",
        "cpu.max": "max 100000",
        "cpu.stat": "usage_usec 2500000\nthrottled_usec 500000",
    },
}


def groups(folder, files, parent=()):
    made = {}
    for name, held in files.items():
        at = folder / (name or "unified") / "above" / "own"
        at.mkdir(parents=True)
        for file, text in held.items():
            (at / file).write_text(text + "\n")
        for file, text in parent:
            (at.parent / file).write_text(text + "\n")
        made[name] = ControlGroup(at, folder / (name or "unified"))
    return made


def test_limits_of_both_versions_are_read(tmp_path):
    assert read_limits(groups(tmp_path / "1", V1)) == GroupLimits(0, 64, 0.5)
    assert read_limits(groups(tmp_path / "2", V2)) == GroupLimits(1 << 28, 0, 0.0)


def test_the_least_of_a_group_and_those_above_it_holds(tmp_path):
    above = (("memory.max", "1048576"), ("memory.swap.max", "0"), ("pids.max", "8"))
    found = read_limits(groups(tmp_path, V2, above))
    assert (found.memory_bytes, found.processes) == (1 << 20, 8)


def test_swap_without_a_limit_is_no_limit_of_memory(tmp_path):
    files = {"": {**V2[""], "memory.swap.max": "max"}}
    assert read_limits(groups(tmp_path, files)).memory_bytes == 0


def test_what_a_group_takes_is_read_of_both_versions(tmp_path):
    one = read_group_stats(groups(tmp_path / "1", V1))
    assert (one.memory_bytes, one.cpu_seconds, one.throttled_seconds) == (4096, 1.5, 2.0)
    assert (one.processes, one.oom_kills) == (3, 2)
    two = read_group_stats(groups(tmp_path / "2", V2))
    assert (two.memory_bytes, two.cpu_seconds, two.throttled_seconds) == (8192, 2.5, 0.5)
    assert (two.processes, two.oom_kills) == (0, 1)


def test_a_plain_process_is_told_as_kept_apart_by_nothing():
    facts = read_facts(os.getpid(), runtime="none", tier="none")
    assert (facts.uid, facts.namespaces, facts.seccomp) == (os.geteuid(), (), False)
    assert (facts.source, facts.landlock) == ("kernel", False)


def test_a_process_that_is_over_shows_who_it_was_and_not_what_stood_around_it():
    with subprocess.Popen((sys.executable, "-c", "")) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert read_identity(child.pid).over
        with pytest.raises(UpstreamUnreachable) as failed:
            read_surroundings(child.pid, runtime="none", tier="none")
        assert failed.value.remedy
        child.wait()
        with pytest.raises(UpstreamUnreachable):
            read_identity(child.pid)
