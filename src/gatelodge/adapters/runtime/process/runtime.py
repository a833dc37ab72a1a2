"""Runs servers as child processes: uids that nobody else has, and a cache for each server.

Each process has a uid of its own, so that it can be ended without another's; their group is the
server's, so that they share its cache.
"""

import asyncio
import contextlib
import hashlib
import os
from pathlib import Path

from gatelodge.adapters.runtime.process.directories import cache_variables, make_home
from gatelodge.adapters.runtime.process.exec_permissions import find_runnable
from gatelodge.adapters.runtime.process.instance import ProcessInstance
from gatelodge.adapters.runtime.process.supervisor import remove_tree
from gatelodge.adapters.runtime.process.uids import UidAllocator
from gatelodge.config.schema import HostingSettings
from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.ports.runtime import EgressReport, LaunchSpec

_ISOLATE = "See what this machine can isolate: gatelodge doctor."


class ProcessRuntime:
    """Implements `Runtime`. Used on one event loop."""

    def __init__(
        self, settings: HostingSettings, *, uids: UidAllocator | None, caches: Path | None
    ) -> None:
        """`uids` gives out uids, None = it may not change them; `caches` are servers' caches."""
        self._settings = settings
        self._uids = uids
        self._caches = caches
        self._instances: set[ProcessInstance] = set()
        self._gids: dict[str, int] = {}
        self._known = frozenset[str]()
        self._obsolete = set[str]()
        self._left_behind = set[str]()
        """Caches found at the start; whose they are is known from the first `keep` on."""
        self._removals: set[asyncio.Task[bool]] = set()
        with contextlib.suppress(OSError):
            if caches is not None:
                # Only what bears a server's id is removed from a directory that a setting names.
                names = [each.name for each in caches.iterdir()]
                self._left_behind.update(name for name in names if name.startswith("srv_"))

    async def start(
        self,
        spec: LaunchSpec,
        output: asyncio.Protocol,
        errors: asyncio.Protocol,
        report: EgressReport | None = None,
    ) -> ProcessInstance:
        """Start a process for this server. Raises UpstreamUnreachable."""
        self._check_spec(spec, report)
        uid, gid = self._assign_ids(spec.server, self._uids) if spec.own_uid else (0, 0)
        instance = self._new_instance(spec, uid, report)
        self._instances.add(instance)
        try:
            await instance.launch(await self._launch_order(spec, uid, gid), output, errors)
        except BaseException:
            await instance.stop(0.0)
            raise
        return instance

    def instances(self) -> tuple[ProcessInstance, ...]:
        """All that were started and are not wholly gone."""
        return tuple(self._instances)

    def keep(self, servers: frozenset[str]) -> None:
        """Remove the caches of all other servers, at first also of those left behind."""
        self._obsolete = (self._obsolete | self._left_behind | self._known) - servers
        self._left_behind.clear()
        self._known = servers
        self._tidy_up()

    async def close(self) -> None:
        """Wait for the caches that are being removed."""
        if self._removals:
            await asyncio.wait(self._removals)

    def _check_spec(self, spec: LaunchSpec, report: EgressReport | None) -> None:  # noqa: ARG002 - nothing keeps it from the network
        """Refuse what this runtime cannot run as it is asked for. Raises UpstreamUnreachable."""
        if spec.image or spec.tier != "none":
            raise UpstreamUnreachable(
                "A child process is not isolated, and this server has to be.", remedy=_ISOLATE
            )

    def _new_instance(
        self,
        spec: LaunchSpec,
        uid: int,
        report: EgressReport | None,  # noqa: ARG002 - as above
    ) -> ProcessInstance:
        return ProcessInstance(spec.server, uid, self._settings.stop_seconds, self._release_uid)

    async def _launch_order(self, spec: LaunchSpec, uid: int, gid: int) -> dict[str, object]:
        """What the supervisor is told to start, and where (`supervisor.py`); uid 0 means our own.

        It holds resolved secrets: it goes through a socket, and is never kept.
        """
        path = usual_path(self._settings.path)
        program = find_runnable(spec, path, uid, gid)
        env = {"PATH": path, "LANG": "C.UTF-8"}
        if self._caches is not None:
            cache = self._caches / spec.server
            env |= await asyncio.to_thread(cache_variables, cache, uid, gid)
        home = make_home(uid, gid)
        return {
            "program": program,
            "command": [program, *spec.command[1:]],
            "env": {**env, "HOME": home, "TMPDIR": home, **spec.env},
            "cwd": spec.cwd or home,
            "uid": uid,
            "gid": gid,
            "home": home,  # removed when all is gone
            "grace": self._settings.stop_seconds,  # how long it may go on when the gate is killed
        }

    def _assign_ids(self, server: str, uids: UidAllocator | None) -> tuple[int, int]:
        """A free uid and the server's group; always the same ones where that is possible."""
        if uids is None:
            return 0, 0
        if server not in self._gids:
            self._gids[server] = uids.hold_group(server)
        return uids.take(self._gids[server]), self._gids[server]

    def _release_uid(self, instance: ProcessInstance) -> None:
        """Nothing of that process runs any more; told again, its uid may be another's already."""
        if instance in self._instances:
            self._instances.discard(instance)
            if self._uids is not None:
                self._uids.release(instance.uid)
        self._tidy_up()

    def _tidy_up(self) -> None:
        """Let go of the groups and caches of servers that are no more, and of which nothing runs.

        A process that still ends could write into what is being removed.
        """
        running = {each.server for each in self._instances}
        for server in self._gids.keys() - self._known - running:
            del self._gids[server]
            if self._uids is not None:
                self._uids.drop_group(server)
        for server in self._obsolete - running:
            self._obsolete.discard(server)
            if self._caches is not None:
                removal = asyncio.get_running_loop().create_task(
                    asyncio.to_thread(remove_tree, str(self._caches / server))
                )
                self._removals.add(removal)
                removal.add_done_callback(self._removals.discard)


def usual_path(setting: str) -> str:
    """Where programs are looked for: `~` is the home of the gate's own user."""
    parts = (str(Path(each).expanduser()) for each in setting.split(":") if each)
    return ":".join(dict.fromkeys(parts))


def process_runtime(
    settings: HostingSettings, data_dir: Path, uids: UidAllocator
) -> ProcessRuntime:
    """On this machine."""
    given = uids if os.geteuid() == 0 else None
    return ProcessRuntime(settings, uids=given, caches=caches_of_gate(settings, data_dir))


def caches_of_gate(settings: HostingSettings, data_dir: Path) -> Path:
    """Where its servers' caches are: where the gate is root, other uids can reach them."""
    mark = hashlib.sha256(str(data_dir).encode()).hexdigest()[:16]
    if settings.cache_dir:
        return Path(settings.cache_dir).expanduser() / mark
    return Path("/var/cache/gatelodge") / mark if os.geteuid() == 0 else data_dir / "cache"
