"""What runs servers on this machine: each runtime by the name that the settings have for it."""

import ssl
from functools import partial
from hashlib import sha256
from pathlib import Path
from socket import gethostname

import gatelodge
from gatelodge.adapters.images.store import OciImageStore, image_store
from gatelodge.adapters.net.fetch import GuardedClient
from gatelodge.adapters.runtime.oci.groups import is_anything_left
from gatelodge.adapters.runtime.process.runtime import process_runtime
from gatelodge.adapters.runtime.process.uids import UidAllocator
from gatelodge.adapters.runtime.selector import BackendMakers, LeftoverChecks, RuntimeSelector
from gatelodge.app.build import OpenResources
from gatelodge.config.schema import HostingSettings
from gatelodge.core.catalog.registries import read_login, read_origin
from gatelodge.flows.hosting.artifacts import ArtifactBuild
from gatelodge.flows.hosting.recorded_runtime import RecordedRuntime
from gatelodge.flows.trust.admission import AdmittedRuntimes
from gatelodge.ports.images import ImageStore
from gatelodge.ports.runtime import ChosenRuntimes, ProbedRuntime


def image_keeper(ground: OpenResources) -> OciImageStore:
    """Where the images of hosted servers are kept, and unpacked for those that run them."""
    return image_store(ground.directory, ground.settings.hosting.cache_dir, ground.clock)


def artifact_build(
    ground: OpenResources, images: OciImageStore, uids: UidAllocator
) -> ArtifactBuild:
    """What builds images, with the tools of each kind of package."""
    from gatelodge.adapters.images.registry.pull import RegistryImages
    from gatelodge.adapters.images.registry.session import RegistryWays
    from gatelodge.adapters.runtime.packages.downloads import FileDownloads
    from gatelodge.adapters.runtime.packages.mcpb import BundleInstaller
    from gatelodge.adapters.runtime.packages.npm import NpmInstaller
    from gatelodge.adapters.runtime.packages.pypi import PypiInstaller
    from gatelodge.adapters.runtime.packages.sandbox import ToolSandbox
    from gatelodge.adapters.runtime.packages.workshop import BuildLimits, remove_leftovers

    hosting, folder = ground.settings.hosting, ground.directory / "builds"
    remove_leftovers(folder)
    sandbox = ToolSandbox(
        ground.directory,
        uids,
        production=hosting.production,
        scripts=hosting.production_scripts,
    )
    limits = BuildLimits(seconds=hosting.build_seconds, bytes=hosting.build_bytes)
    client = GuardedClient(ssl.create_default_context, gatelodge.__version__)
    private = frozenset(map(read_origin, hosting.private_origins))
    ways = RegistryWays(
        client=client,
        private=private,
        logins=dict(map(read_login, hosting.registry_logins)),
        secret=ground.secrets.resolve,
    )
    return ArtifactBuild(
        # In a cluster it runs the bridge, which stands before a server of any kind.
        always=("python",) if hosting.runtime == "kubernetes" else (),
        keeper=images,
        installers={
            "pypi": PypiInstaller(folder, limits, sandbox),
            "npm": NpmInstaller(folder, limits, sandbox),
            "mcpb": BundleInstaller(folder, limits, sandbox),
        },
        registries=RegistryImages(images, ways, hosting.build_seconds, hosting.build_bytes),
        files=FileDownloads(folder, limits, client, private),
        clock=ground.clock,
        place=Path,
        gap=sandbox.gap,
    )


def runtime_selector(
    settings: HostingSettings,
    directory: Path,
    images: ImageStore,
    uids: UidAllocator,
) -> RuntimeSelector:
    """The runtimes of a gate with this data directory; nothing of theirs is loaded yet."""
    makers: BackendMakers = {
        "oci": partial(_container_runtime, settings, directory, images),
        "landlock": partial(_weak_runtime, settings, directory, images, uids),
        "docker": partial(_engine_runtime, settings, directory, images),
        "kubernetes": partial(_cluster_runtime, settings, directory, images),
    }
    left: LeftoverChecks = {
        "oci": partial(is_anything_left, directory),
        # Only the engine knows; one that the settings name is asked once.
        "docker": lambda: bool(settings.docker_url),
    }
    return RuntimeSelector(settings, process_runtime(settings, directory, uids), makers, left)


def _container_runtime(
    settings: HostingSettings, directory: Path, images: ImageStore
) -> ProbedRuntime:
    from gatelodge.adapters.runtime.oci.runtime import OciRuntime

    return OciRuntime(settings, images, directory)


def _weak_runtime(
    settings: HostingSettings, directory: Path, images: ImageStore, uids: UidAllocator
) -> ProbedRuntime:
    from gatelodge.adapters.runtime.landlock.runtime import landlock_runtime

    return landlock_runtime(settings, directory, images, uids)


def _engine_runtime(
    settings: HostingSettings, directory: Path, images: ImageStore
) -> ProbedRuntime:
    from gatelodge.adapters.runtime.docker.runtime import docker_runtime

    return docker_runtime(settings, images, _mark_of_gate(str(directory)))


def _cluster_runtime(
    settings: HostingSettings, directory: Path, images: ImageStore
) -> ProbedRuntime:
    from gatelodge.adapters.runtime.kubernetes.runtime import kubernetes_runtime

    # Of two replicas that share a namespace, neither may take the other's instances for its own.
    return kubernetes_runtime(settings, images, _mark_of_gate(f"{gethostname()}:{directory}"))


def _mark_of_gate(text: str) -> str:
    """What tells a gate's own from another's, in names and labels."""
    return sha256(text.encode()).hexdigest()[:16]


def recorded_runtime(
    ground: OpenResources, images: ImageStore, uids: UidAllocator
) -> RecordedRuntime:
    """The one gate before all of them."""
    hosting = ground.settings.hosting
    chosen: ChosenRuntimes = runtime_selector(hosting, ground.directory, images, uids)
    if ground.settings.trust.require_card:
        chosen = AdmittedRuntimes(chosen, ground.store, ground.clock)
    return RecordedRuntime(
        chosen,
        ground.recorder,
        ground.deks,
        ground.clock,
        ground.ids,
        hosting,
    )
