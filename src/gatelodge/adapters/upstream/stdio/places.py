"""Where stdio servers run: uids that nobody else has, and a cache for each server that stays.

A server's home is new at each start; what it fetches in order to start (`npx`, `uvx`) would be
fetched for ever. So the usual tools keep their caches in a directory of the server, which all its
copies share, and which goes when the server is removed. Each copy has a uid of its own, so that its
processes can be ended without another's; their group is the server's.
"""

import asyncio
import contextlib
import hashlib
import os
import stat
from collections.abc import Coroutine, Hashable
from pathlib import Path

from msgspec import Struct

from gatelodge.adapters.upstream.stdio.supervisor import remove_tree
from gatelodge.adapters.upstream.stdio.unread import UnreadTotal
from gatelodge.core.protocol.version import Era

UIDS = 60_000
"""Numbers from hosting.first_uid on that servers may get as uids."""
_CACHES = {
    "XDG_CACHE_HOME": "xdg",
    "npm_config_cache": "npm",
    "UV_CACHE_DIR": "uv",
    "UV_PYTHON_INSTALL_DIR": "uv-python",
    "BUN_INSTALL_CACHE_DIR": "bun",
    "DENO_DIR": "deno",
}


class ChildPlace(Struct, frozen=True):
    """Where a server runs: its uid and group (0 = ours), its cache ("" = none), and its era.

    `pot` is what lies unread before the processes of all servers.
    """

    uid: int
    gid: int
    cache: str
    key: bytes
    eras: dict[bytes, Era]
    pot: UnreadTotal

    def prepared(self) -> dict[str, str]:
        """The variables that lead the usual tools to the cache; none when there is no cache.

        Never raises: a server without a cache starts all the same.
        """
        if not self.cache:
            return {}
        try:
            _make_cache_directory(Path(self.cache), self.uid, self.gid)
        except OSError:
            return {}
        return {name: f"{self.cache}/{folder}" for name, folder in _CACHES.items()}


class HostAbilities(Struct, frozen=True, kw_only=True):
    """What the gate may do here: `root` = change uids; `caches` = where they are, None = none."""

    root: bool
    caches: Path | None = None


class ProcessPlaces:
    """Gives each link of a stdio server its place. On one event loop."""

    def __init__(self, first_uid: int, site: HostAbilities) -> None:
        self._first = first_uid
        self._caches = site.caches
        self._root = site.root
        self._uids: dict[Hashable, int] = {}
        self._groups: dict[str, tuple[int, set[Hashable]]] = {}
        self._eras: dict[bytes, Era] = {}
        self._pot = UnreadTotal()
        self._known: frozenset[str] | None = None

    def take(self, server: str, key: bytes, link: Hashable, *, own: bool) -> ChildPlace:
        """The place of a link; always the same uid where that is possible."""
        cache = "" if self._caches is None else str(self._caches / server)
        if not (own and self._root):
            return ChildPlace(0, 0, cache, key, self._eras, self._pot)
        group, links = self._groups.setdefault(server, (self._free_gid_for_server(server), set()))
        links.add(link)
        uid, taken = group, set(self._uids.values())
        while uid in taken:
            uid = self._first + (uid - self._first + 1) % UIDS
        self._uids[link] = uid
        return ChildPlace(uid, group, cache, key, self._eras, self._pot)

    def give_back(self, link: Hashable) -> None:
        """Nothing of that link runs any more."""
        self._uids.pop(link, None)
        for server, (_, links) in list(self._groups.items()):
            links.discard(link)
            if not links:
                del self._groups[server]

    def keep(self, servers: frozenset[str]) -> frozenset[str]:
        """The servers that are no more, whose caches can go; at first also those left behind."""
        if self._caches is None:
            return frozenset()
        before = frozenset(self._servers_with_caches()) if self._known is None else self._known
        self._known = servers
        return before - servers

    def removal(self, server: str) -> Coroutine[None, None, bool]:
        """Remove a server's cache; what of it cannot be removed is left."""
        assert self._caches is not None
        return asyncio.to_thread(remove_tree, str(self._caches / server))

    def _servers_with_caches(self) -> list[str]:
        if self._caches is None:
            return []
        with contextlib.suppress(OSError):
            # Only what bears a server's id is ever removed from a directory that a setting names.
            return [each.name for each in self._caches.iterdir() if each.name.startswith("srv_")]
        return []

    def _free_gid_for_server(self, server: str) -> int:
        taken = {number for number, _ in self._groups.values()}
        number = int.from_bytes(hashlib.sha256(server.encode()).digest()[:4]) % UIDS
        while self._first + number in taken:
            number = (number + 1) % UIDS
        return self._first + number


def site_of(setting: str, data_dir: Path) -> HostAbilities:
    """This machine: where the gate is root, its caches are where other uids can reach them."""
    root = os.geteuid() == 0
    mark = hashlib.sha256(str(data_dir).encode()).hexdigest()[:16]
    if setting:
        return HostAbilities(root=root, caches=Path(setting).expanduser() / mark)
    caches = Path("/var/cache/gatelodge") / mark if root else data_dir / "cache"
    return HostAbilities(root=root, caches=caches)


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
