"""What a machine has to have for a cluster of its own."""

import os
import shutil
import sys
from pathlib import Path

PLUGINS = "/usr/lib/cni"
_NEEDED = ("etcd", "containerd", "ctr", "runc", "ip", "unshare", "xz")


def find_kubeall() -> Path | None:
    """The binary, perhaps packed: named by GATELODGE_KUBEALL, or kept beside the checkout."""
    named = os.environ.get("GATELODGE_KUBEALL")
    if named:
        return Path(named)
    for above in Path(__file__).parents:
        for at in (above / "tools", above / "shared" / "tools"):
            for name in ("kubeall-1.34", "kubeall-1.34.xz"):
                if (found := at / "kubernetes" / name).is_file():
                    return found
    return None


def missing() -> str:
    """What this machine lacks to run a cluster; empty when it lacks nothing."""
    if os.geteuid() != 0:
        return "root"
    absent = [name for name in _NEEDED if shutil.which(name) is None]
    absent += [] if Path(PLUGINS, "bridge").is_file() else ["the CNI plugins"]
    found = find_kubeall()
    absent += [] if found is not None and found.is_file() else ["kubeall (GATELODGE_KUBEALL)"]
    return ", ".join(absent)


if __name__ == "__main__":  # `make kubernetes` asks before it runs anything
    lacking = missing()
    sys.exit(f"this machine lacks {lacking}" if lacking else 0)
