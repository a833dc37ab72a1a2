"""The end of a server over stdio is the end of all that it started, and of what it left lying."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tests.upstreams import pools
from tests.upstreams.pools import alive, ask, call, make_pool, ready, stdio, text, until

from gatelodge.adapters.runtime.process.supervisor import remove_tree
from gatelodge.config.schema import HostingSettings, UpstreamSettings

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

UNRULY = str(Path(pools.HERE) / "asking" / "unruly.py")
DEBIAN = "/usr/bin/python3"
own = pytest.param(
    "own", marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a child a uid")
)


@pytest.fixture
def room():
    """A directory that every uid may use."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        shutil.copy(UNRULY, f"{folder}/unruly.py")
        yield Path(folder)


def begun(program, *words):
    return subprocess.Popen((sys.executable, "-c", program, *words))


def gone(path):
    return not os.path.lexists(path)


def unruly(room, *words, **fields):
    command = (DEBIAN, f"{room}/unruly.py", *map(str, words))
    return stdio(command=command, **{"era": "legacy", **fields})


def marked(room):
    """The processes that were started from this room."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if f"{room}/unruly.py".encode() in words:
                found.append(int(folder.name))
    return found


@pytest.mark.parametrize("run_as", ["gateway", own])
async def test_a_server_that_forks_away_into_sessions_of_its_own_ends_with_all_its_links(
    room, run_as
):
    hosting = pools.ROOT if run_as == "own" else pools.HOSTING
    pool = make_pool(root=run_as == "own", hosting=hosting)
    at = unruly(room, "chain", 50_000, room / "note", run_as=run_as)
    await ready(pool, at)
    await until((room / "note").exists, "the chain has begun")
    await pool.reconcile(())
    await until(lambda: pool.counts()["children"] == 0, "ended")
    await until(lambda: pool.counts()["tasks"] == 0, "over")
    assert marked(room) == []
    await pool.close()


@pytest.mark.parametrize("run_as", ["gateway", own])
async def test_what_a_killed_gate_had_started_ends_with_it(room, run_as):
    words = f"{room}/note", run_as, str(pools.ROOT.first_uid)
    gate = begun(_GATE, f"{room}/unruly.py", *words)
    try:
        await until((room / "note").exists, "started")
        await until((room / "note").read_text, "told")
        left = int((room / "note").read_text())
        assert alive(left)
    finally:
        gate.send_signal(signal.SIGKILL)
        gate.wait(timeout=10)
    await until(lambda: not alive(left), "the descendant is gone")
    await until(lambda: marked(room) == [], "the server is gone")


_GATE = """
import asyncio, sys
from tests.upstreams import pools
from msgspec.structs import replace

async def main(script, note, run_as, uid):
    hosting = replace(pools.HOSTING, first_uid=int(uid), stop_seconds=0.2)
    pool = pools.make_pool(root=run_as == "own", hosting=hosting)
    command = ("/usr/bin/python3", script, "child", note)
    await pools.ready(pool, pools.stdio(command=command, era="legacy", run_as=run_as))
    await asyncio.sleep(600)

asyncio.run(main(*sys.argv[1:]))
"""


_HANGING = """
import os, subprocess
from gatelodge.adapters.runtime.process import supervisor

# What hangs in the kernel takes no signal, and nothing that a test may start does that.
kill, os.kill, os.killpg = os.kill, lambda *_: None, lambda *_: None
supervisor._KILL_SECONDS = 1.0
hanging = subprocess.Popen(("sleep", "60"), start_new_session=True)
looks, wait = [], os.waitpid
os.waitpid = lambda *given: looks.append(given) or wait(*given)
supervisor._end_all(hanging.pid, 0)
print(len(looks))
kill(hanging.pid, 9)
"""


def test_a_process_that_hangs_in_the_kernel_is_looked_at_now_and_then_until_it_is_given_up():
    words = (sys.executable, "-c", _HANGING)
    told = subprocess.run(words, stdout=subprocess.PIPE, check=True, timeout=30)
    assert 1 < int(told.stdout) <= 1.0 / 0.002


async def test_a_home_however_deep_is_removed_and_the_server_is_started_again(room):
    pool = make_pool(
        upstream=UpstreamSettings(start_seconds=15.0, backoff_seconds=0.1),
        hosting=HostingSettings(stop_seconds=0.2),
    )
    at = unruly(room, "deep", 3000)
    await ready(pool, at)
    home = text(await ask(pool, at, call("where")))
    os.kill(pool.health(at.id).pid, signal.SIGKILL)
    await until(lambda: pool.health(at.id).restarts == 1, "lost")
    await until(lambda: pool.health(at.id).state == "ready", "met again")
    assert gone(home)
    await pool.close()


def test_what_links_lead_to_and_a_directory_without_permissions_are_no_trap(tmp_path):
    tree, kept = tmp_path / "tree", tmp_path / "kept"
    (tree / "a" / "b").mkdir(parents=True)
    kept.mkdir()
    (kept / "file").write_text("stays")
    (tree / "a" / "link").symlink_to(kept)
    (tree / "a" / "b" / "file").write_text("goes")
    (tree / "a" / "b").chmod(0)
    assert remove_tree(str(tree))
    assert not tree.exists()
    assert (kept / "file").read_text() == "stays"
    (tmp_path / "to").symlink_to(kept)
    assert not remove_tree(str(tmp_path / "to"))
    assert (kept / "file").exists()
