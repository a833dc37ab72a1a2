"""What this machine lacks for the weak tier, and what its operator can do about it."""

from pathlib import Path
from typing import Final

from gatelodge.ports.runtime import RuntimeGap

SEE: Final = "See what this machine can isolate: gatelodge doctor."
NO_LANDLOCK: Final = "Use a kernel with Landlock (5.13 or newer, in its list of security modules)."
_SWITCHES: Final = (
    ("user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"),
    ("kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or a profile of AppArmor",
    ),
)
"""What forbids user namespaces, below /proc/sys: the value that does, and what allows them."""
_CONTAINER: Final = (
    "Let the gate make user namespaces: in a container its seccomp profile has to allow it, and "
    "nothing may be mounted over /proc; or choose another runtime (hosting.runtime)."
)
_NAMESPACES: Final = ("unshare", "uid_map")
UNBOUNDED: Final = RuntimeGap(
    "The weak tier limits neither the memory nor the processor time of a server as a whole: only "
    "its processes, its files, and the data of each process.",
    remedy="Where that matters, host a package in the tier standard, which takes runc and root.",
)


def cure_refusal(what: str) -> str:
    """What to do when this step of keeping a server apart was refused (`jail.py` names it)."""
    for name, value, cure in _SWITCHES:
        try:
            found = (Path("/proc/sys") / name).read_text().strip()
        except OSError:
            continue
        if found == value:
            return f"Allow user namespaces: {cure}."
    return _CONTAINER if what.startswith(_NAMESPACES) else SEE
