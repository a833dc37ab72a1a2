"""What a container is made with: all is said, since engines' defaults differ and are wide."""

import json
from typing import Any, Final

from msgspec import Struct

from gatelodge.adapters.runtime.docker.engine import EngineTraits
from gatelodge.core.hosting.limits import InstanceLimits

MARK: Final = "dev.gatelodge.mark"
"""Label: whose containers these are. Labels show to whoever may list them, so no secret is one."""
SERVER: Final = "dev.gatelodge.server"
INSTANCE: Final = "dev.gatelodge.instance"
UID: Final = 10_001
SECRETS: Final = "/run/secrets"
_SCRATCH: Final = "rw,noexec,nosuid,nodev,mode=1777"
_OPEN_FILES = 1024
_USER_PROCESSES = 4096
"""Per uid, which several containers may share; the control group holds each one's own limit."""
_RANGE = 65_536
"""Uids of one container's own (Podman)."""


class ContainerPlan(Struct, frozen=True, kw_only=True):
    """One container. `image` is the engine's id; `secrets` a directory of this machine, or empty.

    `profile` is what the engine takes as a seccomp profile, empty for its own default; `own_range`
    asks for uids that no other container has. `volumes` are places of the image that would be kept
    on disk: they are kept in memory.
    """

    image: str
    command: tuple[str, ...]
    env: dict[str, str]
    cwd: str
    limits: InstanceLimits
    labels: dict[str, str]
    profile: str = ""
    secrets: str = ""
    own_range: bool = False
    volumes: tuple[str, ...] = ()
    names: str = ""
    """A file of this machine that becomes /etc/resolv.conf, empty for what the engine has."""


def container_body(plan: ContainerPlan, traits: EngineTraits) -> dict[str, Any]:
    """The body of `POST /containers/create`; holds resolved secrets, and is kept nowhere."""
    return {
        "Image": plan.image,
        "Entrypoint": list(plan.command),
        "Cmd": [],
        "Env": [f"{name}={value}" for name, value in plan.env.items()],
        "WorkingDir": plan.cwd,
        "User": f"{UID}:{UID}",
        "Labels": plan.labels,
        "OpenStdin": True,
        # Without it Docker keeps the input open when ours is closed, or when we are gone.
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        "StopTimeout": 1,
        # An image's own would have the engine run commands in it that nobody approved.
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": _host_config(plan, traits),
    }


def _host_config(plan: ContainerPlan, traits: EngineTraits) -> dict[str, Any]:
    limits = plan.limits
    security = ["no-new-privileges"]
    if plan.profile:
        security.append(f"seccomp={plan.profile}")
    return {
        "NetworkMode": "none",
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "UsernsMode": f"auto:size={_RANGE}" if plan.own_range else "",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": security,
        # The input is closed first, which ends servers; a foreign first process helps nobody then.
        "Init": False,
        "Memory": limits.memory_mib << 20,
        "MemorySwap": limits.memory_mib << 20,
        "PidsLimit": limits.processes,
        "NanoCpus": int(limits.cpus * 1e9),
        "OomScoreAdj": 500,
        "ShmSize": limits.tmp_mib << 20,
        "Tmpfs": _scratch(plan, traits),
        "Mounts": _mounts((plan.secrets, SECRETS), (plan.names, "/etc/resolv.conf")),
        "Ulimits": [
            {"Name": name, "Soft": most, "Hard": most}
            for name, most in (("nofile", _OPEN_FILES), ("nproc", _USER_PROCESSES), ("core", 0))
        ],
        # Else every byte of the traffic would be written to the engine's logs.
        "LogConfig": {"Type": "none"},
        "RestartPolicy": {"Name": "no"},
    }


def _scratch(plan: ContainerPlan, traits: EngineTraits) -> dict[str, str]:
    size = f"{_SCRATCH},size={plan.limits.tmp_mib}m"
    places = ["/tmp", *plan.volumes]  # noqa: S108 - inside the container
    if traits.kind == "podman":
        # Podman makes these writable by itself, without a size and with exec.
        places += ["/run", "/var/tmp"]  # noqa: S108
    return dict.fromkeys(places, size)


def _mounts(*wanted: tuple[str, str]) -> list[dict[str, Any]]:
    return [
        {"Type": "bind", "Source": source, "Target": target, "ReadOnly": True}
        for source, target in wanted
        if source
    ]


def docker_profile(profile: dict[str, Any]) -> str:
    """A seccomp profile as Docker takes it: the JSON text."""
    return json.dumps(profile, separators=(",", ":"))
