"""What an administrator applies: valid for current versions, and no right more than is needed."""

import io

import kubernetes_validate
import lightkube
import pytest
import yaml
from tests.kubernetes.gate import DEPLOY, NAMESPACE, refusal

from gatelodge.adapters.runtime.kubernetes.credentials import make_credentials
from gatelodge.adapters.runtime.kubernetes.objects import (
    InstanceMark,
    InstanceShape,
    deployment_object,
    secret_object,
)
from gatelodge.core.hosting.limits import InstanceLimits

BETWEEN = ("1.32", "1.34", "1.36")
VERSIONS = ("1.30", *(pytest.param(each, marks=pytest.mark.slow) for each in BETWEEN), "1.37")
MARK = InstanceMark("gate", "run", "0123", "srv_one")


def applied():
    for at in sorted(DEPLOY.glob("*.yaml")):
        yield from yaml.safe_load_all(io.StringIO(at.read_text()))


def made(*, own_users: bool):
    shape = InstanceShape(
        image=f"registry.example.com/mcp@sha256:{'0' * 64}",
        uid=10_001,
        limits=InstanceLimits(),
        files=("key",),
        runtime_class="gvisor",
        own_users=own_users,
        grace=2.0,
    )
    return deployment_object(MARK, shape), secret_object(
        MARK, "u", make_credentials(), {"key": "k"}
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_all_manifests_are_valid_strictly(version):
    for each in (*applied(), *made(own_users=True), *made(own_users=False)):
        kubernetes_validate.validate(each, version, strict=True)


def test_nothing_of_a_server_but_its_ids_stands_outside_of_the_secret():
    deployment, secret = made(own_users=True)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels == secret["metadata"]["labels"]
    assert set(labels.values()) == {"gatelodge", "gate", "run", "0123", "srv_one"}
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert "env" not in container
    assert secret["metadata"]["ownerReferences"][0]["uid"] == "u"


@pytest.mark.slow
def test_the_gate_may_do_its_work_and_nothing_else(cluster):
    from lightkube.resources.apps_v1 import DaemonSet, Deployment
    from lightkube.resources.core_v1 import Namespace, Node, Pod, Secret, ServiceAccount
    from lightkube.resources.networking_v1 import NetworkPolicy
    from lightkube.resources.rbac_authorization_v1 import Role

    config = lightkube.KubeConfig.from_file(cluster.folder / "gate.kubeconfig")
    with lightkube.Client(config, namespace=NAMESPACE, trust_env=False) as client:
        assert list(client.list(Deployment)) == []
        assert list(client.list(Pod)) == []
        pod = Pod.from_dict(
            {
                "metadata": {"name": "bare"},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            }
        )
        refused = {
            "pods elsewhere": lambda: list(client.list(Pod, namespace="default")),
            "deployments elsewhere": lambda: list(client.list(Deployment, namespace="gatelodge")),
            "nodes": lambda: list(client.list(Node)),
            "namespaces": lambda: list(client.list(Namespace)),
            "all secrets": lambda: list(client.list(Secret, namespace="*")),
            "its own secrets": lambda: list(client.list(Secret)),
            "secrets elsewhere": lambda: client.get(Secret, "any", namespace="kube-system"),
            "a bare pod": lambda: client.create(pod),
            "exec": lambda: client.exec("any", command=["true"]),
            "roles": lambda: list(client.list(Role)),
            "service accounts": lambda: list(client.list(ServiceAccount)),
            "policies": lambda: client.delete(NetworkPolicy, "gatelodge-instances"),
            "other kinds": lambda: list(client.list(DaemonSet)),
        }
        assert {name: refusal(work) for name, work in refused.items()} == dict.fromkeys(
            refused, 403
        )
