"""The objects of an instance, from approved fields: a Deployment, and the Secret that it owns.

Pure: values in, manifests out. Nothing here is secret but what stands in the Secret; labels hold
ids, the arguments and the environment of the container hold nothing of the server's at all, since
the bridge is told them by its gate.
"""

from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from gatelodge.adapters.runtime.kubernetes.bridge import program, surroundings
from gatelodge.adapters.runtime.kubernetes.credentials import InstanceCredentials
from gatelodge.adapters.runtime.landlock import calls
from gatelodge.core.hosting.limits import InstanceLimits

GATE: Final = "gatelodge.dev/gate"
GENERATION: Final = "gatelodge.dev/generation"
INSTANCE: Final = "gatelodge.dev/instance"
SERVER: Final = "gatelodge.dev/server"
MANAGED: Final = {"app.kubernetes.io/managed-by": "gatelodge"}
"""What network policies of the namespace select by; see deploy/kubernetes."""
PYTHON: Final = "/opt/python/bin/python3"
"""The Python of images that the gate builds."""
FOLDER: Final = "/run/gatelodge"
SECRETS: Final = "/run/secrets"
ACCOUNT: Final = "gatelodge-instance"
"""A service account without any right and without a token; deploy/kubernetes has it."""
GATE_PORT: Final = program.GATE_PORT
_MODULES: Final = (program, surroundings, calls)
"""Of the standard library only: an image may hold nothing else."""
_READ_BY_GROUP: Final = 0o440


class InstanceMark(Struct, frozen=True):
    """By what an instance's objects are found again."""

    gate: str
    generation: str
    instance: str
    server: str

    @classmethod
    def read(cls, labels: dict[str, str]) -> "InstanceMark":
        """From the labels of an object."""
        gate, generation, instance, server = (
            labels.get(each, "") for each in (GATE, GENERATION, INSTANCE, SERVER)
        )
        return cls(gate, generation, instance, server)

    @property
    def name(self) -> str:
        """Of all its objects."""
        return f"gatelodge-{self.instance}"

    def labels(self) -> dict[str, str]:
        """Ids, and nothing else."""
        return {
            **MANAGED,
            GATE: self.gate,
            GENERATION: self.generation,
            INSTANCE: self.instance,
            SERVER: self.server,
        }


class InstanceShape(Struct, frozen=True, kw_only=True):
    """How it is to run."""

    image: str
    """A reference that ends with the digest."""
    uid: int
    limits: InstanceLimits
    files: tuple[str, ...]
    runtime_class: str
    own_users: bool
    """In a user namespace of its own."""
    grace: float


def secret_object(
    mark: InstanceMark, owner: str, credentials: InstanceCredentials, files: dict[str, str]
) -> dict[str, Any]:
    """The instance's credentials, the bridge's own program, and the files of its definition.

    It goes with its owner, the Deployment of this uid.
    """
    data = {
        "token": credentials.token,
        "tls.crt": credentials.certificate,
        "tls.key": credentials.key,
    }
    for module in _MODULES:
        assert module.__file__ is not None
        data[Path(module.__file__).name] = Path(module.__file__).read_text()
    for number, name in enumerate(sorted(files)):
        data[f"file-{number}"] = files[name]
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": mark.name,
            "labels": mark.labels(),
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "Deployment", "name": mark.name, "uid": owner}
            ],
        },
        "type": "Opaque",
        "immutable": True,
        "stringData": data,
    }


def deployment_object(mark: InstanceMark, shape: InstanceShape) -> dict[str, Any]:
    """One instance: never two at a time, never restarted into a running server by anybody.

    What a controller makes anew is a bridge, which starts nothing until its gate says so.
    """
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": mark.name, "labels": mark.labels()},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "revisionHistoryLimit": 0,
            "selector": {"matchLabels": {INSTANCE: mark.instance}},
            "template": {
                "metadata": {"labels": mark.labels()},
                "spec": _instance_spec(mark, shape),
            },
        },
    }


def _instance_spec(mark: InstanceMark, shape: InstanceShape) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "serviceAccountName": ACCOUNT,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # No name of the cluster is looked up from here.
        "dnsPolicy": "Default",
        "terminationGracePeriodSeconds": max(1, round(shape.grace * 2) + 1),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": shape.uid,
            "runAsGroup": shape.uid,
            "fsGroup": shape.uid,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_server_container(shape)],
        "volumes": [
            _secret_volume("gate", mark.name, _gate_items()),
            _secret_volume(
                "files",
                mark.name,
                [
                    {"key": f"file-{number}", "path": name}
                    for number, name in enumerate(sorted(shape.files))
                ],
            ),
            {
                "name": "tmp",
                "emptyDir": {"medium": "Memory", "sizeLimit": f"{shape.limits.tmp_mib}Mi"},
            },
        ],
    }
    if not shape.files:
        del spec["volumes"][1]
    if shape.own_users:
        spec["hostUsers"] = False
    if shape.runtime_class:
        spec["runtimeClassName"] = shape.runtime_class
    return spec


def _gate_items() -> list[dict[str, str]]:
    """The bridge is a module below its folder, by the name that it has here."""
    items = [{"key": key, "path": key} for key in ("token", "tls.crt", "tls.key")]
    for module in _MODULES:
        path = f"{module.__name__.replace('.', '/')}.py"
        items.append({"key": path.rpartition("/")[2], "path": path})
    return items


def _secret_volume(name: str, secret: str, items: list[dict[str, str]]) -> dict[str, Any]:
    """Kept in memory by the node."""
    return {
        "name": name,
        "secret": {"secretName": secret, "defaultMode": _READ_BY_GROUP, "items": items},
    }


def _server_container(shape: InstanceShape) -> dict[str, Any]:
    amounts = {"memory": f"{shape.limits.memory_mib}Mi", "cpu": f"{shape.limits.cpus:g}"}
    mounts: list[dict[str, Any]] = [
        {"name": "gate", "mountPath": FOLDER, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the instance's own
    ]
    if shape.files:
        mounts.append({"name": "files", "mountPath": SECRETS, "readOnly": True})
    return {
        "name": "server",
        "image": shape.image,
        "imagePullPolicy": "IfNotPresent",
        # Neither the environment of the cluster nor packages of the image have a say in it.
        "command": [PYTHON, "-E", "-s", "-S", "-B", "-m", program.__name__, FOLDER],
        "workingDir": FOLDER,
        "resources": {"limits": amounts, "requests": amounts},
        "ports": [{"name": "gate", "containerPort": program.GATE_PORT}],
        "readinessProbe": _probe("/readyz", 2),
        "livenessProbe": _probe("/healthz", 20),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def _probe(path: str, seconds: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": program.HEALTH_PORT},
        "periodSeconds": seconds,
        "timeoutSeconds": 3,
        "failureThreshold": 3,
    }
