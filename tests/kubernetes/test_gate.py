"""A gate whose hosted servers run in a cluster: built, called, and ended, with its own role."""

import asyncio
import time
from pathlib import Path

import pytest
from tests.gate import CACHES, Gate
from tests.integration.admin_house import House, W
from tests.integration.clients.sdk import MODERN, speaking
from tests.integration.hosting.gates import build_image, host, hosting_gate
from tests.kubernetes.cluster import TestCluster
from tests.kubernetes.gate import NAMESPACE, admin
from tests.kubernetes.images import NAME, bring_archive
from tests.leaves import leaves_of

from gatelodge.adapters.images.store import image_store
from gatelodge.adapters.keys.system import SystemClock

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SOURCE = "pypi:mcp-server-time@2026.10.19"


def cluster_gate(cluster: TestCluster, directory: Path) -> Gate:
    return hosting_gate(
        directory,
        "hosting.runtime=kubernetes",
        f"hosting.kubernetes_images={NAME}",
        f"hosting.kubernetes_config={cluster.folder}/gate.kubeconfig",
        "upstream.backoff_seconds=0.05",
    )


def bring(gate: Gate, image: str, cluster: TestCluster) -> None:
    """As one brings an image to a registry that the nodes know."""
    store = image_store(gate.directory, CACHES, SystemClock())
    bring_archive(asyncio.run(store.archive(image)), cluster.containerd)


@pytest.fixture
def house(cluster, tmp_path):
    gate = cluster_gate(cluster, tmp_path / "data")
    image = build_image(gate)
    bring(gate, image, cluster)
    with gate.running():
        made = House(gate)
        host(made, "clustered", image, tier="none")
        yield made


@pytest.mark.guarantee("isolation:attested")
def test_a_member_calls_a_server_that_runs_as_a_pod(house, cluster):
    answer = house.gate.client(house.tokens["member"]).call("clustered__whoami", {})
    assert "pid" in answer.json["result"]["content"][0]["text"]
    (found,) = house.ok("GET", f"{W}/instances?server=clustered")["items"]
    told = house.ok("GET", f"{W}/instances/{found['id']}")
    assert "seccomp=yes" in told["facts"]
    assert "source=declared" in told["facts"]
    ((_, phase),) = pods(cluster)
    assert phase == "Running"


def pods(cluster: TestCluster) -> set[tuple[str, str]]:
    from lightkube.resources.core_v1 import Pod

    with admin(cluster) as client:
        found = client.list(Pod, namespace=NAMESPACE)
        return {(each.metadata.name, each.status.phase) for each in found}


def until(seen):
    end = time.monotonic() + 60
    while not (found := seen()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


@pytest.fixture
def built(whole_cluster, tmp_path) -> Gate:
    """A gate that built a package: outside of the cluster's network, which leads nowhere."""
    gate = cluster_gate(whole_cluster, tmp_path / "data")
    with gate.running():
        job = gate.api("POST", f"{W}/artifacts", {"source": SOURCE}, local=True)

        def ended():
            found = gate.api("GET", f"/jobs/{job['id']}", local=True)
            return found if found["ended_at"] else None

        result = until(ended)
        assert result["result"], result
        (image,) = gate.cli("image", "list")
    bring(gate, image["image"], whole_cluster)
    return gate


@pytest.mark.guarantee("isolation:attested")
def test_a_package_is_built_called_as_a_pod_and_gone_after_its_gate_was_killed(built, cluster):
    with built.running():
        added = built.cli("server", "add", SOURCE, "--tier", "none")
        assert "get_current_time" in {each["name"] for each in added["tools"]}
        house = House(built)
        built.cli("server", "approve", "time", "--yes")
        built.cli("grant", "add", "--everyone", "--server", "time", "--level", "all")
        assert "Asia/Tokyo" in call(house)
        (found,) = house.ok("GET", f"{W}/instances?server=time")["items"]
        (leaf,) = until(lambda: leaves(built, "instance.started", found["id"]))
        assert leaf["tier"] == "none"
        assert "source=declared" in leaf["facts"]
        before = pods(cluster)
        assert len(before) == 1
        built.kill()
        built.start()
        until(lambda: not before & pods(cluster))
        (leaf,) = until(lambda: leaves(built, "instance.stopped", found["id"]))
        assert leaf["reason"] == "gateway_restart"
        assert "Asia/Tokyo" in call(house)
    until(lambda: pods(cluster) == set())


def leaves(gate: Gate, kind: str, ident: str) -> list[dict]:
    found = leaves_of(gate.directory)
    return [each for each in found if (each["t"], each.get("instance")) == (kind, ident)]


def call(house: House) -> str:
    """What the server answers to the client of the official SDK."""

    async def ask() -> str:
        url = f"http://127.0.0.1:{house.gate.port}/k/main/mcp"
        async with speaking(MODERN, url, house.tokens["member"]) as session:
            await session.list_tools()
            given = {"timezone": "Asia/Tokyo"}
            told = await session.call_tool("time__get_current_time", given)
            assert not told.is_error, told
            return told.content[0].text

    return asyncio.run(ask())
