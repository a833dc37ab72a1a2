"""Policy texts given to a process of their own, which tells at which of them it ended."""

import json
import subprocess
import sys
from pathlib import Path

from gatelodge.core.errors import Invalid
from gatelodge.core.policy.extent import check_extent

ROOT = Path(__file__).parents[3]


def survives(texts, kib):
    """Fail with the text at which a process that reads all of them with this stack ended."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.unit.policy.parsing_child", str(kib)],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        check=False,
    )
    seen = ran.stdout.split()
    at = texts[int(seen[-1])][:300] if seen and seen[-1] != "end" else ran.stderr[-2000:]
    assert (ran.returncode, seen[-1:]) == (0, ["end"]), at


def accepted(text, levels):
    try:
        check_extent(text, levels)
    except Invalid:
        return False
    return True
