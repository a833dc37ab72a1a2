"""Why an instance did not come up, or ended, in words that say what to do about it."""

import pytest
from msgspec import structs
from tests.kubernetes.gate import NAMESPACE, ClusterGate, admin, changed_cluster
from tests.upstreams.pools import until

from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.hosting.limits import InstanceLimits
from gatelodge.ports.images import ImageConfig

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

ABSENT = f"sha256:{'a' * 64}"


class OtherImages:
    """An image store that says of any image what it is told to."""

    def __init__(self, *command: str) -> None:
        self.command = command

    async def config(self, image: str) -> ImageConfig:
        return ImageConfig(image=image, source="test:one", command=self.command, env={})


async def fails(gate: ClusterGate, told: str, *words: str, **fields: object) -> UpstreamUnreachable:
    with pytest.raises(UpstreamUnreachable, match=told) as failed:
        await gate.start(*words, **fields)
    assert failed.value.remedy
    assert gate.objects() == set()
    assert gate.runtime.instances() == ()
    return failed.value


async def test_an_image_that_is_nowhere_is_told(gate):
    gate.runtime._images = OtherImages("/one")
    failed = await fails(gate, "image cannot be pulled", image=ABSENT)
    assert "registry" in failed.remedy


async def test_a_program_that_is_not_there_is_told(gate):
    gate.runtime._images = OtherImages("/app/absent")
    await fails(gate, "'/app/absent' could not be started: No such file")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"image": ""}, "program of this machine"),
        ({"egress": ("api.example.com:443",)}, "knows no names"),
        ({"tier": "strong"}, "runtime class"),
        ({"files": {"../up": "x"}}, "Secret"),
    ],
)
async def test_what_no_cluster_can_do_is_refused_before_anything_is_asked(gate, fields, told):
    await fails(gate, told, **fields)


async def test_a_used_up_quota_is_told_with_what_to_do(gate):
    quota = {"hard": {"limits.memory": "1Gi"}}
    with changed_cluster(gate.cluster, "ResourceQuota", "gatelodge-instances", {"spec": quota}):
        failed = await fails(gate, "quota", "m", "serve", limits=InstanceLimits(memory_mib=2048))
    assert "quota" in failed.remedy


async def test_what_asks_for_more_than_any_node_has_is_told(gate, monkeypatch):
    monkeypatch.setattr("gatelodge.adapters.runtime.kubernetes.launch._START_SECONDS", 3.0)
    await fails(gate, "No node takes it.*cpu", "m", "serve", limits=InstanceLimits(cpus=90))


async def test_a_server_that_takes_more_memory_than_it_may_is_known_to_have_and_ends_alone(gate):
    other = await gate.start("m", "serve", server="srv_two", limits=InstanceLimits(cpus=0.4))
    guest = await gate.start("m", "serve", limits=InstanceLimits(memory_mib=64, cpus=0.4))
    guest.instance.write(b'["take", 4096]\n')
    await until(lambda: guest.instance.status is not None, "ended")
    assert guest.instance.status == -9
    await until(lambda: guest.instance.ending, "told")
    assert guest.instance.ending == "out of memory"
    assert await other.ask("echo", "still here") == ["still here"]
    assert (other.instance.status, other.instance.ending) == (None, "")


async def test_a_pod_that_was_removed_ends_its_instance_with_that_reason(gate):
    guest = await gate.start("m", "stubborn")
    await until(lambda: guest.output.lines, "up")
    from lightkube.resources.apps_v1 import Deployment

    with admin(gate.cluster) as client:
        client.delete(Deployment, guest.instance.mark.name, namespace=NAMESPACE)
    await until(lambda: guest.instance.status is not None, "ended")
    await until(lambda: guest.output.ended and guest.instance.closed, "its output ends")
    await until(lambda: guest.instance.ending == "its pod was removed", "told")


async def test_a_cluster_that_does_not_answer_is_told(gate):
    gate.settings = structs.replace(gate.settings, kubernetes_config="/no/such/file")
    gate.runtime = gate.again()
    await fails(gate, "configuration of the cluster", "m", "serve")
