"""Runs servers behind namespaces, Landlock and seccomp: no helper program, no daemon, no root.

Programs of images see the image; programs of this machine see the system, their own tree and their
home (`host_view.py`). Where the gate is root, each process has a uid that nobody else has, and uid
0 of the machine runs none.
"""

import asyncio
import os
from pathlib import Path
from typing import Any, Final

from gatelodge.adapters.runtime.landlock.calls import landlock_version
from gatelodge.adapters.runtime.landlock.filters import jail_filter
from gatelodge.adapters.runtime.landlock.host_view import (
    HostView,
    make_host_view,
    shown_plan,
    texts_of_host,
)
from gatelodge.adapters.runtime.landlock.image_view import make_image_view
from gatelodge.adapters.runtime.landlock.instance import LandlockInstance
from gatelodge.adapters.runtime.landlock.machine import (
    NO_LANDLOCK,
    SEE,
    UNBOUNDED,
)
from gatelodge.adapters.runtime.network.attach import attach_network, check_egress, names_elsewhere
from gatelodge.adapters.runtime.network.resolver import RESOLV_CONF
from gatelodge.adapters.runtime.process.directories import make_home
from gatelodge.adapters.runtime.process.instance import ProcessInstance
from gatelodge.adapters.runtime.process.runtime import ProcessRuntime, caches_of_gate
from gatelodge.adapters.runtime.process.supervisor import remove_tree
from gatelodge.adapters.runtime.process.uids import UidAllocator
from gatelodge.config.schema import HostingSettings
from gatelodge.core.errors import HouseError, LaunchRefused, UpstreamUnreachable
from gatelodge.core.hosting.limits import InstanceLimits
from gatelodge.core.hosting.source import check_place
from gatelodge.ports.images import ImageStore
from gatelodge.ports.runtime import EgressReport, LaunchSpec, RuntimeGap, RuntimeOffer

_PACKAGE: Final = Path(__file__).parents[4]
"""Where the supervisor finds this package."""
_JAIL: Final = "gatelodge.adapters.runtime.landlock.jail"
_OWN_UID: Final = 'Set run_as = "own" for this server: uid 0 runs none in a sandbox.'
_MOST_FILES = 1024
_DATA_SHARE = 4
"""One process may have this many times the memory that was asked for: what it reserves counts."""


class LandlockRuntime(ProcessRuntime):
    """Implements `Runtime` with the tier weak. Used on one event loop."""

    def __init__(
        self,
        settings: HostingSettings,
        *,
        uids: UidAllocator | None,
        caches: Path | None,
        images: ImageStore | None = None,
        hidden: tuple[Path, ...] = (),
    ) -> None:
        """`hidden` are directories that no server is shown, whatever its program's folder holds."""
        super().__init__(settings, uids=uids, caches=caches)
        self._images = images
        self._hidden = hidden if caches is None else (*hidden, caches)

    async def start(
        self,
        spec: LaunchSpec,
        output: asyncio.Protocol,
        errors: asyncio.Protocol,
        report: EgressReport | None = None,
    ) -> ProcessInstance:
        """Start it and look at it from outside. Raises UpstreamUnreachable."""
        instance = await super().start(spec, output, errors, report)
        assert isinstance(instance, LandlockInstance)
        try:
            instance.read_facts(spec)
        except BaseException:
            await instance.stop(0.0)
            raise
        return instance

    async def probe(self) -> RuntimeOffer:
        """What holds here, by a trial start."""
        version = f"Landlock {landlock_version()}"
        trial = LaunchSpec(server="srv_trial", command=("/bin/sh", "-c", ":"), env={}, tier="weak")
        try:
            instance = await self.start(trial, asyncio.Protocol(), asyncio.Protocol())
            await instance.stop(0.0)
        except HouseError as failed:
            gaps = (RuntimeGap(failed.detail, remedy=failed.remedy),)
            return RuntimeOffer(runtime="landlock", version=version, gaps=gaps)
        return RuntimeOffer(runtime="landlock", version=version, tiers=("weak",), gaps=(UNBOUNDED,))

    def _check_spec(self, spec: LaunchSpec, report: EgressReport | None) -> None:
        if spec.tier not in ("none", "weak"):
            text = f"This runtime keeps servers apart weakly, and {spec.tier} was asked for."
            raise UpstreamUnreachable(text, remedy=SEE)
        if landlock_version() < 1:
            raise UpstreamUnreachable("This kernel has no Landlock.", remedy=NO_LANDLOCK)
        check_egress(spec, report)
        if os.geteuid() == 0 and (self._uids is None or not spec.own_uid):
            text = "The server would run as the gate's own user, which is root."
            raise LaunchRefused(text, remedy=_OWN_UID)
        if spec.image and self._images is None:
            raise UpstreamUnreachable("There is no store of images here.", remedy=SEE)

    def _new_instance(
        self, spec: LaunchSpec, uid: int, report: EgressReport | None
    ) -> ProcessInstance:
        grace = self._settings.stop_seconds
        instance = LandlockInstance(spec.server, uid, grace, self._release_uid)
        if spec.egress or spec.port:
            instance.attach = lambda at: attach_network(at, spec, report, self._settings)
        return instance

    async def _launch_order(self, spec: LaunchSpec, uid: int, gid: int) -> dict[str, object]:
        if spec.image:
            order, view = await self._image_order(spec, uid, gid)
        else:
            order, view = await self._host_order(spec, uid, gid)
        try:
            order["jail"] = self._jail_plan(spec, order, view)
        except BaseException:
            remove_tree(order["home"])
            raise
        return order

    async def _host_order(
        self, spec: LaunchSpec, uid: int, gid: int
    ) -> tuple[dict[str, Any], HostView]:
        order: dict[str, Any] = await super()._launch_order(spec, uid, gid)
        path = order["env"]["PATH"]
        try:
            view = await asyncio.to_thread(
                make_host_view,
                order["program"],
                spec.command[1:],
                path,
                spec.cwd,
                self._hidden,
                self._settings.writable_paths,
            )
        except BaseException:
            remove_tree(order["home"])
            raise
        view.binds.append((order["home"], order["home"], "write"))
        cache = self._caches and self._caches / spec.server
        if cache and "XDG_CACHE_HOME" in order["env"]:
            view.binds.append((str(cache), str(cache), "write"))
        return order, view

    async def _image_order(
        self, spec: LaunchSpec, uid: int, gid: int
    ) -> tuple[dict[str, Any], HostView]:
        assert self._images is not None
        config, root = await self._images.config(spec.image), await self._images.root(spec.image)
        view = await asyncio.to_thread(make_image_view, root)
        command = [*config.command, *spec.command]
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
        env |= dict.fromkeys(("HOME", "TMPDIR"), "/tmp")  # noqa: S108 - its own
        order = {
            "program": command[0],
            "command": command,
            "env": {**env, **config.env, **spec.env},
            "cwd": spec.cwd or config.cwd,
            "uid": uid,
            "gid": gid,
            "home": make_home(uid, gid),  # a place to build on; the program is not shown it
            "grace": self._settings.stop_seconds,
        }
        if spec.egress:
            await asyncio.to_thread(_cover_name_servers, root, str(order["home"]), view)
        return order, view

    def _jail_plan(
        self, spec: LaunchSpec, order: dict[str, Any], view: HostView
    ) -> dict[str, object]:
        has_network = bool(spec.egress or spec.port)
        uid, gid = order["uid"] or os.getuid(), order["gid"] or os.getgid()
        texts = {} if spec.image else texts_of_host(uid, gid, order["home"])
        if spec.egress and not spec.image:
            texts["/etc/resolv.conf"] = RESOLV_CONF
        texts |= {f"/run/secrets/{name}": text for name, text in spec.files.items()}
        return {
            **shown_plan(view, texts),
            "library": str(_PACKAGE),
            "module": _JAIL,
            "stage": order["home"],
            "network": None,
            "ports": _open_ports(spec.egress),
            "own_port": spec.port,
            "own": spec.limits.tmp_mib << 20,
            "filter": jail_filter(network=has_network).hex(),
            "bounds": _resource_bounds(spec.limits),
        }


def _resource_bounds(limits: InstanceLimits) -> dict[str, int]:
    bounds = {
        "CORE": 0,
        "NOFILE": _MOST_FILES,
        "DATA": (limits.memory_mib << 20) * _DATA_SHARE,
    }
    # From Linux 5.14 on it counts those of a user namespace alone; before, all of the gate's user.
    if landlock_version() > 1:
        bounds["NPROC"] = limits.processes
    return bounds


def _open_ports(egress: tuple[str, ...]) -> list[int]:
    """The ports of the places, and that of their names."""
    ports = {check_place(each)[1] for each in egress}
    return sorted(ports | {53}) if ports else []


def _cover_name_servers(root: Path, stage: str, view: HostView) -> None:
    if names_elsewhere(root):
        # It is taken before the stage becomes the new root, which hides it.
        file = Path(stage) / "resolv.conf"
        file.write_text(RESOLV_CONF)
        view.binds.append((str(file), "/etc/resolv.conf", "read"))


def landlock_runtime(
    settings: HostingSettings, data_dir: Path, images: ImageStore | None, uids: UidAllocator
) -> LandlockRuntime:
    """On this machine: its caches are where those of child processes are."""
    return LandlockRuntime(
        settings,
        uids=uids if os.geteuid() == 0 else None,
        caches=caches_of_gate(settings, data_dir),
        images=images,
        hidden=(data_dir,),
    )
