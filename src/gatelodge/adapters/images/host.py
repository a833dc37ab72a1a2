"""The host runtime layer: this machine's own Python or Node, with the libraries that they need.

No registry is asked and no distribution's packages are unpacked: what runs the gate runs its hosted
servers as well, in a root that holds nothing else. There is no shell in it and nothing that gives
rights. All libraries are in one directory, and the places where loaders look for them lead there.
"""

import os
import platform
import shutil
import stat
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from gatelodge.adapters.images.elf import ALWAYS, SharedLibraries
from gatelodge.adapters.images.layers import LayerItem
from gatelodge.core.errors import UpstreamUnreachable

PYTHON: Final = "/opt/python/bin/python3"
NODE: Final = "/opt/node/bin/node"
_LEFT_OUT: Final = frozenset(
    {
        "EXTERNALLY-MANAGED",
        "__pycache__",
        "dist-packages",
        "ensurepip",
        "idlelib",
        "lib2to3",
        "site-packages",
        "sitecustomize.py",
        "test",
        "tests",
        "tkinter",
        "turtle.py",
        "turtledemo",
    }
)
_FOLDERS: Final = ("dev", "proc", "run", "sys", "tmp", "app", "work", "root", "home/mcp", "var/tmp")
_AUTHORITIES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
_TEXTS: Final = {
    "etc/passwd": "root:x:0:0::/root:/sbin/nologin\nmcp:x:10001:10001::/home/mcp:/sbin/nologin\n",
    "etc/group": "root:x:0:\nmcp:x:10001:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "etc/resolv.conf": "nameserver 127.0.0.1\n",
}
_COPIED: Final = ("/etc/services", "/etc/protocols", "/etc/mime.types", "/etc/ssl/openssl.cnf")
_GIT_PROGRAMS: Final = ("/usr/lib/git-core", "/usr/libexec/git-core")


class HostFiles(Struct, kw_only=True):
    """Files of this machine by their names in the image, and what makes them this and no other."""

    name: str
    """What they are: `python 3.11.7`, `node`, `git`."""
    items: list[LayerItem] = []
    libraries: SharedLibraries

    def fingerprint(self) -> str:
        """Says, without reading them, whether these are the files of another time. Raises OSError.

        By their paths, sizes and times; for a place on this machine only, never for an image.
        """
        import hashlib

        digest = hashlib.sha256(self.name.encode())
        for item in sorted(self.items, key=lambda each: each.name):
            digest.update(f"\0{item.name}\0{item.target}\0{item.executable}\0".encode())
            digest.update(item.content or b"")
            if item.source:
                found = Path(item.source).stat()
                digest.update(f"{item.source}\0{found.st_size}\0{found.st_mtime_ns}".encode())
        return digest.hexdigest()


def system_files() -> list[LayerItem]:
    """What every root has: folders to mount on, names of users, authorities, times of the world."""
    triplet = sysconfig.get_config_var("MULTIARCH") or f"{platform.machine()}-linux-gnu"
    links = {
        "bin": "usr/bin",
        "lib": "usr/lib",
        "lib64": "usr/lib",
        "usr/lib64": "lib",
        f"usr/lib/{triplet}": ".",
        "usr/lib/ssl/cert.pem": "/etc/ssl/certs/ca-certificates.crt",
        "usr/lib/ssl/certs": "/etc/ssl/certs",
        "usr/lib/ssl/openssl.cnf": "/etc/ssl/openssl.cnf",
    }
    items = [LayerItem(name=name) for name in (*_FOLDERS, "usr/bin", "usr/lib")]
    items += [LayerItem(name=name, target=target) for name, target in links.items()]
    items += [LayerItem(name=name, content=text.encode()) for name, text in _TEXTS.items()]
    items += [LayerItem(name=each[1:], source=each) for each in _COPIED if Path(each).is_file()]
    authorities = next((each for each in _AUTHORITIES if Path(each).is_file()), None)
    if authorities is not None:
        items.append(LayerItem(name="etc/ssl/certs/ca-certificates.crt", source=authorities))
    zones = Path("/usr/share/zoneinfo")
    if zones.is_dir():
        # Those two are the same zones once more, in other countings of seconds.
        items += _files_below(zones, "usr/share/zoneinfo", frozenset(("posix", "right")))
    return items


def python_files() -> HostFiles:
    """The interpreter that runs the gate, with its standard library. Raises UpstreamUnreachable."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    executable, library = Path(base).resolve(), Path(os.__file__).resolve().parent
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    name = f"opt/python/{sys.platlibdir}/{version}"
    config = frozenset(each.name for each in library.glob("config-*"))
    items = [
        LayerItem(name=f"opt/python/bin/{version}", source=str(executable), executable=True),
        LayerItem(name="opt/python/bin/python3", target=version),
        LayerItem(name="opt/python/bin/python", target=version),
        *_files_below(library, name, _LEFT_OUT | config),
    ]
    if sys.platlibdir != "lib" and (other := executable.parent.parent / "lib" / version).is_dir():
        items += _files_below(other, f"opt/python/lib/{version}", _LEFT_OUT)
    return _with_libraries(f"python {platform.python_version()}", executable, items)


def node_files() -> HostFiles:
    """The Node of this machine. Raises UpstreamUnreachable when there is none."""
    found = shutil.which("node")
    if found is None:
        raise UpstreamUnreachable(
            "There is no Node on this machine, which servers from npm run on.",
            remedy="Install Node 20 or later, so that `node` is in the PATH of the gate.",
        )
    executable = Path(found).resolve()
    items = [LayerItem(name=NODE[1:], source=str(executable), executable=True)]
    return _with_libraries("node", executable, items)


def program_files(program: str) -> HostFiles:
    """One more program of this machine. Raises UpstreamUnreachable when it is not there."""
    found = shutil.which(program) if program.isascii() and "/" not in program else None
    if found is None:
        raise UpstreamUnreachable(
            f"There is no program {program[:40]!r} on this machine.",
            remedy="Install it, so that it is in the PATH of the gate, or leave --program away.",
        )
    executable = Path(found).resolve()
    if executable.stat().st_mode & (stat.S_ISUID | stat.S_ISGID):
        raise UpstreamUnreachable(
            f"{program!r} runs with another's rights, which no image gives.",
            remedy="Leave --program away.",
        )
    items = [LayerItem(name=f"usr/bin/{program}", source=str(executable), executable=True)]
    if program == "git":
        items += _git_helpers(executable)
    return _with_libraries(program, executable, items)


def _git_helpers(executable: Path) -> Iterator[LayerItem]:
    """Those that are git itself by another name; the others want a shell or a network."""
    folder = next((Path(each) for each in _GIT_PROGRAMS if Path(each).is_dir()), None)
    if folder is None:
        return
    yield LayerItem(name=f"{str(folder)[1:]}/git", target="/usr/bin/git")
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != "git" and path.samefile(executable):
            yield LayerItem(name=f"{str(folder)[1:]}/{path.name}", target="/usr/bin/git")


def _with_libraries(name: str, executable: Path, items: list[LayerItem]) -> HostFiles:
    libraries = SharedLibraries()
    try:
        programs = [Path(each.source) for each in items if each.executable or ".so" in each.name]
        libraries.add_needs(programs)
        libraries.add_named(ALWAYS, executable)
    except OSError as failed:
        raise UpstreamUnreachable(
            f"The files of {name} cannot be read: {failed.strerror}.",
            remedy="The gate's own user has to be able to read them.",
        ) from failed
    items += [
        LayerItem(name=f"usr/lib/{each}", source=str(path), executable=True)
        for each, path in libraries.found.items()
    ]
    return HostFiles(name=name, items=items, libraries=libraries)


def _files_below(directory: Path, prefix: str, left_out: frozenset[str]) -> list[LayerItem]:
    """Files below a directory, links read through, without those of these names."""
    items: list[LayerItem] = []
    for folder, folders, files in os.walk(directory):
        folders[:] = sorted(set(folders) - left_out)
        below = folder[len(str(directory)) :]
        for each in sorted(set(files) - left_out):
            path = Path(folder, each)
            if path.is_file() and not each.endswith((".a", ".pyc")):
                source = str(path.resolve())
                items.append(LayerItem(name=f"{prefix}{below}/{each}", source=source))
    return items
