"""Versions of container runtimes are read as they say them, and known faults told of those."""

import os

import pytest
from tests.fakes.world import StillClock

from gatelodge.adapters.images.store import OciImageStore
from gatelodge.adapters.runtime.oci.programs import RuntimeProgram, known_faults, read_version
from gatelodge.adapters.runtime.oci.runtime import OciRuntime
from gatelodge.config.schema import HostingSettings

DEBIAN = "runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1+deb12u1\nspec: 1.0.2-dev\ngo: go1.19.8\n"


@pytest.mark.parametrize(
    ("name", "said", "label"),
    [
        ("runc", DEBIAN, "runc 1.1.5"),
        ("runc", "runc version 1.4.4\ncommit: v1.4.4-0-gabc\n", "runc 1.4.4"),
        ("crun", "crun version 1.8.1\ncommit: f8a096be\nrundir: /run/crun\n", "crun 1.8.1"),
        ("runsc", "runsc version 0.0~20221219.0\nspec: 1.0.2-dev\n", "runsc 0.0~20221219.0"),
        ("runsc", "runsc version release-20260905.0\n", "runsc 20260905.0"),
        ("runsc", "runsc version VERSION_MISSING\n", "runsc"),
        ("runc", "something else\n", "runc"),
    ],
)
def test_a_version_is_read_as_each_says_it(name, said, label):
    assert RuntimeProgram(name, "/usr/bin/x", *read_version(said)).label == label


@pytest.mark.parametrize(
    ("version", "build", "faults"),
    [
        ("1.1.5", "", ["CVE-2024-21626", "CVE-2025-31133"]),
        ("1.1.5", "1.1.5+ds1-1+deb12u1", ["CVE-2025-31133"]),
        ("1.1.12", "", ["CVE-2025-31133"]),
        ("1.2.7", "", ["CVE-2025-31133"]),
        ("1.2.8", "", []),
        ("1.3.2", "", ["CVE-2025-31133"]),
        ("1.3.3", "", []),
        ("1.4.0", "", []),
        ("2.0.0", "", []),
        ("", "", []),
    ],
)
def test_known_faults_are_those_of_the_version(version, build, faults):
    found = known_faults(RuntimeProgram("runc", "/usr/sbin/runc", version, build))
    assert [each.split()[0].rstrip(",") for each in found] == faults


@pytest.mark.parametrize(
    ("version", "platform"),
    [("0.0~20221219.0", "ptrace"), ("20260905.0", "systrap"), ("", "systrap")],
)
def test_gvisor_gets_the_platform_that_its_release_has(version, platform):
    command = RuntimeProgram("runsc", "/usr/bin/runsc", version).command("/state", "/log")
    assert f"--platform={platform}" in command
    assert "--network=none" in command


@pytest.mark.anyio
async def test_without_root_one_gap_is_told_with_what_to_do_instead(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    images = OciImageStore(tmp_path / "images", tmp_path / "caches", StillClock())
    runtime = OciRuntime(HostingSettings(), images, tmp_path)
    offer = await runtime.probe()
    (gap,) = offer.gaps
    assert (offer.tiers, gap.says) == ((), "Containers with ids of their own need root.")
    assert "Run the gate as root" in gap.remedy
    assert "weak" in gap.remedy
