"""Runs servers in containers: runc or crun, and gVisor for those that need a kernel of their own.

Containers of images only, started as root: ids of their own need it. One supervisor stands for all
of them (`supervisor.py`); it comes with the first and goes with the gate.
"""

import asyncio
import logging
import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from gatelodge.adapters.runtime.network.attach import (
    InstanceNetwork,
    attach_network,
    check_egress,
    names_elsewhere,
)
from gatelodge.adapters.runtime.oci.bundle import (
    RANGE,
    BundlePlan,
    container_config,
    secret_owner,
)
from gatelodge.adapters.runtime.oci.channel import SupervisorChannel, Telling
from gatelodge.adapters.runtime.oci.groups import is_anything_left, place_of_gate, sweep_groups
from gatelodge.adapters.runtime.oci.instance import OciInstance, OpensNetwork
from gatelodge.adapters.runtime.oci.programs import (
    RUNTIMES,
    RuntimeProgram,
    find_program,
    known_faults,
)
from gatelodge.config.schema import HostingSettings
from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.hosting.facts import IsolationTier, deviations
from gatelodge.core.hosting.limits import InstanceLimits
from gatelodge.ports.images import ImageConfig, ImageStore
from gatelodge.ports.runtime import EgressReport, LaunchSpec, RuntimeGap, RuntimeOffer

log = logging.getLogger(__name__)

RANGES: Final = 4_000
"""Containers of one machine at most; each has a range of ids."""
_ROOT = "Containers with ids of their own need root."
_WITHOUT_ROOT = (
    "Run the gate as root, or name an engine (hosting.docker_url); the tier weak needs neither."
)
_MEND = "See what this machine can isolate: gatelodge doctor."
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ENV = {"PATH": _PATH, "LANG": "C.UTF-8", "HOME": "/tmp", "TMPDIR": "/tmp"}  # noqa: S108 - its own
_TRIAL = LaunchSpec(server="trial", command=(), env={}, image="trial", limits=InstanceLimits())


class RuntimeTrial(Struct, frozen=True):
    """A trial start of one container runtime: what was wrong with it, empty = it works."""

    program: RuntimeProgram
    why: str = ""


class OciRuntime:
    """Implements `Runtime` for specs with an image. Used on one event loop."""

    def __init__(
        self,
        settings: HostingSettings,
        images: ImageStore,
        data_dir: Path,
        *,
        names: Iterable[str] = tuple(RUNTIMES),
    ) -> None:
        """`names` are the container runtimes that may be used, the best of each tier first."""
        self._settings, self._images, self._names = settings, images, tuple(names)
        self._data_dir = data_dir
        self.folder, self.group = place_of_gate(data_dir)
        self._first = int(self.folder.name, 16) % RANGES
        """Where this gate begins to look for a free range: two gates rarely meet."""
        self._channel: SupervisorChannel | None = None
        self._sweep: asyncio.Task[None] | None = None
        self._clearing: asyncio.Task[None] | None = None
        self._looked = False
        self._opening = asyncio.Lock()
        self._probing = asyncio.Lock()
        self._trials: tuple[RuntimeTrial, ...] = ()
        self._instances: dict[str, OciInstance] = {}
        self._ranges: dict[str, int] = {}

    async def probe(self) -> RuntimeOffer:
        """What can be promised here, by a trial start of each container runtime."""
        if os.geteuid() != 0:  # then no trial of any would tell more
            return RuntimeOffer(runtime="oci", gaps=(RuntimeGap(_ROOT, _WITHOUT_ROOT),))
        trials = await self._find_trials()
        good = [each.program for each in trials if not each.why]
        chosen = [self._first_of(tier, good) for tier in ("standard", "strong")]
        used = [each for each in chosen if each is not None]
        gaps = [
            RuntimeGap(f"{each.program.label}: {each.why}.", "Another one of its tier may do.")
            for each in trials
            if each.why
        ]
        gaps += [
            RuntimeGap(f"{each.label}: {fault}.", f"Install a newer {each.name}.")
            for each in used
            for fault in known_faults(each)
        ]
        if not trials:
            gaps.append(RuntimeGap("No container runtime is installed.", "Install runc."))
        return RuntimeOffer(
            runtime="oci",
            version=", ".join(each.label for each in used),
            tiers=tuple(each.tier for each in used),
            gaps=tuple(gaps),
        )

    async def _find_trials(self) -> tuple[RuntimeTrial, ...]:
        """One for each container runtime that is here; known from then on, once one works."""
        async with self._probing:
            if not any(not each.why for each in self._trials):
                found = [await find_program(name) for name in self._names]
                self._trials = tuple([await self._try(each) for each in found if each])
            return self._trials

    async def _try(self, program: RuntimeProgram) -> RuntimeTrial:
        """Start a program of this machine, with its files as the root, that ends at once."""
        heard = asyncio.Protocol(), asyncio.Protocol()
        trial = ImageConfig(image="trial", source="", command=("/bin/true",), env={})
        instance = self._new_instance()
        try:
            await self._launch(instance, _TRIAL, program, (trial, Path("/")), heard)
        except UpstreamUnreachable as failed:
            return RuntimeTrial(program, failed.detail.rstrip("."))
        finally:
            await instance.stop(1.0)
        return RuntimeTrial(
            program, "; ".join(deviations(instance.facts, program.tier, _TRIAL.limits))
        )

    async def start(
        self,
        spec: LaunchSpec,
        output: asyncio.Protocol,
        errors: asyncio.Protocol,
        report: EgressReport | None = None,
    ) -> OciInstance:
        """Start a container of the image. Raises UpstreamUnreachable."""
        if not spec.image:
            raise UpstreamUnreachable("Only images run in containers.", remedy=_MEND)
        network = self._network(spec, report)
        instance = self._new_instance()
        try:
            program = await self._program(spec.tier)
            image = await self._images.config(spec.image), await self._images.root(spec.image)
            await self._launch(instance, spec, program, image, (output, errors), network=network)
        except BaseException:
            await instance.stop(0.0)
            raise
        return instance

    def instances(self) -> tuple[OciInstance, ...]:
        """All that were started and are not wholly gone."""
        return tuple(self._instances.values())

    def keep(self, servers: frozenset[str]) -> None:  # noqa: ARG002 - none outlasts its gate
        """Have what an earlier gate left ended, when its supervisor was killed as well."""
        if not self._looked and self._channel is None and is_anything_left(self._data_dir):
            self._clearing = asyncio.get_running_loop().create_task(self._clear_place())
        self._looked = True

    async def _clear_place(self) -> None:
        """A supervisor takes the place over, and ends first what is there."""
        try:
            await self._supervisor()
        except UpstreamUnreachable as failed:
            log.warning("what an earlier gate left in containers is not ended: %s", failed.detail)

    async def close(self) -> None:
        """Let the supervisor go, and wait for its end."""
        if self._clearing is not None:
            await asyncio.wait((self._clearing,))
        if self._sweep is not None:
            await asyncio.wait((self._sweep,))
        if self._channel is not None:
            self._channel.close()
            await self._channel.wait_until_over()
            self._channel = None

    async def _program(self, tier: IsolationTier) -> RuntimeProgram:
        wanted: IsolationTier = "strong" if tier == "strong" else "standard"
        trials = await self._find_trials()
        found = self._first_of(wanted, [each.program for each in trials if not each.why])
        if found is not None:
            return found
        tried = "; ".join(f"{each.program.label}: {each.why}" for each in trials)
        raise UpstreamUnreachable(
            f"No container runtime of the tier {wanted} works here ({tried or 'none is there'}).",
            remedy="Install runc (for the tier strong: runsc), then see: gatelodge doctor.",
        )

    def _first_of(
        self, tier: IsolationTier, programs: list[RuntimeProgram]
    ) -> RuntimeProgram | None:
        return next((each for each in programs if each.tier == tier), None)

    def _new_instance(self) -> OciInstance:
        """One that is counted from now on, although nothing of it is there."""
        name = uuid.uuid4().hex[:16]
        instance = OciInstance(name, self._settings.stop_seconds, self._forget)
        self._instances[name] = instance
        return instance

    async def _launch(
        self,
        instance: OciInstance,
        spec: LaunchSpec,
        program: RuntimeProgram,
        image: tuple[ImageConfig, Path],
        heard: tuple[asyncio.Protocol, asyncio.Protocol],
        *,
        network: OpensNetwork | None = None,
    ) -> None:
        channel = await self._supervisor()
        order = self._order(instance.name, spec, program, image)
        await instance.launch(channel, program, order, heard, network)

    def _network(self, spec: LaunchSpec, report: EgressReport | None) -> OpensNetwork | None:
        """What opens its ways in and out; None for one without. Raises UpstreamUnreachable."""
        if not (spec.egress or spec.port):
            return None
        check_egress(spec, report)
        if spec.tier == "strong":
            raise UpstreamUnreachable(
                "A container of gVisor has no network here, and this server asks for one.",
                remedy="Allow it no egress and no port, or the tier standard.",
            )

        async def open_network(namespace: int) -> InstanceNetwork:
            return await attach_network(namespace, spec, report, self._settings)

        return open_network

    def _order(
        self,
        name: str,
        spec: LaunchSpec,
        program: RuntimeProgram,
        image: tuple[ImageConfig, Path],
    ) -> dict[str, Any]:
        """What the supervisor is told to make. It holds resolved secrets, and is kept nowhere."""
        config, root = image
        own_kernel = program.tier == "strong"
        folder = f"{self.folder}/{name}"
        plan = BundlePlan(
            command=(*config.command, *spec.command),
            env={**_ENV, **config.env, **spec.env},
            cwd=spec.cwd or config.cwd,
            limits=spec.limits,
            tier=program.tier,
            first_id=self._take_range(name),
            folder=folder,
            group=f"{self.group}/{name}",
            names=bool(spec.egress) and names_elsewhere(root),
        )
        own = program.command(f"{self.folder}/.{program.name}", f"{folder}/log")
        return {
            "create": [*own, "create", "--bundle", folder, "--pid-file", f"{folder}/pid", name],
            "start": [*own, "start", name],
            "delete": [*own, "delete", "--force", name],
            "image": str(root),
            "config": container_config(plan),
            "files": spec.files,
            "owner": secret_owner(plan),
            "group": plan.group,
            # What stands for a container of gVisor on this machine is not its program.
            "term": [*own, "kill", name, "TERM"] if own_kernel else [],
            "shell_status": own_kernel,
        }

    async def _supervisor(self) -> SupervisorChannel:
        async with self._opening:
            if self._channel is None or not self._channel.open:
                if os.geteuid() != 0:
                    raise UpstreamUnreachable(_ROOT, remedy=_WITHOUT_ROOT)
                if self._channel is not None:  # it was killed
                    await self._channel.wait_until_over()
                if self._sweep is not None:  # it would end what the next one starts
                    await asyncio.wait((self._sweep,))
                if self._channel is not None:
                    await self._channel.wait_until_over()  # or it stays as a zombie
                self._channel = SupervisorChannel(self._hear, self._lose_supervisor)
                await self._channel.start(self.folder, self.group, self._settings.stop_seconds)
            return self._channel

    def _hear(self, told: Telling) -> None:
        instance = self._instances.get(told["id"])
        if instance is not None:
            instance.hear(told)

    def _lose_supervisor(self) -> None:
        """It was killed: end what it left, and tell of each that it ended."""
        # Those that begin just now or meanwhile wait for it, and get another supervisor.
        lost = [each for each in self.instances() if each.ordered]
        self._sweep = asyncio.get_running_loop().create_task(self._end_what_is_left(lost))

    async def _end_what_is_left(self, lost: list[OciInstance]) -> None:
        await asyncio.to_thread(sweep_groups, self.group)
        for each in lost:
            each.lose()

    def _take_range(self, name: str) -> int:
        """The first id of a range that no container of ours has."""
        taken = set(self._ranges.values())
        number = next(
            each for step in range(RANGES) if (each := (self._first + step) % RANGES) not in taken
        )
        self._ranges[name] = number
        return self._settings.first_range + number * RANGE

    def _forget(self, instance: OciInstance) -> None:
        self._instances.pop(instance.name, None)
        self._ranges.pop(instance.name, None)
