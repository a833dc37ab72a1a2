"""Scripts of packages that an operator named run apart from the gate and from the network."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.packages.registry import NodeRegistry, registry

from gatelodge.adapters.runtime.landlock.calls import landlock_version
from gatelodge.adapters.runtime.packages import sandbox
from gatelodge.adapters.runtime.packages.npm import NpmInstaller
from gatelodge.adapters.runtime.packages.sandbox import ToolSandbox
from gatelodge.adapters.runtime.packages.workshop import BuildLimits
from gatelodge.adapters.runtime.process.uids import UidAllocator
from gatelodge.core.errors import Invalid, LimitReached, UpstreamUnreachable
from gatelodge.core.hosting.source import read_source

pytestmark = [
    pytest.mark.slow,
    pytest.mark.anyio,
    pytest.mark.skipif(landlock_version() < 1, reason="this kernel has no Landlock"),
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not on this machine"),
]
WRITES = "printf '#!/bin/sh\\necho made > made\\n' > make.sh && chmod +x make.sh && ./make.sh"
REACHES = Path(__file__).with_name("hostile_script.js")


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[NodeRegistry]:
    with registry() as made:
        monkeypatch.setenv("npm_config_registry", made.url)
        yield made


async def lay_out(
    tmp_path: Path,
    *run_scripts: str,
    seconds: float = 60.0,
    most: int = 1 << 30,
    **given: bool,
) -> dict[str, str]:
    """The files that scripts left beside the program, by package and name."""
    tools = ToolSandbox(tmp_path, UidAllocator(310_000), **given)
    installer = NpmInstaller(tmp_path / "builds", BuildLimits(seconds=seconds, bytes=most), tools)

    async def report(_stage: str) -> None:
        """Nobody waits for it."""

    source = read_source("npm:tool@1.0.0")
    async with installer.laid_out(source, "", report, run_scripts=run_scripts) as package:
        at = package.folder / "node_modules"
        return {str(each.relative_to(at)): each.read_text() for each in at.glob("*/made*")}


async def test_the_scripts_that_were_named_run_and_can_run_what_they_write(
    place: NodeRegistry, tmp_path: Path
):
    place.publish("named", {}, postinstall=WRITES)
    place.publish("other", {}, postinstall=WRITES)
    place.publish("tool", {"named": "1.0.0", "other": "1.0.0"}, postinstall=WRITES)
    assert await lay_out(tmp_path) == {}
    assert await lay_out(tmp_path, "named") == {"named/made": "made\n"}
    assert list((tmp_path / "builds").iterdir()) == []


async def test_a_package_without_a_script_is_told_with_those_that_have_one(
    place: NodeRegistry, tmp_path: Path
):
    place.publish("named", {}, postinstall=WRITES)
    place.publish("plain", {})
    place.publish("tool", {"named": "1.0.0", "plain": "1.0.0"})
    for each in ("plain", "nobody"):
        with pytest.raises(Invalid, match=f"'{each}' is no package here") as refused:
            await lay_out(tmp_path, each)
        assert "have one: named." in refused.value.remedy


@pytest.mark.parametrize(
    "script",
    [
        "node -e \"require('http').get('http://packages.example/')\"",
        "python3 -c \"import urllib.request as r; r.urlopen('http://packages.example/')\"",
    ],
    ids=["node", "python"],
)
async def test_a_script_that_wants_the_network_fails_and_its_error_says_so(
    place: NodeRegistry, tmp_path: Path, script: str
):
    place.publish("tool", {}, postinstall=script)
    with pytest.raises(Invalid, match="wanted the network, which scripts do not have") as refused:
        await lay_out(tmp_path, "tool")
    assert "brings all that it installs" in refused.value.remedy


async def test_a_script_that_fails_otherwise_is_told_with_its_last_words(
    place: NodeRegistry, tmp_path: Path
):
    place.publish("tool", {}, postinstall="echo no compiler >&2; exit 3")
    with pytest.raises(Invalid, match=r"scripts of tool failed: .*no compiler") as refused:
        await lay_out(tmp_path, "tool")
    assert "network" not in refused.value.detail


@pytest.fixture
def targets(
    place: NodeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Any]]:
    """What of the gate and its machine a hostile script aims at."""
    home = tmp_path.parent / f"{tmp_path.name}-home"
    home.mkdir()
    (home / ".npmrc").write_text(f"//{place.url.partition('//')[2]}/:_authToken=word-of-registry\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GATE_SECRET", "word-of-gate")
    (tmp_path / "key").write_text("the gate's own key")
    victim = subprocess.Popen(("/bin/sleep", "600"), env={"KEY": "word"})
    plug = socket.socket(socket.AF_UNIX)
    plug.bind(str(home / "plug"))
    plug.listen()
    with plug:
        yield {
            "secret": str(tmp_path / "key"),
            "home": str(home),
            "plug": str(home / "plug"),
            "victim": victim.pid,
            "port": int(place.url.rpartition(":")[2]),
            "words": ["word-of-gate", "word-of-registry"],
        }
    victim.kill()
    victim.wait()


async def test_a_hostile_script_reaches_nothing_of_the_gate(
    place: NodeRegistry, tmp_path: Path, targets: dict[str, Any]
):
    files = {"hostile.js": REACHES.read_text(), "targets.json": json.dumps(targets)}
    place.publish("tool", {}, postinstall="node hostile.js", **files)
    told = json.loads((await lay_out(tmp_path, "tool"))["tool/made.json"])
    assert told["reached"] == []
    assert told["uid"] != os.geteuid() or os.geteuid() != 0
    assert told["capabilities"] == [0]


def test_the_same_script_outside_of_the_sandbox_reaches_all_of_it(
    place: NodeRegistry, tmp_path: Path, targets: dict[str, Any]
):
    (tmp_path / "targets.json").write_text(json.dumps(targets))
    command = ("node", str(REACHES))
    done = subprocess.run(command, cwd=tmp_path, check=False)
    assert done.returncode == 0
    Path("/usr/written-by-script").unlink(missing_ok=True)
    told = json.loads((tmp_path / "made.json").read_text())
    wanted = {"data", "home", "root", "words", "process", "signal", "plug", "network", "system"}
    assert set(told["reached"]) >= (wanted if os.geteuid() == 0 else wanted - {"system"})


async def test_a_script_that_hangs_or_fills_the_disk_is_ended(place: NodeRegistry, tmp_path: Path):
    place.publish("tool", {}, postinstall="sleep 1000")
    with pytest.raises(LimitReached, match="npm took longer than 8 s"):
        await lay_out(tmp_path, "tool", seconds=8.0)
    place.publish("tool", {}, postinstall="cat /dev/zero > made")
    with pytest.raises((LimitReached, Invalid)) as refused:
        await lay_out(tmp_path, "tool", most=16 << 20)
    assert "MiB" in str(refused.value.detail) or "too large" in str(refused.value.detail)
    assert list((tmp_path / "builds").iterdir()) == []


async def test_a_script_that_forks_on_gets_so_many_processes_and_they_end(
    place: NodeRegistry, tmp_path: Path
):
    mark = f"31{os.getpid() % 10_000:04}.5"
    forks = (
        "import subprocess\nmade = []\ntry:\n  while len(made) < 5000:\n"
        f"    made.append(subprocess.Popen(('/bin/sleep', '{mark}')))\n"
        "except OSError:\n  pass\nopen('made', 'w').write(str(len(made)))\n"
    )
    place.publish("tool", {}, postinstall="python3 fork.py", **{"fork.py": forks})
    made = await lay_out(tmp_path, "tool")
    assert 1 < int(made["tool/made"]) <= 512
    running = await asyncio.to_thread(
        subprocess.run, ("pgrep", "-f", f"^/bin/sleep {mark}"), capture_output=True, check=False
    )
    assert running.stdout == b""


async def test_a_script_that_leaves_what_is_no_file_is_refused(place: NodeRegistry, tmp_path: Path):
    place.publish("tool", {}, postinstall=f"ln -s {tmp_path}/key made")
    with pytest.raises(Invalid, match="is no file"):
        await lay_out(tmp_path, "tool")


async def test_production_runs_no_script_unless_a_setting_says_so(
    place: NodeRegistry, tmp_path: Path
):
    place.publish("tool", {}, postinstall=WRITES)
    with pytest.raises(Invalid, match=r"hosting\.production") as refused:
        await lay_out(tmp_path, "tool", production=True)
    assert "hosting.production_scripts" in refused.value.remedy
    made = await lay_out(tmp_path, "tool", production=True, scripts=True)
    assert made == {"tool/made": "made\n"}


async def test_where_no_sandbox_can_be_made_no_script_runs(
    place: NodeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    place.publish("tool", {}, postinstall=WRITES)
    monkeypatch.setattr(sandbox, "landlock_version", lambda: 0)
    with pytest.raises(UpstreamUnreachable, match=r"run in a sandbox alone.*no Landlock"):
        await lay_out(tmp_path, "tool")


async def test_a_real_package_runs_its_own_program_when_it_is_installed(tmp_path: Path):
    tools = ToolSandbox(tmp_path, UidAllocator(310_000))
    installer = NpmInstaller(tmp_path / "builds", BuildLimits(seconds=120, bytes=1 << 30), tools)

    async def report(_stage: str) -> None:
        """Nobody waits for it."""

    source = read_source("npm:esbuild@0.25.0")
    beginnings = []
    for run_scripts in ((), ("esbuild",)):
        async with installer.laid_out(source, "", report, run_scripts=run_scripts) as package:
            program = package.folder / "node_modules/esbuild/bin/esbuild"
            beginnings.append(program.read_bytes()[:4])
    # Its script has its native program try itself, and puts that into the place of the other one.
    assert beginnings == [b"#!/u", b"\x7fELF"]
