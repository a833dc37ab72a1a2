"""The verifier is what an auditor runs: it brings no server, no database and no protocol along."""

import subprocess
import sys


def test_the_verifier_loads_nothing_of_the_gate():
    script = (
        "import sys, gatelodge.core.records.verify\n"
        "heavy = {'sqlalchemy', 'litestar', 'mcp', 'psycopg', 'anyio', 'asyncio', 'httptools'}\n"
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    assert ran.stdout.strip() == "[]"
