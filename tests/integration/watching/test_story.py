"""What standard error tells of a bad half minute, and what it does not."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from tests.gate import Gate
from tests.integration.watching.scraping import get
from tests.stage import Stage
from tests.upstreams.acts import Acting
from tests.wire import until

pytestmark = pytest.mark.slow
LOCKED_SECONDS = 15.0
LINES = 12


def locked(gate: Gate, seconds: float) -> set[int]:
    """Keep its database locked for so long; what `/readyz` answered meanwhile."""
    seen = set()
    with closing(sqlite3.connect(gate.directory / "gatelodge.db", isolation_level=None)) as other:
        other.execute("PRAGMA busy_timeout = 20000")
        other.execute("BEGIN IMMEDIATE")
        ends = time.monotonic() + seconds

        def over() -> bool:
            seen.add(get(gate, "/readyz").status)
            return time.monotonic() > ends

        until(over)
        other.execute("ROLLBACK")
    return seen


def test_a_dead_server_a_locked_database_and_a_bad_token_are_told_in_a_dozen_lines(tmp_path: Path):
    stage = Stage(tmp_path / "gate")
    web = stage.servers.open(Acting())
    try:
        with stage.gate.running() as gate:
            place = stage.place("team")
            place.serve("web", web.url)
            ada = place.admit("ada-secret", web="all")
            until(lambda: "web__echo" in place.client(ada).tools())
            begins = len(gate.stderr)

            stage.servers.stop(web)
            place.client(ada).call("web__echo", {"word": "payload-secret"})
            assert gate.client("token-secret", place.path).post(b"{}").status == 401
            until(lambda: "server web" in gate.stderr[begins:])
            answers = locked(gate, LOCKED_SECONDS)
            until(lambda: get(gate, "/readyz").status == 200)
            assert get(gate, "/healthz").status == 200

            told = gate.stderr[begins:]
            assert len(told.splitlines()) <= LINES, told
            assert "server web" in told
            assert "a sign-in was refused" in told
            assert 503 in answers, "it says that it is not ready while it changes nothing"
            assert "store" in told, told
            metrics = get(gate, "/metrics", gate.token)
            assert metrics.status == 200
            for secret in ("ada-secret", "payload-secret", "token-secret", ada):
                assert secret not in told + metrics.body.decode()
    finally:
        stage.servers.close()
