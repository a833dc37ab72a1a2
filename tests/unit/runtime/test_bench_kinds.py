"""The ways in which the benchmark runs a server are made as the gate makes them."""

import pytest
from bench.hosting.kinds import KINDS, HostedKind, image_of_server

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_way_of_the_benchmark_can_be_made(kind: HostedKind, tmp_path):
    if kind.absent():
        pytest.skip(kind.absent())
    images, _ = image_of_server(tmp_path / "data", str(tmp_path / "caches"))
    assert kind.made(images, tmp_path) is not None
