"""A whole Kubernetes on this machine: PID 1 of namespaces of its own, and all parts below it.

Run by `cluster.py` as root, in new pid, mount and network namespaces. When its input ends, or it is
killed, the kernel kills every process below it and forgets every mount: nothing of it can stay but
its folder and its cgroups, which `cluster.py` removes.
"""

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

ADDRESS = "10.200.0.1"
PRIVATE = ("/run", "/var/log", "/var/lib/cni", "/var/lib/kubelet")
"""Where the parts write whatever they are told; each is an empty one of its own here."""
SECONDS = 60.0


def run(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, timeout=SECONDS)


def private_places():
    for each in PRIVATE:
        Path(each).mkdir(exist_ok=True)
        run("mount", "--no-mtab", "-t", "tmpfs", "tmpfs", each)
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "cni0", "type", "bridge")
    run("ip", "addr", "add", f"{ADDRESS}/24", "dev", "cni0")
    run("ip", "link", "set", "cni0", "up")


def start(folder, name, *words):
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def control_plane(folder):
    start(
        folder, "etcd", "etcd", f"--data-dir={folder}/etcd", "--unsafe-no-fsync",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
    )  # fmt: skip
    start(
        folder, "api", f"{folder}/kube-apiserver", "--etcd-servers=http://127.0.0.1:2379",
        "--authorization-mode=RBAC,Node", f"--token-auth-file={folder}/tokens.csv",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={folder}/accounts.key",
        f"--service-account-key-file={folder}/accounts.key",
        f"--tls-cert-file={folder}/api.crt", f"--tls-private-key-file={folder}/api.key",
        "--secure-port=6443", f"--bind-address={ADDRESS}", f"--advertise-address={ADDRESS}",
        # Names of nodes are in no DNS here.
        "--kubelet-preferred-address-types=InternalIP",
        "--service-cluster-ip-range=10.201.0.0/24", "--allow-privileged=false",
        "--enable-admission-plugins=NodeRestriction",
    )  # fmt: skip
    until(folder, "api", lambda: answers(folder))
    for name, more in (
        ("kube-controller-manager", (f"--service-account-private-key-file={folder}/accounts.key",)),
        ("kube-scheduler", ()),
    ):
        config = f"--kubeconfig={folder}/kubeconfig"
        start(folder, name, f"{folder}/{name}", config, "--leader-elect=false", *more)


def node(folder, containerd):
    start(folder, "containerd", containerd, "-c", f"{folder}/containerd.toml")
    ctr = ("ctr", "-a", f"{folder}/s", "-n", "k8s.io")
    until(folder, "containerd", lambda: not subprocess.call((*ctr, "version"), **QUIET))
    start(
        folder, "kubelet", f"{folder}/kubelet", f"--config={folder}/kubelet.yaml",
        f"--kubeconfig={folder}/kubeconfig", "--hostname-override=node1",
        f"--container-runtime-endpoint=unix://{folder}/s", f"--node-ip={ADDRESS}",
        f"--root-dir={folder}/kubelet.d",
    )  # fmt: skip
    until(folder, "kubelet", lambda: ready(folder))


QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def get(folder, path):
    context = ssl.create_default_context(cafile=f"{folder}/ca.crt")
    headers = {"Authorization": f"Bearer {(folder / 'tokens.csv').read_text().split(',')[0]}"}
    request = urllib.request.Request(f"https://{ADDRESS}:6443{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=5, context=context) as answer:
        return answer.read()


def answers(folder):
    return get(folder, "/readyz") == b"ok"


def ready(folder):
    get(folder, "/api/v1/namespaces/default/serviceaccounts/default")
    status = json.loads(get(folder, "/api/v1/nodes/node1"))["status"]
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status["conditions"])


def until(folder, what, met):
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            if met():
                return
        except (OSError, urllib.error.URLError):
            pass
        time.sleep(0.1)
    log = (folder / f"{what}.log").read_text(errors="replace")
    raise SystemExit(f"{what} did not come up:\n{log[-3000:]}")


def reap():
    """PID 1 inherits the orphans of all."""
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def main(folder, containerd):
    folder = Path(folder)
    private_places()
    control_plane(folder)
    node(folder, containerd)
    print("ready", flush=True)  # noqa: T201 - cluster.py waits for this line
    threading.Thread(target=reap, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal; cluster.py tells by the input
    main(*sys.argv[1:])
