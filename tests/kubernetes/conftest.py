"""One cluster for all tests of a process, and a gate that has the role of deploy/kubernetes."""

import os
from pathlib import Path

import pytest
from tests.kubernetes.cluster import running_cluster
from tests.kubernetes.gate import ClusterGate, prepare_cluster
from tests.kubernetes.needs import missing


@pytest.fixture
def anyio_backend():
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def whole_cluster():
    lacking = missing()
    if lacking:
        told = f"this machine lacks {lacking}"
        if "kubernetes" in os.environ.get("REQUIRE_RUNTIMES", "").split(","):
            pytest.fail(told)
        pytest.skip(told)
    with running_cluster() as cluster:
        with cluster.network():
            prepare_cluster(cluster)
        yield cluster


@pytest.fixture
def cluster(whole_cluster):
    """The test itself is in the cluster's network, where pods can be reached."""
    with whole_cluster.network():
        yield whole_cluster


@pytest.fixture
async def gate(cluster, tmp_path: Path):
    made = ClusterGate(cluster)
    yield made
    await made.end()
