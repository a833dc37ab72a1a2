"""What fetches packages has nothing of the gate's, whatever it was made to do."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.packages.sandbox import hostile_tool_run
from tests.integration.packages.sandbox.hostile_tool_run import build

from gatelodge.adapters.runtime.landlock.calls import landlock_version
from gatelodge.adapters.runtime.packages import sandbox
from gatelodge.adapters.runtime.packages.sandbox import ToolSandbox
from gatelodge.adapters.runtime.packages.settings import OF_THE_NETWORK
from gatelodge.adapters.runtime.process.uids import UidAllocator
from gatelodge.core.errors import HouseError, Invalid, LimitReached, UpstreamUnreachable

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(landlock_version() < 1, reason="this kernel has no Landlock"),
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not on this machine"),
]
Hostile = Callable[..., dict[str, Any]]
TOOL = Path(__file__).with_name("hostile_tool.py")


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hostile]:
    """Puts the hostile tool before the machine's own `npm`; what it aims at."""
    places = {name: tmp_path / name for name in ("tools", "data", "home")}
    for each in places.values():
        each.mkdir()
    secret = places["data"] / "key"
    secret.write_text("the gate's own key")
    (places["home"] / ".bin").mkdir()
    (places["home"] / ".bin" / "kept").write_text("")
    npm = places["tools"] / "npm"
    shutil.copy(TOOL, npm)
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{places['tools']}:{os.environ['PATH']}")
    monkeypatch.setenv("GATE_SECRET", "word")
    monkeypatch.setenv("HOME", str(places["home"]))
    victim = subprocess.Popen(("/bin/sleep", "600"), env={"KEY": "word"})
    plug = socket.socket(socket.AF_UNIX)
    plug.bind(str(tmp_path / "plug"))
    plug.listen()
    index = socket.create_server(("127.0.0.1", 0))

    def aim(way: str, **more: object) -> dict[str, Any]:
        targets = {
            "way": way,
            "secret": str(secret),
            "home": str(places["home"]),
            "victim": victim.pid,
            "socket": str(tmp_path / "plug"),
            "port": index.getsockname()[1],
            "mark": f"left-{os.getpid()}-{tmp_path.name}",
            **more,
        }
        place = places["tools"] / "targets.json"
        place.write_text(json.dumps(targets))
        # A tool sees itself alone: what it aims at comes to it as a file that a setting names.
        monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(place))
        return {**targets, "index": index}

    index.settimeout(60.0)
    with plug, index:
        yield aim
    victim.kill()
    victim.wait()


async def told(tmp_path: Path) -> Any:
    """What the tool told of what it got."""
    with pytest.raises(HouseError) as failed:
        await build(tmp_path)
    return json.loads(failed.value.detail.partition("TOLD ")[2])


async def test_a_hostile_tool_reaches_the_index_and_nothing_of_the_gate(
    hostile: Hostile, tmp_path: Path
):
    hostile("reach")
    got = await told(tmp_path)
    assert got["reached"] == ["index"]
    assert got["capabilities"] == [0]
    assert got["uid"] not in (0, 12_345)
    known = {"HOME", "LANG", "PATH", "TMPDIR", "NODE_EXTRA_CA_CERTS", "LC_CTYPE"}
    assert set(got["variables"]) - known <= set(OF_THE_NETWORK)


def test_without_the_sandbox_the_same_tool_reaches_all_of_it(hostile: Hostile, tmp_path: Path):
    hostile("reach")
    done = subprocess.run(
        (tmp_path / "tools" / "npm",), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    reached = set(json.loads(done.stderr.partition("TOLD ")[2])["reached"])
    Path("/usr/written-by-build").unlink(missing_ok=True)
    wanted = {"data", "listing", "home", "root", "environment", "environ_of_other"}
    assert wanted | {"signal_to_other", "socket_file", "listen", "index"} <= reached


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_where_the_gate_is_no_root_a_hostile_tool_reaches_no_more(hostile: Hostile, tmp_path: Path):
    hostile("reach")
    for each in (tmp_path, *tmp_path.rglob("*")):
        if not each.is_symlink():
            os.chown(each, 12_345, 12_345)
    for folder in (tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(folder.stat().st_mode | 0o011)
    done = subprocess.run(
        (sys.executable, hostile_tool_run.__file__, str(tmp_path)),
        user=12_345,
        group=12_345,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "TOLD" in done.stdout, done.stdout + done.stderr
    got = json.loads(done.stdout.partition("TOLD ")[2])
    assert (got["reached"], got["uid"], got["capabilities"]) == (["index"], 12_345, [0])


async def test_what_a_tool_leaves_behind_is_gone_with_the_build(hostile: Hostile, tmp_path: Path):
    mark = hostile("leave")["mark"]
    with pytest.raises(UpstreamUnreachable):
        await build(tmp_path)
    assert not processes_called(mark)
    assert list((tmp_path / "data" / "builds").iterdir()) == []


async def test_a_tool_that_forks_on_gets_so_many_processes_and_they_end(
    hostile: Hostile, tmp_path: Path
):
    hostile("fork")
    assert 1 < await told(tmp_path) <= 512


async def test_a_tool_that_wants_all_memory_does_not_get_it(hostile: Hostile, tmp_path: Path):
    hostile("memory")
    assert await told(tmp_path) < (4 << 30) // (64 << 20)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "says"),
    [("many files", "more than 8 MiB"), ("one file", "one file became larger|more than 8 MiB")],
)
async def test_a_tool_that_fills_the_disk_is_ended_and_its_error_says_why(
    hostile: Hostile, tmp_path: Path, way: str, says: str
):
    hostile(way)
    with pytest.raises(LimitReached, match=says) as failed:
        await build(tmp_path, most=8 << 20)
    assert "hosting.build_bytes" in failed.value.remedy


@pytest.mark.slow
async def test_a_tool_that_hangs_is_ended(hostile: Hostile, tmp_path: Path):
    hostile("hang")
    with pytest.raises(LimitReached, match="npm took longer than 1 s"):
        await build(tmp_path, seconds=1.0)


async def test_a_tool_ends_with_a_build_that_is_given_up(hostile: Hostile, tmp_path: Path):
    index = hostile("hang")["index"]
    building = asyncio.ensure_future(build(tmp_path))
    plug, _ = await asyncio.to_thread(index.accept)
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building
    with plug:
        plug.settimeout(10.0)
        assert plug.recv(1) == b""
    assert list((tmp_path / "data" / "builds").iterdir()) == []


def test_a_tool_ends_with_a_gate_that_is_killed(hostile: Hostile, tmp_path: Path):
    index = hostile("hang")["index"]
    gate = subprocess.Popen((sys.executable, hostile_tool_run.__file__, str(tmp_path)))
    plug, _ = index.accept()
    gate.kill()
    gate.wait()
    with plug:
        plug.settimeout(10.0)
        assert plug.recv(1) == b""


@pytest.mark.parametrize("way", ["lock", "folder", "pipe"])
async def test_a_link_or_a_pipe_that_a_tool_leaves_leads_the_gate_nowhere(
    hostile: Hostile, tmp_path: Path, way: str
):
    hostile(way)
    with pytest.raises(Invalid, match="no file"):
        await build(tmp_path)
    assert (tmp_path / "home" / ".bin" / "kept").exists()


async def test_settings_that_open_a_registry_are_no_words_of_a_command(
    hostile: Hostile, tmp_path: Path
):
    lines = (
        "registry=https://kay:pass-word@packages.example/",
        "//packages.example/:_authToken=${GATE_SECRET}",
        "git=/tmp/any-program",
        "script-shell=/tmp/any-program",
        "@acme:registry=https://acme.example/",
    )
    (tmp_path / "home" / ".npmrc").write_text("\n".join(lines))
    hostile("reach")
    got = await told(tmp_path)
    assert set(got["settings"].splitlines()) >= {
        # In what a person is told, an address bears no password.
        "registry=https://***@packages.example/",
        "//packages.example/:_authToken=word",
        "@acme:registry=https://acme.example/",
    }
    assert "any-program" not in got["settings"]
    assert not any("pass-word" in each or "word" in each for each in got["words"])


async def test_where_no_sandbox_can_be_made_that_is_told_and_production_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sandbox, "landlock_version", lambda: 0)
    loose = ToolSandbox(tmp_path, UidAllocator(310_000))
    assert "no Landlock" in await loose.unconfined()
    strict = ToolSandbox(tmp_path, UidAllocator(310_000), production=True)
    with pytest.raises(UpstreamUnreachable, match=r"hosting\.production.*no Landlock") as refused:
        await strict.unconfined()
    assert "kernel" in refused.value.remedy


def processes_called(mark: str) -> list[str]:
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if each.read_bytes().startswith(mark.encode()):
                found.append(each.parent.name)
        except OSError:
            continue
    return found
