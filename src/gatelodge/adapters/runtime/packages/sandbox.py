"""Runs the tools of builds with nothing of the gate's: the jail of the weak tier, with a network.

What fetches packages reads what strangers wrote. So it sees the system, itself, one folder and the
files that the settings name; no data directory, no other process, no variable but those that say
where packages come from; no Unix socket, no capability, where the gate is root a uid of its own.
Nothing that it wrote can be run. Its network is the machine's: an index stands anywhere.

Scripts of packages, which an operator named, run in the same jail without a network, and can run
what they write; without the jail they do not run.
"""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, structs

from gatelodge.adapters.runtime.kernel.facts import (
    read_identity,
    read_surroundings,
    with_identity,
)
from gatelodge.adapters.runtime.landlock.calls import landlock_version
from gatelodge.adapters.runtime.landlock.filters import jail_filter
from gatelodge.adapters.runtime.landlock.host_view import make_host_view, shown_plan
from gatelodge.adapters.runtime.landlock.instance import LandlockInstance
from gatelodge.adapters.runtime.landlock.machine import NO_LANDLOCK, SEE
from gatelodge.adapters.runtime.packages.tools import MOST_SAID, ToolOutcome, run_tool
from gatelodge.adapters.runtime.process.directories import make_home
from gatelodge.adapters.runtime.process.supervisor import remove_tree
from gatelodge.adapters.runtime.process.uids import UidAllocator
from gatelodge.core.errors import HouseError, Invalid, LimitReached, UpstreamUnreachable
from gatelodge.core.hosting.facts import deviations
from gatelodge.core.hosting.limits import InstanceLimits
from gatelodge.ports.runtime import RuntimeGap

_PACKAGE: Final = Path(__file__).parents[4]
_JAIL: Final = "gatelodge.adapters.runtime.landlock.jail"
_OF_NAMES: Final = ("/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/gai.conf")
_PROCESSES: Final = 512
_FILES: Final = 4096
_PROCESS_BYTES: Final = 4 << 30
_OWN_BYTES: Final = 64 << 20
_GONE_SECONDS: Final = 12.0
_LOOK_AGAIN_SECONDS: Final = 60.0
_INSTALL: Final = "Install it on the gate's machine, where every uid can read it."
_PRODUCTION_SCRIPTS: Final = (
    "Take a package that needs none, or set hosting.production_scripts on the gate's machine."
)
_NOT_IN_PRODUCTION: Final = (
    "This gate is in production (hosting.production), where packages are fetched in a sandbox alone"
)


class ToolRun(Struct, frozen=True, kw_only=True):
    """One tool: what it is told, where it works, what it sees besides, and its bounds.

    `beside` are programs that it starts, `files` what it may read. It has a network where it
    `fetches`. It can run what lies in the folder where that holds `scripts` that may run.
    """

    command: tuple[str, ...]
    env: Mapping[str, str]
    folder: Path
    uid: int
    seconds: float
    file_bytes: int
    beside: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    fetches: bool = True
    scripts: bool = False

    @property
    def name(self) -> str:
        """What it is called."""
        return Path(self.command[0]).name


class _CollectedOutput(asyncio.Protocol):
    """The beginning of what it writes; what follows is read and dropped."""

    def __init__(self) -> None:
        self.kept = bytearray()
        self.over = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.kept += data[: max(0, MOST_SAID - len(self.kept))]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the end is the end
        if not self.over.done():
            self.over.set_result(None)


class _ToolInstance(LandlockInstance):
    """A tool behind its borders."""

    @property
    def was_refused(self) -> bool:
        """It could not be kept apart, or is not."""
        return bool(self._leash.refused or self.pid)

    def check_borders(self, run: ToolRun) -> None:
        """Look from outside, as at a server. Raises UpstreamUnreachable."""
        around = read_surroundings(self.init, runtime="landlock", tier="weak")
        judged = with_identity(around, read_identity(self.pid))
        if run.fetches:  # its network is the machine's, on purpose
            judged = structs.replace(judged, filtered=True, namespaces=(*judged.namespaces, "net"))
        faults = deviations(judged, "weak", InstanceLimits())
        if faults:
            text = f"A tool is not kept apart as it has to be: {'; '.join(faults)}."
            raise UpstreamUnreachable(text, remedy=SEE)

    async def wait(self) -> int:
        """Wait for its end: its status."""
        return await asyncio.shield(self._leash.ended)

    async def end(self, *outputs: _CollectedOutput) -> None:
        """End what it left behind, and read what it had written until then."""
        self._send_to_supervisor(b"K")
        await asyncio.wait((self._leash.gone,), timeout=_GONE_SECONDS)
        await asyncio.wait([each.over for each in outputs], timeout=1.0)


class ToolSandbox:
    """Runs tools apart from the gate, or says why it cannot. Used on one event loop."""

    def __init__(
        self,
        data_dir: Path,
        uids: UidAllocator,
        *,
        production: bool = False,
        scripts: bool = False,
    ) -> None:
        """`data_dir` is what no tool is shown; `scripts` = those of packages may run in production.

        Elsewhere they may, where an operator asks for it.
        """
        self._hidden = data_dir
        self._uids = uids
        self._production = production
        self._scripts = scripts or not production
        self._trial: asyncio.Task[RuntimeGap | None] | None = None
        self._tried = 0.0

    async def gap(self) -> RuntimeGap | None:
        """Why this machine cannot keep tools apart, by a trial; None when it can."""
        loop = asyncio.get_running_loop()
        trial = self._trial
        if trial is not None and trial.done():
            failed = trial.cancelled() or trial.exception() is not None or trial.result()
            if failed and loop.time() - self._tried > _LOOK_AGAIN_SECONDS:
                trial = None
        if trial is None:
            trial = self._trial = loop.create_task(self._try())
            self._tried = loop.time()
        return await asyncio.shield(trial)

    async def unconfined(self) -> str:
        """Why tools run as the gate's own user, "" when they do not. Raises UpstreamUnreachable.

        In production they do not run then.
        """
        gap = await self.gap()
        if gap is None:
            return ""
        if self._production:
            text = f"{_NOT_IN_PRODUCTION}, which this machine does not let it make: {gap.says}"
            raise UpstreamUnreachable(text, remedy=gap.remedy)
        return gap.says

    async def check_scripts(self) -> None:
        """Refuse scripts of packages where they may not run, or not apart from the gate.

        Raises Invalid, UpstreamUnreachable.
        """
        if not self._scripts:
            text = "this gate is in production (hosting.production), where no package's script runs"
            raise Invalid(text, remedy=_PRODUCTION_SCRIPTS)
        gap = await self.gap()
        if gap is not None:
            text = f"Scripts of packages run in a sandbox alone, and here is none: {gap.says}"
            raise UpstreamUnreachable(text, remedy=gap.remedy)

    @contextlib.contextmanager
    def own_uid(self) -> Iterator[int]:
        """A uid that no other build has, until the context ends; 0 where the gate is not root."""
        if os.geteuid() != 0:
            yield 0
            return
        uid = self._uids.take_for_build()
        try:
            yield uid
        finally:
            self._uids.release(uid)

    async def run(self, run: ToolRun) -> ToolOutcome:
        """Run it to its end. Raises UpstreamUnreachable, LimitReached when it takes longer.

        When this returns, raises or is cancelled, nothing that it started runs any more.
        """
        if run.scripts:
            await self.check_scripts()
        elif await self.unconfined():
            return await run_tool(run.command, run.folder, run.env, run.seconds)
        return await self._run_apart(run)

    async def _try(self) -> RuntimeGap | None:
        if landlock_version() < 1:
            return RuntimeGap("This kernel has no Landlock.", remedy=NO_LANDLOCK)
        place = await asyncio.to_thread(_trial_folder, self._hidden)
        try:
            with self.own_uid() as uid:
                if uid:
                    os.chown(place, uid, uid)
                command = ("/bin/sh", "-c", ": > tried")
                env = {"PATH": os.defpath}
                done = await self._run_apart(
                    ToolRun(
                        command=command, env=env, folder=place, uid=uid, seconds=10.0,
                        file_bytes=1 << 20,
                    )
                )  # fmt: skip
        except (HouseError, OSError) as failed:
            detail, remedy = getattr(failed, "detail", str(failed)), getattr(failed, "remedy", SEE)
            return RuntimeGap(detail, remedy=remedy)
        finally:
            await asyncio.to_thread(remove_tree, str(place))
        if done.status != 0:
            return RuntimeGap(f"A trial of the sandbox failed: {done.last_words}", remedy=SEE)
        return None

    async def _run_apart(self, run: ToolRun) -> ToolOutcome:
        output, errors = _CollectedOutput(), _CollectedOutput()
        instance = _ToolInstance("build", run.uid, 0.0, lambda _: None)
        try:
            order = await asyncio.to_thread(self._order, run)
            try:
                await instance.launch(order, output, errors)
                instance.check_borders(run)
            except UpstreamUnreachable as failed:
                why = failed.detail.replace("The server", "It")
                text = f"{run.name} could not be started in its sandbox: {why}"
                remedy = failed.remedy if instance.was_refused else _INSTALL
                raise UpstreamUnreachable(text, remedy=remedy) from failed
            async with asyncio.timeout(run.seconds):
                status = await instance.wait()
            await instance.end(output, errors)
        except TimeoutError:
            raise LimitReached(f"{run.name} took longer than {run.seconds:.0f} s.") from None
        finally:
            await instance.stop(0.0)
        return ToolOutcome(status=status, output=bytes(output.kept), errors=bytes(errors.kept))

    def _order(self, run: ToolRun) -> dict[str, Any]:
        """What the supervisor is told (`supervisor.py`, `jail.py`). Raises UpstreamUnreachable."""
        uid, gid = run.uid or os.getuid(), run.uid or os.getgid()
        view = make_host_view(
            run.command[0],
            (),
            run.env.get("PATH", os.defpath),
            "",
            (self._hidden,),
            beside=run.beside,
            readable=(*run.files, *(_OF_NAMES if run.fetches else ())),
        )
        view.binds.append((str(run.folder), str(run.folder), "work" if run.scripts else "write"))
        texts = {
            "/etc/passwd": f"build:x:{uid}:{gid}::{run.folder}:/usr/sbin/nologin\n",
            "/etc/group": f"build:x:{gid}:\n",
        }
        home = make_home(run.uid, run.uid)  # a place to build the root on
        try:
            return {
                "program": run.command[0],
                "command": list(run.command),
                "env": {"LANG": "C.UTF-8", **run.env},
                "cwd": str(run.folder),
                "uid": run.uid,
                "gid": run.uid,
                "home": home,
                "grace": 0.0,
                "jail": {
                    **shown_plan(view, texts),
                    "library": str(_PACKAGE),
                    "module": _JAIL,
                    "stage": home,
                    "early": True,
                    "network": None,
                    "host_network": run.fetches,
                    "ports": None if run.fetches else [],
                    "own_port": 0,
                    "own": _OWN_BYTES,
                    "filter": jail_filter(network=run.fetches).hex(),
                    "bounds": _bounds(run),
                },
            }
        except BaseException:
            remove_tree(home)
            raise


def _bounds(run: ToolRun) -> dict[str, int]:
    bounds = {"CORE": 0, "NOFILE": _FILES, "DATA": _PROCESS_BYTES, "FSIZE": run.file_bytes}
    # From Linux 5.14 on it counts those of a user namespace alone; before, all of the gate's user.
    if landlock_version() > 1:
        bounds["NPROC"] = _PROCESSES
    return bounds


def _trial_folder(data_dir: Path) -> Path:
    """A folder where builds work as well: whether that can be shown is part of the trial."""
    builds = data_dir / "builds"
    builds.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=builds, prefix="build-"))
