"""Runs hosted servers in containers of the engine that the settings name."""

import asyncio
import secrets as random
import sys
from pathlib import Path

from msgspec import structs

from gatelodge.adapters.aside import opened_aside
from gatelodge.adapters.runtime.docker.body import (
    INSTANCE,
    MARK,
    SERVER,
    ContainerPlan,
    container_body,
    docker_profile,
)
from gatelodge.adapters.runtime.docker.engine import ContainerEngine, EngineImage, EngineTraits
from gatelodge.adapters.runtime.docker.image import image_ids
from gatelodge.adapters.runtime.docker.instance import ContainerInstance, OpensNetwork
from gatelodge.adapters.runtime.docker.probe import probe_engine
from gatelodge.adapters.runtime.docker.secrets import (
    NAMES,
    make_private_directory,
    remove_secrets,
    sweep_secrets,
    write_secrets,
)
from gatelodge.adapters.runtime.network.gate import EgressGate, open_egress_gate
from gatelodge.adapters.runtime.process.supervisor import remove_tree
from gatelodge.adapters.runtime.seccomp.profile import seccomp_profile
from gatelodge.config.schema import HostingSettings
from gatelodge.core.catalog.masking import LEAST_HIDDEN
from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.hosting.facts import TIERS
from gatelodge.ports.images import ImageConfig, ImageStore
from gatelodge.ports.runtime import EgressReport, LaunchSpec, RuntimeOffer

_IMAGES = "Host it from a package: gatelodge server add ALIAS pypi:NAME@VERSION"
_LOAD = "See that the engine has room, and what it says: gatelodge doctor."
_LISTENS = "Host it over stdio, or with another runtime."
_EGRESS = "Start it through the gate."
_STRONG = 'Set hosting.runtime to "oci" with runsc, or ask for another tier.'
_HOME = "/tmp"  # noqa: S108 - inside the container
_PATH = "/usr/local/bin:/usr/bin:/bin"
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


class DockerRuntime:
    """Implements `Runtime`. Used on one event loop."""

    def __init__(
        self, engine: ContainerEngine, images: ImageStore, settings: HostingSettings, *, mark: str
    ) -> None:
        """`mark` tells this gate's containers from those of others that the engine has."""
        self._engine = engine
        self._images = images
        self._mark = mark
        self._settings = settings
        self._instances: set[ContainerInstance] = set()
        self._ids: dict[str, frozenset[str]] = {}
        """By image: how the engine may name it."""
        self._loading = asyncio.Lock()
        self._no_ranges = False
        """True once the engine refused to give a container uids of its own."""
        self._profiles: Path | None = None
        self._lost = set[str]()
        """Containers that could not be removed, since the engine did not answer."""
        self._swept = False
        self._removals: set[asyncio.Task[None]] = set()

    async def start(
        self,
        spec: LaunchSpec,
        output: asyncio.Protocol,
        errors: asyncio.Protocol,
        report: EgressReport | None = None,
    ) -> ContainerInstance:
        """Start a container of the spec's image. Raises UpstreamUnreachable."""
        _check_spec(spec)
        network = self._network(spec, report)
        name = f"gatelodge-{self._mark}-{random.token_hex(8)}"
        instance = ContainerInstance(self._engine, name, self._settings.stop_seconds, self._let_go)
        self._instances.add(instance)
        try:
            await self._launch(instance, spec, (output, errors), network)
        except UpstreamUnreachable as failed:
            await instance.stop(0.0)
            raise _without_secrets(failed, spec) from None
        except BaseException:
            await instance.stop(0.0)
            raise
        return instance

    def instances(self) -> tuple[ContainerInstance, ...]:
        """All that were started and are not wholly gone."""
        return tuple(self._instances)

    def keep(self, servers: frozenset[str]) -> None:  # noqa: ARG002 - none outlasts its gate
        """Remove what an earlier gate left: nobody holds its streams any more."""
        if self._swept and not self._lost:
            return
        self._swept = True
        removal = asyncio.get_running_loop().create_task(self._sweep())
        self._removals.add(removal)
        removal.add_done_callback(self._removals.discard)

    async def probe(self) -> RuntimeOffer:
        """What the engine can do, as it says, and as a container that is made shows."""
        return await probe_engine(self._engine, self._mark)

    async def close(self) -> None:
        """Wait for what is being removed, and let go of the engine."""
        if self._removals:
            await asyncio.wait(self._removals)
        if self._profiles is not None:
            await asyncio.to_thread(remove_tree, str(self._profiles))
            self._profiles = None
        await self._engine.close()

    async def _launch(
        self,
        instance: ContainerInstance,
        spec: LaunchSpec,
        heard: tuple[asyncio.Protocol, asyncio.Protocol],
        network: OpensNetwork | None,
    ) -> None:
        traits = await self._engine.traits()
        config = await self._images.config(spec.image)
        image = await self._present_image(spec.image)
        profile = await asyncio.to_thread(self._profile, traits)
        if spec.files or network is not None:
            instance.secrets = await opened_aside(
                lambda: write_secrets(self._mark, instance.name, spec.files), remove_secrets
            )
        plan = ContainerPlan(
            image=image.id,
            command=(*config.command, *spec.command),
            env=_variables(config, spec),
            cwd=spec.cwd or config.cwd,
            limits=spec.limits,
            labels={MARK: self._mark, SERVER: spec.server, INSTANCE: instance.name},
            profile=profile,
            secrets=str(instance.secrets) if spec.files else "",
            names=str(instance.secrets.with_name(NAMES)) if network and instance.secrets else "",
            volumes=image.volumes,
        )
        await self._create(instance, plan, traits, spec)
        runtime = f"{traits.words} ({traits.runtime})"
        if not profile:
            runtime += ", its own list of system calls"
        await instance.run(traits, runtime, *heard, network)

    def _network(self, spec: LaunchSpec, report: EgressReport | None) -> OpensNetwork | None:
        """What opens its way out; None for a server that has none. Raises UpstreamUnreachable."""
        if not spec.egress:
            return None
        if report is None:
            text = "A server with a network needs somebody who records its connections."
            raise UpstreamUnreachable(text, remedy=_EGRESS)
        private = self._settings.egress_private

        async def open_network(namespace: int) -> EgressGate:
            return await open_egress_gate(namespace, spec.egress, report, private=private)

        return open_network

    async def _create(
        self,
        instance: ContainerInstance,
        plan: ContainerPlan,
        traits: EngineTraits,
        spec: LaunchSpec,
    ) -> None:
        """Make the container, with uids of its own where the engine has some to give."""
        ranges = traits.kind == "podman" and not traits.rootless and not self._no_ranges
        if ranges:
            wanted = structs.replace(plan, own_range=True)
            try:
                await instance.create(container_body(wanted, traits))
                return
            except UpstreamUnreachable:
                if TIERS.index(spec.tier) >= TIERS.index("standard"):
                    raise
        await instance.create(container_body(plan, traits))
        # It was the range, then, that the engine could not give.
        self._no_ranges = self._no_ranges or ranges

    async def _present_image(self, image: str) -> EngineImage:
        """The image in the engine, loaded where it is not there. Raises UpstreamUnreachable."""
        async with self._loading:
            if image not in self._ids:
                self._ids[image] = await image_ids(image, await self._images.archive(image))
            found = await self._find_image(image)
            if found is None:
                await self._engine.load(await self._images.archive(image))
                found = await self._find_image(image)
        if found is None:
            raise UpstreamUnreachable(
                f"The container engine has not taken the image {image[:19]} as it was built.",
                remedy=_LOAD,
            )
        return found

    async def _find_image(self, image: str) -> EngineImage | None:
        """By each of its ids: a name says nothing, a digest all."""
        known = self._ids[image]
        for each in sorted(known):
            found = await self._engine.image(each)
            if found is not None and found.id in known:
                return found
        return None

    def _profile(self, traits: EngineTraits) -> str:
        """Our list of system calls as the engine takes it, empty where it cannot be given.

        Docker takes the text, Podman a path on its own machine: what is over TCP has none.
        """
        profile = seccomp_profile(_MACHINES.get(traits.machine, traits.machine))
        if traits.kind == "docker":
            return docker_profile(profile)
        if not self._engine.place.path or sys.platform != "linux":
            return ""
        if self._profiles is None or not self._profiles.is_dir():  # with a session its memory goes
            self._profiles = make_private_directory(self._mark)
        file = self._profiles / "seccomp.json"
        if not file.exists():
            file.write_text(docker_profile(profile))
        return str(file)

    def _let_go(self, instance: ContainerInstance, removed: bool) -> None:  # noqa: FBT001
        """Nothing of it is held any more; what could not be removed is tried again."""
        self._instances.discard(instance)
        if not removed:
            self._lost.add(instance.name)

    async def _sweep(self) -> None:
        """Remove all of ours that no instance stands for; tried again by the next `keep`."""
        try:
            found = await self._engine.labelled(f"{MARK}={self._mark}")
            held = {each.name for each in self._instances}
            for name in found - held:
                await self._engine.signal(name, "SIGKILL")
                await self._engine.remove(name)
            self._lost.clear()
        except UpstreamUnreachable:
            self._swept = False
            return
        folders = {each.secrets.parent for each in self._instances if each.secrets is not None}
        if self._profiles is not None:
            folders.add(self._profiles)
        kept = frozenset(map(str, folders))
        await asyncio.to_thread(sweep_secrets, self._mark, kept)


def _check_spec(spec: LaunchSpec) -> None:
    """Refuse what no container of this machine's engine can be. Raises UpstreamUnreachable."""
    if not spec.image:
        text = "A container engine starts images, and this server is a program of the machine."
        raise UpstreamUnreachable(text, remedy=_IMAGES)
    if spec.port:
        text = "A server that listens is not reached in a container of an engine."
        raise UpstreamUnreachable(text, remedy=_LISTENS)
    if spec.tier == "strong":
        text = "A container shares the machine's kernel, and this server asks for one of its own."
        raise UpstreamUnreachable(text, remedy=_STRONG)


def _variables(config: ImageConfig, spec: LaunchSpec) -> dict[str, str]:
    usual = {"PATH": _PATH, "LANG": "C.UTF-8", "HOME": _HOME, "TMPDIR": _HOME}
    return {**usual, **config.env, **spec.env}


def _without_secrets(failed: UpstreamUnreachable, spec: LaunchSpec) -> UpstreamUnreachable:
    """The error without what was given in trust: engines repeat what they were asked."""
    text = failed.detail
    for each in (*spec.env.values(), *spec.files.values()):
        if len(each) >= LEAST_HIDDEN:
            text = text.replace(each, "***")
    return UpstreamUnreachable(text, remedy=failed.remedy)


def docker_runtime(settings: HostingSettings, images: ImageStore, mark: str) -> DockerRuntime:
    """The runtime of the engine at `hosting.docker_url`; nothing is asked of it yet.

    `mark` is this gate's own, of letters and digits: containers that bear it are removed as its
    leftovers.
    """
    engine = ContainerEngine(settings.docker_url)
    return DockerRuntime(engine, images, settings, mark=mark)
