"""What a process in the jail sees of the machine: a new root with just what its plan names.

The standard library only: this runs between fork and exec. The root is a tmpfs that ends read-only;
all of the machine's in it are mounts, so that nothing else can be named: no path, no socket.
"""

import contextlib
import os
import stat
from pathlib import Path
from typing import Any

from gatelodge.adapters.runtime.landlock.calls import (
    NO_DEVICES,
    NO_EXEC,
    NO_SUID,
    READ_ONLY,
    attach_tree,
    make_mounts_private,
    mount_new,
    pivot_root,
    restrict_mount,
    restrict_tree,
    take_tree,
)

_DEVICES = ("null", "zero", "full", "random", "urandom")
_ATTRIBUTES = {
    "run": NO_SUID | NO_DEVICES | READ_ONLY,
    "read": NO_SUID | NO_DEVICES | NO_EXEC | READ_ONLY,
    "write": NO_SUID | NO_DEVICES | NO_EXEC,
    "work": NO_SUID | NO_DEVICES,
    "device": NO_SUID | NO_EXEC,
}
_PLAIN = NO_SUID | NO_DEVICES | NO_EXEC
Rules = list[tuple[str, str]]


def take_trees(plan: dict[str, Any]) -> list[int]:
    """What the plan shows, as descriptors of trees that are mounted nowhere. Raises OSError."""
    return [_taken(source, kind) for source, _, kind in _all_binds(plan)]


def build_scenery(plan: dict[str, Any], trees: list[int] | None = None) -> Rules:
    """Make it the root, and say what of it may be used how. Raises OSError.

    `trees` are those of the plan (`take_trees`), where they were taken before.

    `plan`: `stage` is a directory to build it on, `binds` are (source, target, kind of access),
    `covers` are directories within them to be hidden, `links` are (path, target), `texts` are
    files by path, `own` is the size of what it may write besides, in bytes.
    """
    taken = take_trees(plan) if trees is None else trees
    shown = zip(taken, _all_binds(plan), strict=True)
    binds = [(tree, target, kind) for tree, (_, target, kind) in shown]
    make_mounts_private()
    top = plan["stage"]
    mount_new("tmpfs", top, NO_SUID | NO_DEVICES, "size=1M,nr_inodes=4096,mode=755")
    _mount_own(top, plan["own"])
    for path, text in plan["texts"].items():
        _write_file(top + path, text)
    for path, target in plan["links"]:
        _make_parents(top + path)
        Path(top + path).symlink_to(target)
    covers = [f"{top}{path}" for path in plan["covers"]]
    late = [each for each in binds if _is_within(each[1], plan["covers"])]
    for each in binds:
        if each not in late:
            _attach(top, *each)
    for path in covers:
        mount_new("tmpfs", path, _PLAIN, "size=64k,nr_inodes=16,mode=755")
    for each in late:
        _attach(top, *each)
    for path in (*covers, f"{top}/dev", f"{top}/run"):
        restrict_mount(path, READ_ONLY)
    restrict_mount(top, READ_ONLY)
    pivot_root(top)
    return _rules(plan)


def _all_binds(plan: dict[str, Any]) -> list[tuple[str, str, str]]:
    devices = [(f"/dev/{name}", f"/dev/{name}", "device") for name in _DEVICES]
    return [*(tuple(each) for each in plan["binds"]), *devices]


def _taken(source: str, kind: str) -> int:
    tree = take_tree(source)
    restrict_tree(tree, _ATTRIBUTES[kind], source)
    return tree


def _mount_own(top: str, size: int) -> None:
    """What is new for each instance: its processes, its devices, and what it may write."""
    for name in ("proc", "dev", "tmp", "run"):
        Path(f"{top}/{name}").mkdir()
    # Where something is mounted over this machine's own /proc a whole one is not given out: then
    # there is none.
    with contextlib.suppress(PermissionError):
        mount_new("proc", f"{top}/proc", _PLAIN)
        # The filter of system calls refuses namespaces, too.
        with contextlib.suppress(OSError):
            Path(f"{top}/proc/sys/user/max_user_namespaces").write_text("0")
        restrict_mount(f"{top}/proc", READ_ONLY)
    # Each file takes memory of the kernel beside its bytes.
    room = f"size={size},nr_inodes={max(1024, size >> 12)},mode=1777"
    mount_new("tmpfs", f"{top}/tmp", _PLAIN, room)  # noqa: S108 - its own
    mount_new("tmpfs", f"{top}/run", _PLAIN, "size=1M,nr_inodes=256,mode=755")
    mount_new("tmpfs", f"{top}/dev", NO_SUID | NO_EXEC, "size=64k,nr_inodes=64,mode=755")
    shared = f"{top}/dev/shm"  # noqa: S108 - its own
    Path(shared).mkdir()
    mount_new("tmpfs", shared, _PLAIN, room)
    for name, target in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        Path(f"{top}/dev/{name}").symlink_to(f"/proc/self/{target}")


def _attach(top: str, tree: int, target: str, kind: str) -> None:
    """Mount what was taken, on a directory or a file that is made for it where none is."""
    at = Path(top + target)
    if not at.exists():
        _make_parents(str(at))
        if kind != "device" and _is_directory(tree):
            at.mkdir()
        else:
            at.touch()
    attach_tree(tree, str(at))
    os.close(tree)


def _is_directory(tree: int) -> bool:
    return stat.S_ISDIR(os.fstat(tree).st_mode)


def _write_file(path: str, text: str) -> None:
    _make_parents(path)
    at = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
    try:
        with os.fdopen(at, "w") as file:
            file.write(text)
    except UnicodeEncodeError as bad:
        raise ValueError(path) from bad


def _make_parents(path: str) -> None:
    Path(path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)


def _is_within(path: str, folders: list[str]) -> bool:
    return any(path == each or path.startswith(f"{each}/") for each in folders)


def _rules(plan: dict[str, Any]) -> Rules:
    """The second border: what Landlock allows is what the mounts allow, and not the root itself."""
    own = [("/tmp", "write"), ("/dev/shm", "write")]  # noqa: S108 - its own
    own += [(each, "read") for each in ("/proc", "/dev", "/run")]
    texts = [(path, "read") for path in plan["texts"]]
    return [*((target, kind) for _, target, kind in _all_binds(plan)), *own, *texts]
