"""Servers in a real cluster: started behind a bridge, spoken to, and ended without a trace."""

import asyncio
import re
import signal
import ssl

import pytest
from tests.kubernetes.gate import NAMESPACE, ClusterGate, admin
from tests.upstreams.pools import until

from gatelodge.adapters.runtime.kubernetes.connection import connect_bridge
from gatelodge.adapters.runtime.kubernetes.credentials import make_credentials
from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.hosting.limits import InstanceLimits

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_an_instance_is_spoken_to_and_nothing_of_it_stays(gate):
    guest = await gate.start("m", "serve", env={"TOKEN": "t"}, files={"key.pem": "a secret"})
    assert await guest.ask("echo", "a", 1) == ["a", 1]
    found = await guest.ask("facts")
    assert found["env"] == {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp",
        "TMPDIR": "/tmp", "OF": "image", "TOKEN": "t",
    }  # fmt: skip
    assert [name.split(":")[0] for name in found["files"]] == ["pipe"] * 3
    assert found["sid"] == found["pid"]
    assert await guest.ask("read", "/run/secrets/key.pem") == "a secret"
    assert gate.runtime.instances() == (guest.instance,)
    taken = await guest.instance.stats()
    assert taken.memory_bytes > 1 << 20
    assert taken.processes == 1
    await guest.instance.stop()
    assert guest.instance.status == 0
    assert guest.output.ended
    assert gate.objects() == set()
    assert gate.runtime.instances() == ()


async def test_its_facts_are_what_was_admitted_and_what_was_read_within(gate):
    facts = (await gate.start("m", "serve")).instance.facts
    assert facts.source == "declared"
    assert (facts.capabilities, facts.seccomp, facts.no_new_privileges) == ("0", True, True)
    assert facts.root_read_only
    assert set(facts.writable) <= {"/tmp", "/dev/shm", "/dev/mqueue", "/dev/termination-log"}
    assert set(facts.namespaces) >= {"pid", "net", "mnt", "ipc", "uts"}
    assert (facts.memory_bytes, facts.processes, facts.cpus) == (256 << 20, 64, 1.0)
    assert facts.uid > 10_000


async def test_a_cluster_that_enforces_no_egress_policy_is_told_so_and_starts_nothing(gate):
    """The network plugin of this cluster is a plain bridge, which knows no policies."""
    with pytest.raises(UpstreamUnreachable, match="egress policy is not enforced") as refused:
        await gate.start("m", "serve", tier="weak")
    # The API, and the port that the gate opened for it.
    assert re.search(r"10\.200\.0\.1:6443, 10\.200\.0\.1:\d+ was reached", refused.value.detail)
    assert refused.value.remedy
    assert gate.objects() == set()
    offer = await gate.runtime.probe()
    assert offer.tiers == ("none",)
    assert any("EGRESS POLICY IS NOT ENFORCED" in gap.says for gap in offer.gaps)
    told = (await gate.start("m", "serve")).instance.isolation
    assert "egress policy is not enforced" in told


async def test_a_node_without_user_namespaces_does_not_start_what_needs_them(gate):
    """The containerd of this cluster has none."""
    gate.runtime._own_users = True
    with pytest.raises(UpstreamUnreachable, match="no user namespaces") as refused:
        await gate.start("m", "serve", tier="standard")
    assert refused.value.remedy
    assert gate.objects() == set()
    assert (await gate.start("m", "serve")).instance.facts.tier == "none"


async def test_one_that_is_stubborn_is_killed_with_all_that_it_started(gate):
    guest = await gate.start("m", "stubborn")
    await until(lambda: guest.output.lines, "up")
    await guest.instance.stop(0.2)
    assert guest.instance.status == -signal.SIGKILL
    assert gate.objects() == set()


async def test_a_bridge_serves_nobody_without_its_token_and_no_second_gate(gate):
    guest = await gate.start("m", "serve")
    found = await gate.runtime._api.pods(guest.instance.mark.instance)
    address = found[0]["status"]["podIP"]
    with pytest.raises(ssl.SSLError):
        await connect_bridge(address, 8443, make_credentials())
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(address, 8443, ssl=context)
    writer.write(b"not-the-token\np\0\0\0\0")
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()
    assert await guest.ask("echo", "still there") == ["still there"]


async def test_nothing_of_a_server_is_in_logs_arguments_or_labels(gate):
    secret = "s3cret-canary-of-this-test"
    guest = await gate.start("m", "serve", env={"TOKEN": secret}, files={"token": secret})
    await guest.ask("echo", secret)
    from lightkube.resources.apps_v1 import Deployment
    from lightkube.resources.core_v1 import Pod

    with admin(gate.cluster) as client:
        for kind in (Deployment, Pod):
            for each in client.list(kind, namespace=NAMESPACE):
                assert secret not in str(each.to_dict())
        name = next(iter(client.list(Pod, namespace=NAMESPACE))).metadata.name
        assert list(client.log(name)) == []


async def test_a_server_in_javascript_has_the_same_bridge(gate):
    images = gate.cluster.images
    image = await images.build_node()
    await images.bring(image, gate.cluster.containerd)
    guest = await gate.start(image=image, limits=InstanceLimits(processes=128))
    assert await guest.ask("said", 1) == ["said", 1]
    await guest.instance.stop()
    assert guest.instance.status == 4


async def test_an_earlier_run_that_was_killed_leaves_nothing_for_long(gate):
    """Its server ended with its connection; its objects go once a later run knows what there is."""
    guest = await gate.start("m", "stubborn")
    await until(lambda: guest.output.lines, "up")
    guest.instance._connection._transport.abort()
    other = ClusterGate(gate.cluster)
    own = await other.start("m", "serve")
    other.runtime.keep(frozenset({"srv_one"}))
    await until(lambda: len(gate.objects()) == 3, "only its own are there")
    assert await own.ask("echo", 1) == [1]
    await other.end()
    assert gate.objects() == set()
