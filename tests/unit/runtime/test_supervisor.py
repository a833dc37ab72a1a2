"""The supervisor's own traps: what cannot be killed, and what cannot be removed."""

import subprocess
import sys

import pytest

from gatelodge.adapters.runtime.process.supervisor import remove_tree

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


@pytest.mark.slow
def test_a_process_that_hangs_in_the_kernel_is_looked_at_now_and_then_until_it_is_given_up():
    words = (sys.executable, "-c", _HANGING)
    told = subprocess.run(words, stdout=subprocess.PIPE, check=True, timeout=30)
    assert 1 < int(told.stdout) <= 1.0 / 0.002


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
