"""A real Kubernetes of one node, in namespaces of its own, which leaves nothing behind.

Wanted: root, `etcd`, `containerd`, `runc`, `ip` and the CNI plugins of the system's packages, and
`kubeall`: one binary that is each part of Kubernetes by the name that it is called by.
"""

import asyncio
import base64
import contextlib
import ctypes
import datetime as dt
import ipaddress
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from tests.kubernetes.images import NAME, ClusterImages
from tests.kubernetes.kind import KnownCluster
from tests.kubernetes.needs import PLUGINS, find_kubeall
from tests.kubernetes.node import ADDRESS, PRIVATE

HERE = Path(__file__).parent
SECONDS = 120.0
PREFIX = "gltest-"
"""Of what a cluster has outside of its namespaces, before the pid of whoever runs it."""
NEW_NETWORK = 0x40000000
PARTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")


class TestCluster:
    """A cluster that runs: where its files are, and how one gets into its network."""

    __test__ = False

    def __init__(self, folder: Path, pid: int, images: ClusterImages) -> None:
        self.folder, self.images = folder, images
        self.containerd = folder / "s"
        self.kubeconfig = folder / "kubeconfig"
        self._network = f"/proc/{pid}/ns/net"

    @contextlib.contextmanager
    def network(self) -> Iterator[None]:
        """Sockets and processes that this thread makes meanwhile are of the cluster's network."""
        with Path("/proc/thread-self/ns/net").open() as own, Path(self._network).open() as its:
            _enter(its.fileno())
            try:
                yield
            finally:
                _enter(own.fileno())

    def write_kubeconfig(self, name: str, token: str) -> Path:
        """A kubeconfig of somebody who has this token."""
        at = self.folder / name
        at.write_text(json.dumps(kubeconfig((self.folder / "ca.crt").read_bytes(), token)))
        return at


def _enter(descriptor: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def running_cluster() -> Iterator[TestCluster]:
    """A cluster until the block ends; raises AssertionError with the log of what did not start."""
    _remove_left_behind()
    name = f"{PREFIX}{os.getpid()}"
    groups = [each / name for each in _hierarchies()]
    made = [each for each in PRIVATE if not Path(each).exists()]
    folder = Path(
        tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir="/tmp")
    )  # sockets: the path has to be short
    folder.chmod(0o711)
    try:
        for each in groups:
            each.mkdir()
            _inherit_cpuset(each)
        images = ClusterImages(folder / "images")
        asyncio.run(images.build_all())
        _write_files(folder, name, images.pause)
        with _node(folder) as process:
            for image in (images.pause, images.guest, images.broken):
                asyncio.run(images.bring(image, folder / "s"))
            kubeconfig = str(folder / "gate.kubeconfig")
            KnownCluster(kubeconfig, NAME, images.guest, images.broken).tell()
            yield TestCluster(folder, process, images)
    finally:
        for each in groups:
            _remove_group(each)
        for place in made:
            with contextlib.suppress(OSError):  # another run, or a cluster of the machine's, has it
                Path(place).rmdir()
        shutil.rmtree(folder)


def _remove_left_behind() -> None:
    """What runs that were killed could not remove; their processes died with them."""
    for at in (Path("/tmp"), *_hierarchies()):
        for each in at.glob(f"{PREFIX}*"):
            if not Path("/proc", each.name.removeprefix(PREFIX).partition("-")[0]).exists():
                _remove_group(each) if at != Path("/tmp") else shutil.rmtree(each)


@contextlib.contextmanager
def _node(folder: Path) -> Iterator[int]:
    containerd = shutil.which("containerd") or ""
    command = (
        "unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child",
        "--propagation", "private", sys.executable, str(HERE / "node.py"), str(folder),
        containerd,
    )  # fmt: skip
    log = (folder / "node.log").open("wb")
    with log, subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
    ) as outer:  # fmt: skip
        assert outer.stdin is not None
        assert outer.stdout is not None
        try:
            said = outer.stdout.readline()
            assert said == b"ready\n", (folder / "node.log").read_text()
            yield _child_of(outer.pid)
        finally:
            outer.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                outer.wait(10)
            outer.kill()


def _child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _hierarchies() -> list[Path]:
    top = Path("/sys/fs/cgroup")
    if (top / "cgroup.controllers").exists():
        return [top]
    # Links (cpu -> cpu,cpuacct) would be the same one twice.
    return [each for each in top.iterdir() if each.is_dir() and not each.is_symlink()]


def _inherit_cpuset(group: Path) -> None:
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (group / name).exists() and not (group / name).read_text().strip():
            (group / name).write_text((group.parent / name).read_text())


def _remove_group(group: Path) -> None:
    """It and all below it; processes that were just killed hold it for a moment."""
    end = time.monotonic() + 10
    while group.exists():
        try:
            for at, _, _ in os.walk(group, topdown=False):
                Path(at).rmdir()
        except OSError:
            assert time.monotonic() < end, f"{group} stays"
            time.sleep(0.05)


def _write_files(folder: Path, group: str, image: str) -> None:
    found = find_kubeall()
    assert found is not None
    binary = folder / "kubeall"
    if found.suffix == ".xz":
        with binary.open("wb") as file:
            subprocess.run(("xz", "-dc", found), stdout=file, check=True, timeout=SECONDS)
    else:
        binary.symlink_to(found)
    binary.chmod(0o755)
    for part in PARTS:
        (folder / part).symlink_to(binary)
    token = secrets.token_hex(16)
    (folder / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
    ca = _certificates(folder)
    (folder / "kubeconfig").write_text(json.dumps(kubeconfig(ca, token)))
    (folder / "containerd.toml").write_text(
        _CONTAINERD.format(folder=folder, name=NAME, image=image, plugins=PLUGINS)
    )
    (folder / "kubelet.yaml").write_text(json.dumps({**_KUBELET, "cgroupRoot": f"/{group}"}))
    (folder / "cni").mkdir()
    network = {**_NETWORK, "ipam": {**_ADDRESSES, "dataDir": f"{folder}/addresses"}}
    (folder / "cni" / "10.conflist").write_text(
        json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": [network]})
    )


_CONTAINERD = """version = 2
root = "{folder}/containerd/root"
state = "{folder}/containerd/state"
[grpc]
  address = "{folder}/s"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{name}@{image}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
"""
_KUBELET = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
    "authorization": {"mode": "AlwaysAllow"},
    "address": ADDRESS,
    "cgroupDriver": "cgroupfs",
    "failSwapOn": False,
    "failCgroupV1": False,
    "resolvConf": "/dev/null",
    "imageGCHighThresholdPercent": 100,
    "evictionHard": {
        "memory.available": "100Mi", "nodefs.available": "0%", "nodefs.inodesFree": "0%",
        "imagefs.available": "0%",
    },
    "enforceNodeAllocatable": [],
    "serializeImagePulls": False,
}  # fmt: skip
_NETWORK = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False}
_ADDRESSES = {
    "type": "host-local",
    "ranges": [[{"subnet": "10.200.0.0/24", "rangeStart": "10.200.0.10"}]],
    "routes": [{"dst": "0.0.0.0/0"}],
}


def kubeconfig(ca: bytes, token: str) -> dict[str, object]:
    """JSON is YAML."""
    cluster = {
        "server": f"https://{ADDRESS}:6443",
        "certificate-authority-data": base64.b64encode(ca).decode(),
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }


def _certificates(folder: Path) -> bytes:
    """A certificate for the API server, which is its own authority; and the accounts' key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(ADDRESS))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    accounts = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (folder / "api.key").write_bytes(_pem(key))
    (folder / "accounts.key").write_bytes(_pem(accounts))
    for name_of_file in ("api.crt", "ca.crt"):
        (folder / name_of_file).write_bytes(made)
    return made


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
