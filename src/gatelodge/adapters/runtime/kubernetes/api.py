"""The few things that a gate asks of a cluster, and what a refusal of it means.

`lightkube` is loaded here and nowhere else, when the first instance is started.
"""

import time
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from gatelodge.adapters.runtime.kubernetes.objects import GATE, INSTANCE, InstanceMark
from gatelodge.core.errors import UpstreamUnreachable

if TYPE_CHECKING:
    from lightkube import AsyncClient

_CLIENT_SECONDS: Final = 600.0
"""A client is made anew after this: the token of a service account is replaced by the hour."""
_EXTRA: Final = "Install it with its extra: pip install 'gatelodge[kubernetes]'."
_CONFIG: Final = (
    "Set hosting.kubernetes_config to a kubeconfig, or run the gate in the cluster with a service "
    "account (deploy/kubernetes)."
)
_RIGHTS: Final = "Give the gate the role of deploy/kubernetes in that namespace."
_REACH: Final = "See that the cluster's API can be reached from here: gatelodge doctor."

_STRANGE: Final = (ValueError, LookupError, TypeError, AttributeError)

Answer = TypeVar("Answer")


class ClusterApi:
    """A cluster's API, for one namespace."""

    def __init__(self, namespace: str, config: str) -> None:
        """`config` is the path of a kubeconfig; empty = the service account of our own pod."""
        self.namespace = namespace
        self._config = config
        self._client: AsyncClient | None = None
        self._made = 0.0

    async def create(self, manifest: dict[str, Any], *, trial: bool = False) -> dict[str, Any]:
        """Store an object, or only try to; as it was admitted. Raises UpstreamUnreachable."""
        from lightkube.codecs import from_dict

        client: Any = self._current_client()  # its overloads tell kinds apart, and we have both
        made = await _asked(
            client.create(from_dict(manifest), namespace=self.namespace, dry_run=trial)
        )
        found: dict[str, Any] = made.to_dict()
        return found

    async def deployment(self, name: str) -> dict[str, Any]:
        """A Deployment as it is stored. Raises UpstreamUnreachable."""
        from lightkube.resources.apps_v1 import Deployment

        client = self._current_client()
        found = await _asked(client.get(Deployment, name, namespace=self.namespace))
        told: dict[str, Any] = found.to_dict()
        return told

    async def pods(self, instance: str) -> list[dict[str, Any]]:
        """The pods of an instance. Raises UpstreamUnreachable."""
        from lightkube.resources.core_v1 import Pod

        async def listed() -> list[dict[str, Any]]:
            found = client.list(Pod, namespace=self.namespace, labels={INSTANCE: instance})
            return [each.to_dict() async for each in found]

        client = self._current_client()
        return await _asked(listed())

    async def events(self, pod: str) -> list[str]:
        """What the cluster told of a pod. Raises UpstreamUnreachable."""
        from lightkube.resources.core_v1 import Event

        async def listed() -> list[str]:
            fields: dict[str, Any] = {"involvedObject.name": pod}
            found = client.list(Event, namespace=self.namespace, fields=fields)
            return [each.message or "" async for each in found]

        client = self._current_client()
        return await _asked(listed())

    async def remove(self, name: str) -> None:
        """Delete a Deployment, and with it what it owns; nothing when it is not there.

        Raises UpstreamUnreachable.
        """
        from lightkube import ApiError
        from lightkube.resources.apps_v1 import Deployment
        from lightkube.types import CascadeType

        async def removed() -> None:
            try:
                await client.delete(
                    Deployment, name, namespace=self.namespace, cascade=CascadeType.BACKGROUND
                )
            except ApiError as failed:
                if failed.status.code != 404:
                    raise

        client = self._current_client()
        await _asked(removed())

    async def instances(self, gate: str) -> list[InstanceMark]:
        """What there is of this gate, of this run or of another. Raises UpstreamUnreachable."""
        from lightkube.resources.apps_v1 import Deployment

        async def listed() -> list[InstanceMark]:
            found = client.list(Deployment, namespace=self.namespace, labels={GATE: gate})
            marks = [each.metadata.labels if each.metadata else None async for each in found]
            return [InstanceMark.read(labels or {}) for labels in marks]

        client = self._current_client()
        return await _asked(listed())

    def address(self) -> tuple[str, int]:
        """Host and port of the API itself. Raises UpstreamUnreachable."""
        parts = urlsplit(self._current_client().config.cluster.server)
        return parts.hostname or "", parts.port or 443

    async def close(self) -> None:
        """Close its connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _current_client(self) -> "AsyncClient":
        if self._client is None or time.monotonic() - self._made > _CLIENT_SECONDS:
            # The one before is let go of without being closed: somebody may wait for its answer.
            self._client, self._made = self._new_client(), time.monotonic()
        return self._client

    def _new_client(self) -> "AsyncClient":
        try:
            from lightkube import AsyncClient, ConfigError, KubeConfig
        except ImportError:
            text = "The library for Kubernetes is not installed."
            raise UpstreamUnreachable(text, remedy=_EXTRA) from None
        try:
            if self._config:
                config = KubeConfig.from_file(Path(self._config).expanduser())
            else:
                config = KubeConfig.from_service_account()
            # No variable of the environment decides where the gate's token is sent.
            return AsyncClient(config, namespace=self.namespace, trust_env=False)
        except (ConfigError, OSError, ValueError, KeyError) as failed:
            text = f"The configuration of the cluster cannot be used: {failed}"
            raise UpstreamUnreachable(text, remedy=_CONFIG) from None


async def _asked(answer: Awaitable[Answer]) -> Answer:
    """The answer; each refusal in words, with a remedy, and without what was sent."""
    import httpx2
    from lightkube import ApiError

    try:
        return await answer
    except ApiError as failed:
        remedy = _RIGHTS if failed.status.code in (401, 403) else ""
        if "quota" in (failed.status.message or ""):
            remedy = QUOTA
        text = f"The cluster refuses: {failed.status.message or failed.status.code}."
        raise UpstreamUnreachable(text, remedy=remedy) from None
    # The latter: an answer that is no such object, a client that was closed meanwhile.
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, *_STRANGE, RuntimeError) as failed:
        text = f"The cluster's API does not answer: {type(failed).__name__}."
        raise UpstreamUnreachable(text, remedy=_REACH) from None


QUOTA: Final = "Stop what is not needed, or raise the quota of the namespace."
