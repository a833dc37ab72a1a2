"""Our own seccomp profile, as the OCI runtime specification has it (config-linux, seccomp).

`profile.json` is an allow-list: what is not in it does not exist (ENOSYS), so that programs take
another way as on an older kernel. Engines' own defaults are wider, and each in other places: they
let AF_VSOCK through, which reaches the hypervisor whatever the network namespace, io_uring or
keyctl. `clone` makes no namespace, `clone3` hides its flags from a filter and so is not there,
sockets are of the families unix, inet, inet6 and netlink (route only).
"""

import functools
import platform
from pathlib import Path
from typing import Any, Final

import msgspec

from gatelodge.core.errors import UpstreamUnreachable

PROFILE_FILE: Final = Path(__file__).with_name("profile.json")
_ARCHITECTURES: Final = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}


@functools.cache
def _rules() -> bytes:
    return PROFILE_FILE.read_bytes()


def seccomp_profile(machine: str = "") -> dict[str, Any]:
    """The profile for a machine such as `x86_64`, by default this one.

    Only its own architecture is let in: calls in the manner of another one end the process.
    Raises UpstreamUnreachable for one that the profile was never tried on.
    """
    machine = machine or platform.machine()
    if machine not in _ARCHITECTURES:
        raise UpstreamUnreachable(
            f"No list of system calls is known for a machine of the kind {machine!r}.",
            remedy="Host servers on x86_64 or aarch64.",
        )
    profile: dict[str, Any] = msgspec.json.decode(_rules())
    return {**profile, "architectures": [_ARCHITECTURES[machine]]}
