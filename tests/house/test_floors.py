"""The import contracts of `.importlinter` hold."""

import os
import subprocess
import sys

from tests.house.source import ROOT, told


def test_every_import_points_downward():
    """Floors, purity, strangers, circles and drivers (decision 0001), in one run."""
    linter = "from importlinter.cli import lint_imports_command as run; run()"
    command = [sys.executable, "-c", linter, "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "120"}
    ran = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=50, env=environment, check=False
    )
    report = ran.stdout[ran.stdout.find("Contracts\n") :] + ran.stderr
    assert ran.returncode == 0, told(
        "An import breaks a contract: floors keep decisions testable without the world.",
        report.splitlines(),
        "move the code to the floor it belongs to, or let the thing come in through a port.",
    )
