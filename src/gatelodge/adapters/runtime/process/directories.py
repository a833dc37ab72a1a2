"""The directories of a server's processes: a home for each, and a cache that stays.

A home is new at each start; what a server fetches in order to start (`npx`, `uvx`) would be fetched
for ever. So the usual tools keep their caches in a directory of the server, which all its processes
share, and which goes when the server is removed.
"""

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from gatelodge.adapters.runtime.process.exec_permissions import MEND_OWN
from gatelodge.adapters.runtime.process.supervisor import remove_tree
from gatelodge.core.errors import UpstreamUnreachable

_MEND_DISK = "Make room in the directory for temporary files."
_CACHES = {
    "XDG_CACHE_HOME": "xdg",
    "npm_config_cache": "npm",
    "UV_CACHE_DIR": "uv",
    "UV_PYTHON_INSTALL_DIR": "uv-python",
    "BUN_INSTALL_CACHE_DIR": "bun",
    "DENO_DIR": "deno",
}


def make_home(uid: int, gid: int) -> str:
    """Make a new directory with nothing in it. Raises UpstreamUnreachable."""
    home = ""
    try:
        home = tempfile.mkdtemp(prefix="gatelodge-")
        if uid:
            os.chown(home, uid, gid)
    except OSError as failed:
        what, remedy = "No home directory could be made for the server", _MEND_DISK
        if home:
            remove_tree(home)
            what, remedy = "The server could not be started", MEND_OWN
        raise UpstreamUnreachable(f"{what}: {failed.strerror}.", remedy=remedy) from failed
    return home


def cache_variables(cache: Path, uid: int, gid: int) -> dict[str, str]:
    """Make the cache, and give the variables that lead the usual tools to it.

    Never raises: a server whose cache cannot be made starts all the same, without those variables.
    """
    try:
        _make_cache_directory(cache, uid, gid)
    except OSError:
        return {}
    return {name: f"{cache}/{folder}" for name, folder in _CACHES.items()}


def _make_cache_directory(cache: Path, uid: int, gid: int) -> None:
    """Make the cache, or make it anew when it belonged to another group. Raises OSError."""
    own = (os.geteuid(), gid if uid else os.getegid())
    with contextlib.suppress(FileNotFoundError):
        found = cache.lstat()
        if stat.S_ISDIR(found.st_mode) and (found.st_uid, found.st_gid) == own:
            return
        remove_tree(str(cache))
    cache.parent.mkdir(mode=0o711 if uid else 0o700, parents=True, exist_ok=True)
    if uid:
        # Servers pass through it to their own cache, and cannot list those of others.
        cache.parent.chmod(0o711)
    cache.mkdir(mode=0o700)
    if uid:
        os.chown(cache, own[0], gid)
        # What one copy makes belongs to the group, so that its other copies can use it.
        cache.chmod(0o2770)
