"""The files of an image as one tree in memory: its layers put on each other, links followed in it.

A link that leads out of the tree leads to the tree's own root, as it does for a program that runs
in it; so no name of a layer can mean a place on this machine.
"""

from collections.abc import Iterable
from typing import Final, TypeAlias

from msgspec import Struct

from gatelodge.adapters.images.members import LayerMember, refused

_MOST_LINKS = 40
"""As many as the kernel follows."""


class TreeFile(Struct, frozen=True, kw_only=True):
    """A file by the digest of its content in hex, or a symbolic link with its target."""

    digest: str = ""
    executable: bool = False
    target: str = ""


MOUNT_POINTS: Final = ("dev", "proc", "run", "sys", "tmp")
"""Are in each root: nobody can make them in it once it is laid."""

TreeFolder: TypeAlias = dict[str, "TreeFolder | TreeFile"]


def merge_layers(layers: Iterable[tuple[LayerMember, ...]]) -> TreeFolder:
    """The tree that the layers make, the lowest first. Raises UpstreamUnreachable."""
    root: TreeFolder = {}
    for members in layers:
        # A layer hides what stands below it, never what it brings itself, whatever its order.
        for member in members:
            if member.kind in ("whiteout", "opaque"):
                _hide_lower(root, member)
        for member in members:
            if member.kind not in ("whiteout", "opaque"):
                _place_member(root, member)
    for name in MOUNT_POINTS:
        if not isinstance(root.get(name), dict):
            root[name] = {}
    return root


def _hide_lower(root: TreeFolder, member: LayerMember) -> None:
    if member.kind == "opaque":
        _folder_at(root, member.parts).clear()
    elif member.parts:
        _folder_at(root, member.parts[:-1]).pop(member.parts[-1], None)


def _place_member(root: TreeFolder, member: LayerMember) -> None:
    folder, name = _folder_at(root, member.parts[:-1]), member.parts[-1]
    if member.kind == "directory":
        if not isinstance(folder.get(name), dict):
            folder[name] = {}
    elif member.kind == "hardlink":
        *parents, last = member.target.split("/")
        other = _folder_at(root, tuple(parents)).get(last)
        if not isinstance(other, TreeFile):
            raise refused("a link in it leads to nothing")
        folder[name] = other
    else:
        folder[name] = TreeFile(
            digest=member.digest, executable=member.executable, target=member.target
        )


def _folder_at(root: TreeFolder, parts: tuple[str, ...]) -> TreeFolder:
    """The folder at this path, made where nothing is. Raises UpstreamUnreachable for a file."""
    way, todo, links = [root], list(reversed(parts)), 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        if part == "..":
            way = way[:-1] or [root]
            continue
        entry = way[-1].setdefault(part, {})
        if isinstance(entry, dict):
            way.append(entry)
            continue
        links += 1
        if not entry.target or links > _MOST_LINKS:
            raise refused("a file stands where it has a directory, or its links go in a circle")
        if entry.target.startswith("/"):
            way = [root]
        todo += reversed(entry.target.split("/"))
    return way[-1]
