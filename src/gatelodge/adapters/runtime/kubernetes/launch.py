"""How an instance comes up: nothing of the server starts before what it is in has been looked at.

The objects are stored; the pod that the cluster made of them is read back and compared; its bridge,
which has started nothing yet, tells what it found and whether it could break out; only then is it
told to start the server (decision 0034).
"""

import asyncio
import functools
import re
import socket
from typing import Any, Final

from gatelodge.adapters.runtime.finish import finish_despite_cancellation
from gatelodge.adapters.runtime.kubernetes.api import ClusterApi
from gatelodge.adapters.runtime.kubernetes.attestation import changes
from gatelodge.adapters.runtime.kubernetes.connection import BridgeConnection, connect_bridge
from gatelodge.adapters.runtime.kubernetes.credentials import InstanceCredentials, make_credentials
from gatelodge.adapters.runtime.kubernetes.instance import KubernetesInstance
from gatelodge.adapters.runtime.kubernetes.look import MEND_REACH, SurroundingsLook
from gatelodge.adapters.runtime.kubernetes.objects import (
    GATE_PORT,
    InstanceMark,
    InstanceShape,
    deployment_object,
    secret_object,
)
from gatelodge.adapters.runtime.kubernetes.reasons import (
    no_node,
    refused_by_cluster,
    start_failure,
    unscheduled,
)
from gatelodge.adapters.runtime.landlock.filters import compile_filter
from gatelodge.adapters.runtime.seccomp.profile import seccomp_profile
from gatelodge.config.schema import HostingSettings
from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.hosting.facts import TIERS, IsolationFacts
from gatelodge.ports.images import ImageConfig
from gatelodge.ports.runtime import LaunchSpec

_START_SECONDS: Final = 90.0
"""The pull of an image is within it."""
_ANSWER_SECONDS: Final = 20.0
_LOOK_SECONDS: Final = 0.1
_USERS_SECONDS: Final = 1.0
"""After this a pod that has not begun is asked whether its node has user namespaces."""
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}")
_NO_EGRESS: Final = (
    "Host it on this machine (hosting.runtime), or give it no egress: a network policy knows no "
    "names."
)
MEND_NETWORK: Final = (
    "Use a network plugin that enforces network policies, and apply deploy/kubernetes."
)
MEND_USERS: Final = (
    "Use nodes with user namespaces (Kubernetes 1.33, containerd 2.0 or CRI-O 1.25 and later), or "
    "give the server a weaker tier."
)
NO_IMAGES: Final = "It is not said from where the cluster pulls images."
MEND_IMAGES: Final = "Set hosting.kubernetes_images, and push images there; see docs/operations.md."
_MEND_STRONG: Final = (
    "Name a RuntimeClass with a kernel of its own: hosting.kubernetes_strong_class."
)
_ENV: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
_HOME: Final = "/tmp"  # noqa: S108 - the instance's own


class NamespaceLack(Exception):
    """The node that took the pod has no user namespaces: the start may be tried without one."""


class InstanceLaunch:
    """One start, from a spec and the configuration of its image."""

    def __init__(
        self, api: ClusterApi, settings: HostingSettings, spec: LaunchSpec, config: ImageConfig
    ) -> None:
        self._api, self._settings, self._spec, self._config = api, settings, spec, config
        self.reached: tuple[str, ...] = ()
        """What the bridge could connect to, and should not."""

    async def bring_up(
        self,
        instance: KubernetesInstance,
        output: asyncio.Protocol,
        errors: asyncio.Protocol,
        *,
        own_users: bool,
    ) -> None:
        """Start it. Raises UpstreamUnreachable; `instance.stop` is due also when this fails."""
        self._api.address()  # without a configuration there is nothing to be removed later
        credentials = make_credentials()
        strong = self._spec.tier == "strong"
        shape = InstanceShape(
            image=f"{self._settings.kubernetes_images}@{self._spec.image}",
            uid=instance.uid,
            limits=self._spec.limits,
            files=tuple(self._spec.files),
            runtime_class=self._settings.kubernetes_strong_class if strong else "",
            # A runtime with a kernel of its own keeps its users apart by itself.
            own_users=own_users and not strong,
            grace=self._settings.stop_seconds,
        )
        sent = deployment_object(instance.mark, shape)
        instance.stored = True
        # Whoever is cut off while it is being stored would remove what comes only afterwards.
        await finish_despite_cancellation(self._store(instance.mark, sent, credentials))
        found = await self._running_copy(instance, own_users=shape.own_users)
        changed = changes(found["spec"], sent["spec"]["template"]["spec"])
        if changed:
            text = f"The cluster changed what was to run: {', '.join(changed)}."
            raise UpstreamUnreachable(text, remedy=_MEND_ADMISSION)
        connection = await self._connection(found["status"]["podIP"], credentials)
        instance.connect(connection)
        look = SurroundingsLook(
            self._api,
            connection,
            sent["spec"]["template"]["spec"],
            strong_class=self._settings.kubernetes_strong_class,
            processes=self._spec.limits.processes,
        )
        facts, machine = await self._look_around(look, credentials, found["spec"])
        await self._start_server(connection, machine, output, errors)
        instance.started(facts, look)

    async def _store(
        self, mark: InstanceMark, deployment: dict[str, Any], credentials: InstanceCredentials
    ) -> None:
        stored = await self._api.create(deployment)
        owner = stored["metadata"]["uid"]
        await self._api.create(secret_object(mark, owner, credentials, self._spec.files))

    async def _running_copy(
        self, instance: KubernetesInstance, *, own_users: bool
    ) -> dict[str, Any]:
        """The pod, once its container runs; by looking, so that no watch can be lost."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        why = "it was not scheduled."
        while loop.time() - began < _START_SECONDS:
            found = await self._api.pods(instance.mark.instance)
            if not found:
                refused = refused_by_cluster(await self._api.deployment(instance.mark.name))
                if refused is not None:
                    raise refused
            for each in found:
                failed = start_failure(each)
                if failed is not None:
                    raise failed
                if _runs(each):
                    return each
                why = unscheduled(each) or "its container did not start in time."
                if own_users and loop.time() - began > _USERS_SECONDS:
                    await self._look_for_users(each["metadata"]["name"])
            await asyncio.sleep(_LOOK_SECONDS)
        raise no_node(why)

    async def _look_for_users(self, name: str) -> None:
        """Raises NamespaceLack when its node said so."""
        for told in await self._api.events(name):
            if "user namespace" in told:
                raise NamespaceLack

    async def _connection(self, address: str, credentials: InstanceCredentials) -> BridgeConnection:
        """Its bridge listens a moment after its container runs."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _ANSWER_SECONDS
        while True:
            try:
                return await asyncio.wait_for(
                    connect_bridge(address, GATE_PORT, credentials), _ANSWER_SECONDS
                )
            except (OSError, TimeoutError) as failed:
                if loop.time() > until:
                    text = f"Its bridge at {address} does not answer: {type(failed).__name__}."
                    raise UpstreamUnreachable(text, remedy=MEND_REACH) from None
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look_around(
        self, look: SurroundingsLook, credentials: InstanceCredentials, stored: dict[str, Any]
    ) -> tuple[IsolationFacts, str]:
        """What it is in, and on what machine; refused when it is less than the spec asks for."""
        wanted = self._spec.tier
        inside = await look.inside(credentials.token, tried=wanted != "none")
        facts = look.read(stored, inside)
        self.reached = look.reached
        if TIERS.index(facts.tier) < TIERS.index(wanted):
            raise _too_weak(facts, wanted, self.reached)
        return facts, str(inside.get("machine"))

    async def _start_server(
        self,
        connection: BridgeConnection,
        machine: str,
        output: asyncio.Protocol,
        errors: asyncio.Protocol,
    ) -> None:
        """The order holds resolved secrets: it goes through TLS, and is kept nowhere."""
        home = {"HOME": _HOME, "TMPDIR": _HOME}
        command = [*self._config.command, *self._spec.command]
        order = {
            "command": command,
            "env": {**_ENV, **self._config.env, **home, **self._spec.env},
            "cwd": self._spec.cwd or _HOME,
            "grace": self._settings.stop_seconds,
            "filter": _server_filter(machine),
        }
        connection.start(order, output, errors)
        await asyncio.wait((connection.started,), timeout=_ANSWER_SECONDS)
        failed = "its bridge said nothing in time"
        if connection.started.done() and not connection.started.cancelled():
            failed = connection.started.result()
        if failed:
            text = f"The program {command[0]!r} could not be started: {failed}."
            raise UpstreamUnreachable(text, remedy=_MEND_PROGRAM)


_MEND_ADMISSION: Final = (
    "Exempt the namespace of instances from whatever adds to pods (a service mesh, a webhook)."
)
_MEND_PROGRAM: Final = (
    "Correct its arguments, or build the image anew: gatelodge server edit ALIAS."
)


def check_spec(spec: LaunchSpec, settings: HostingSettings) -> None:
    """Refuse what no pod can be. Raises UpstreamUnreachable."""
    if not spec.image:
        text = "A cluster runs images, and this is a program of this machine."
        raise UpstreamUnreachable(text, remedy="Host it from a package, as an image.")
    if not settings.kubernetes_images:
        raise UpstreamUnreachable(NO_IMAGES, remedy=MEND_IMAGES)
    if spec.egress:
        text = "The network of a cluster knows no names that a server could reach."
        raise UpstreamUnreachable(text, remedy=_NO_EGRESS)
    if spec.tier == "strong" and not settings.kubernetes_strong_class:
        text = "No runtime class of the cluster has a kernel of its own."
        raise UpstreamUnreachable(text, remedy=_MEND_STRONG)
    for name in spec.files:
        if _FILE_NAME.fullmatch(name) is None or ".." in name:
            text = f"The file {name[:80]!r} cannot be in a Secret."
            raise UpstreamUnreachable(text, remedy="Give it a plain name.")


@functools.cache
def _server_filter(machine: str) -> str:
    """Our own list of system calls, within the node's; of sockets there are Unix ones alone.

    No server in a cluster has egress, so this holds also where no network policy does. Raises
    UpstreamUnreachable for a machine of another kind.
    """
    profile = seccomp_profile(machine)
    rules = [
        each
        for each in profile["syscalls"]
        if "socket" not in each["names"] or each["args"][0]["value"] == socket.AF_UNIX
    ]
    return compile_filter({**profile, "syscalls": rules}, machine).hex()


def _runs(copy: dict[str, Any]) -> bool:
    status = copy.get("status", {})
    states = [each.get("state", {}) for each in status.get("containerStatuses", ())]
    return bool(status.get("podIP")) and bool(states) and all("running" in each for each in states)


def _too_weak(facts: IsolationFacts, wanted: str, reached: tuple[str, ...]) -> UpstreamUnreachable:
    if not facts.filtered:
        text = (
            "The egress policy is not enforced in this cluster: from within its pod "
            f"{', '.join(reached) or 'nothing could be tried'} was reached."
        )
        return UpstreamUnreachable(text, remedy=MEND_NETWORK)
    text = f"The cluster keeps the tier {facts.tier}, and {wanted} was asked for."
    return UpstreamUnreachable(text, remedy=MEND_USERS)
