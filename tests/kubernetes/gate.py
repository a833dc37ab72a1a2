"""A gate's runtime in the test cluster, with the rights of deploy/kubernetes and no others."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightkube
from httpx2.websockets import WebSocketUpgradeError
from lightkube import ApiError
from lightkube.codecs import load_all_yaml
from lightkube.models.authentication_v1 import TokenRequestSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ServiceAccountToken
from msgspec import structs
from tests.kubernetes.cluster import TestCluster
from tests.kubernetes.images import NAME
from tests.upstreams.pools import until

from gatelodge.adapters.runtime.kubernetes.runtime import kubernetes_runtime
from gatelodge.config.schema import HostingSettings
from gatelodge.ports.runtime import LaunchSpec

DEPLOY = Path(__file__).parents[2] / "deploy" / "kubernetes"
NAMESPACE = "gatelodge-instances"


def manifests() -> list[Any]:
    return [each for at in sorted(DEPLOY.glob("*.yaml")) for each in load_all_yaml(at.read_text())]


@contextlib.contextmanager
def admin(cluster: TestCluster) -> Iterator[lightkube.Client]:
    config = lightkube.KubeConfig.from_file(cluster.kubeconfig)
    with lightkube.Client(config, namespace=NAMESPACE, trust_env=False) as client:
        yield client


def prepare_cluster(cluster: TestCluster) -> None:
    """Apply what deploy/kubernetes has, and write the kubeconfig of the gate's service account."""
    with admin(cluster) as client:
        for each in sorted(manifests(), key=lambda found: found.kind != "Namespace"):
            client.create(each)
        wish = TokenRequestSpec(audiences=[], expirationSeconds=3600)
        asked = ServiceAccountToken(metadata=ObjectMeta(), spec=wish)
        made = client.create(asked, "gatelodge", namespace="gatelodge")
    assert made.status is not None
    cluster.write_kubeconfig("gate.kubeconfig", made.status.token)


class HeardOutput(asyncio.Protocol):
    """What came from an instance; while `paused`, its transport is."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.ended = False
        self.transport: Any = None
        self.pause_at = -1

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        if 0 <= self.pause_at <= len(self.data):
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in bytes(self.data).split(b"\n")[:-1]]


class ClusterGate:
    """A runtime, and what it started."""

    def __init__(self, cluster: TestCluster, **settings: Any) -> None:
        self.cluster = cluster
        self.settings = structs.replace(
            HostingSettings(
                kubernetes_config=str(cluster.folder / "gate.kubeconfig"),
                kubernetes_images=NAME,
                stop_seconds=0.3,
            ),
            **settings,
        )
        self.runtime = self.again()

    def again(self) -> Any:
        """Another run of the same gate."""
        return kubernetes_runtime(self.settings, self.cluster.images.store, "mark-of-tests")

    async def start(self, *words: str, **fields: Any) -> "StartedGuest":
        spec = LaunchSpec(
            **{
                "server": "srv_one", "command": words, "env": {}, "tier": "none",
                "image": self.cluster.images.guest, **fields,
            }
        )  # fmt: skip
        output, errors = HeardOutput(), HeardOutput()
        return StartedGuest(await self.runtime.start(spec, output, errors), output, errors)

    async def end(self) -> None:
        for each in self.runtime.instances():
            await each.stop(0.0)
        await self.runtime.close()
        assert self.runtime.instances() == ()

    def objects(self) -> set[str]:
        """All that is in the namespace but what belongs there."""
        from lightkube.resources.apps_v1 import Deployment
        from lightkube.resources.core_v1 import Pod, Secret

        with admin(self.cluster) as client:
            return {
                f"{kind.__name__} {each.metadata.name}"
                for kind in (Deployment, Pod, Secret)
                for each in client.list(kind, namespace=NAMESPACE)
            }


class StartedGuest:
    def __init__(self, instance: Any, output: HeardOutput, errors: HeardOutput) -> None:
        self.instance, self.output, self.errors = instance, output, errors

    async def ask(self, *words: Any) -> Any:
        before = len(self.output.lines)
        self.instance.write(json.dumps(words).encode() + b"\n")
        await until(lambda: len(self.output.lines) > before, f"answered {words[0]}")
        return self.output.lines[before]


def refusal(work: Callable[[], object]) -> int:
    """The status with which the API refuses; 0 when it does not."""
    try:
        work()
    except (ApiError, WebSocketUpgradeError) as failed:
        return int(failed.response.status_code)
    return 0


@contextlib.contextmanager
def changed_cluster(
    cluster: TestCluster, kind: str, name: str, change: dict[str, Any]
) -> Iterator[None]:
    """An object of the namespace is otherwise for a while."""
    from lightkube.resources import core_v1

    resource = getattr(core_v1, kind)
    with admin(cluster) as client:
        before = client.get(resource, name)
        client.patch(resource, name, change)
        try:
            yield
        finally:
            client.patch(resource, name, {"spec": before.spec.to_dict()})
