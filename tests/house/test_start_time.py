"""Commands that need no gate start without the heavy parts."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.house.source import ROOT, told

HEAVY = (
    "sqlalchemy", "alembic", "litestar", "uvicorn", "httpx", "mcp", "cedarpy", "psycopg",
    "prometheus_client", "opentelemetry",
)  # fmt: skip

LIGHT = (
    ("--help",),
    ("--version",),
    ("audit", "verify", "--help"),
    ("config", "show", "--help"),
)

PROBE = """
import sys
from gatelodge.cli.main import run
code = run(sys.argv[2:])
heavy = [name for name in sys.argv[1].split(",") if name in sys.modules]
print("exit", code, "loaded", ",".join(heavy) or "none", file=sys.stderr)
"""


@pytest.mark.parametrize("name", ["psycopg", "prometheus_client", "opentelemetry"])
def test_a_gate_does_not_load_what_only_some_need(tmp_path: Path, name: str):
    """PostgreSQL's driver is for several nodes, the metrics' library for the first scrape, and
    OpenTelemetry for whoever wants traces.
    """
    script = f"import sys; import gatelodge.app.run; print({name!r} in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert ran.stdout.strip() == "False"


@pytest.mark.parametrize("command", LIGHT, ids=" ".join)
def test_a_light_command_loads_nothing_heavy(command: tuple[str, ...]):
    ran = subprocess.run(
        [sys.executable, "-c", PROBE, ",".join(HEAVY), *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    last = (ran.stderr.strip().splitlines() or [""])[-1]
    assert last == "exit 0 loaded none", told(
        "An auditor's verifier and a shell's completion start at once and need no database.",
        [" ".join(command), last],
        "import the heavy part where it is used, below the command.",
    )
