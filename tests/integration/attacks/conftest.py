"""The gate that these tests share, with limits that are reached in a moment."""

from collections.abc import Iterator

import pytest
from tests.stage import Stage


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A gate of their own."""
    shared = Stage(
        tmp_path_factory.mktemp("attacks") / "gate",
        "limits.call_seconds=4",
        "limits.question_seconds=3",
        "limits.list_seconds=1",
        "limits.parked_per_principal=2",
        "limits.subscriptions=4",
        "limits.batch_messages=4",
        "limits.calls_per_principal=6",
        "limits.person_bytes=262144",
        "upstream.sessions_per_server=24",
    )
    try:
        with shared.gate.running():
            yield shared
    finally:
        shared.servers.close()
