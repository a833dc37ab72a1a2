"""Runs servers as pods of a cluster: a Deployment each, with a bridge that waits for the gate."""

import asyncio
import secrets

from gatelodge.adapters.runtime.kubernetes.api import ClusterApi
from gatelodge.adapters.runtime.kubernetes.instance import KubernetesInstance
from gatelodge.adapters.runtime.kubernetes.launch import (
    MEND_IMAGES,
    MEND_NETWORK,
    MEND_USERS,
    NO_IMAGES,
    InstanceLaunch,
    NamespaceLack,
    check_spec,
)
from gatelodge.adapters.runtime.kubernetes.objects import (
    InstanceMark,
    InstanceShape,
    deployment_object,
)
from gatelodge.config.schema import HostingSettings
from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.hosting.facts import TIERS, IsolationTier
from gatelodge.core.hosting.limits import InstanceLimits
from gatelodge.ports.images import ImageStore
from gatelodge.ports.runtime import EgressReport, LaunchSpec, RuntimeGap, RuntimeOffer

_UIDS = range(10_001, 65_000)
"""Within what each user namespace maps; no two instances of a gate have the same one."""
_TRIAL = InstanceShape(
    image=f"gatelodge.invalid/trial@sha256:{'0' * 64}",
    uid=_UIDS.start,
    limits=InstanceLimits(),
    files=(),
    runtime_class="",
    own_users=False,
    grace=1.0,
)


class KubernetesRuntime:
    """Implements `Runtime` for one namespace of a cluster. On one event loop."""

    def __init__(self, settings: HostingSettings, images: ImageStore, mark: str) -> None:
        """`mark` is this gate's own: what bears it and is of no running instance is removed."""
        self._settings = settings
        self._images = images
        self._mark = mark
        self._generation = secrets.token_hex(8)
        self._api = ClusterApi(settings.kubernetes_namespace, settings.kubernetes_config)
        self._instances: set[KubernetesInstance] = set()
        self._own_users = True
        """False once a node said that it has no user namespaces."""
        self._swept = False
        self._sweeps: set[asyncio.Task[None]] = set()
        self.reached: tuple[str, ...] = ()
        """What the bridge of the last instance could reach; it should be nothing."""

    async def start(
        self,
        spec: LaunchSpec,
        output: asyncio.Protocol,
        errors: asyncio.Protocol,
        report: EgressReport | None = None,  # noqa: ARG002 - nothing is connected from a pod
    ) -> KubernetesInstance:
        """Start a pod for this server. Raises UpstreamUnreachable."""
        check_spec(spec, self._settings)
        config = await self._images.config(spec.image)
        while True:
            instance = self._new_instance(spec.server)
            launch = InstanceLaunch(self._api, self._settings, spec, config)
            try:
                await launch.bring_up(instance, output, errors, own_users=self._own_users)
            except NamespaceLack:
                await instance.stop(0.0)
                if TIERS.index(spec.tier) >= TIERS.index("standard"):
                    text = "The node has no user namespaces, which the tier standard needs."
                    raise UpstreamUnreachable(text, remedy=MEND_USERS) from None
                self._own_users = False
            except BaseException:
                await instance.stop(0.0)
                raise
            else:
                return instance
            finally:
                self.reached = launch.reached

    def instances(self) -> tuple[KubernetesInstance, ...]:
        """All that were started and are not wholly gone."""
        return tuple(self._instances)

    def keep(self, servers: frozenset[str]) -> None:  # noqa: ARG002 - none has a cache
        """Remove what an earlier run of this gate left, of whatever server; nothing is kept."""
        if not self._swept:
            self._swept = True
            self._spawn_sweep()

    async def close(self) -> None:
        """Wait for what is being removed."""
        if self._sweeps:
            await asyncio.wait(self._sweeps)
        await self._api.close()

    async def probe(self) -> RuntimeOffer:
        """What it can do: the objects of an instance are tried on the cluster, and not stored.

        Whether network policies are enforced, and whether nodes have user namespaces, each start
        finds out for itself before it starts a server; what the last one found is told here.
        """
        instance = InstanceMark(self._mark, self._generation, secrets.token_hex(6), "srv_trial")
        try:
            await self._api.create(deployment_object(instance, _TRIAL), trial=True)
            await self._api.instances(self._mark)
            await self._api.pods(instance.instance)
        except UpstreamUnreachable as failed:
            return RuntimeOffer(
                runtime="kubernetes", gaps=(RuntimeGap(failed.detail, failed.remedy),)
            )
        gaps = []
        tiers: tuple[IsolationTier, ...] = ("none", "weak", "standard")
        if self._settings.kubernetes_strong_class:
            tiers = (*tiers, "strong")
        if not self._own_users:
            tiers = tuple(each for each in tiers if each != "standard")
            gaps.append(RuntimeGap("The nodes have no user namespaces.", MEND_USERS))
        if self.reached:
            tiers = ("none",)
            text = f"EGRESS POLICY IS NOT ENFORCED: an instance reached {', '.join(self.reached)}."
            gaps.append(RuntimeGap(text, MEND_NETWORK))
        if not self._settings.kubernetes_images:
            tiers = ()
            gaps.append(RuntimeGap(NO_IMAGES, MEND_IMAGES))
        return RuntimeOffer(runtime="kubernetes", tiers=tiers, gaps=tuple(gaps))

    def _new_instance(self, server: str) -> KubernetesInstance:
        taken = {each.uid for each in self._instances}
        uid = secrets.choice([each for each in _UIDS if each not in taken])
        name = secrets.token_hex(6)
        mark = InstanceMark(self._mark, self._generation, name, server)
        grace = self._settings.stop_seconds
        instance = KubernetesInstance(mark, uid, self._api, grace, self._release)
        self._instances.add(instance)
        return instance

    def _release(self, instance: KubernetesInstance, removed: bool) -> None:  # noqa: FBT001
        """Nothing of it runs; what the cluster did not remove is removed later."""
        self._instances.discard(instance)
        if not removed:
            self._swept = False

    def _spawn_sweep(self) -> None:
        sweep = asyncio.get_running_loop().create_task(self._sweep())
        self._sweeps.add(sweep)
        sweep.add_done_callback(self._sweeps.discard)

    async def _sweep(self) -> None:
        """Remove what bears our mark and is of none that runs; again at the next `keep` if not."""
        try:
            running = {each.mark for each in self._instances}
            for found in await self._api.instances(self._mark):
                if found not in running:
                    await self._api.remove(found.name)
        except UpstreamUnreachable:
            self._swept = False


def kubernetes_runtime(
    settings: HostingSettings, images: ImageStore, mark: str
) -> KubernetesRuntime:
    """For the namespace and the cluster of the settings; nothing is asked of it before a start."""
    return KubernetesRuntime(settings, images, mark)
