"""A cluster as one of the runtimes of the contract (tests/contract/runtimes/kinds.py)."""

import hashlib
import os
from pathlib import Path

import msgspec
from msgspec import Struct, structs
from tests.contract.runtimes.guest_image import IMAGE, NO_PROGRAM

from gatelodge.config.schema import HostingSettings
from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.ports.images import ImageConfig
from gatelodge.ports.runtime import Runtime

CLUSTER = "GATELODGE_TEST_CLUSTER"
"""What a gate has to know of the cluster that runs, also one of a process of its own."""
PYTHON = "/opt/python/bin/python3"


class KnownCluster(Struct, frozen=True):
    """Its kubeconfig, where it has images from, and two of them: one lacks its program."""

    kubeconfig: str
    repository: str
    guest: str
    broken: str

    def tell(self) -> None:
        """Let `cluster_runtime` know it, here and in processes that are started from here."""
        os.environ[CLUSTER] = msgspec.json.encode(self).decode()


def known_cluster() -> KnownCluster:
    return msgspec.json.decode(os.environ[CLUSTER], type=KnownCluster)


class KnownImages:
    """Implements `ImageStore` for both; others are not there."""

    def __init__(self, known: KnownCluster) -> None:
        self._known = known

    async def config(self, image: str) -> ImageConfig:
        programs = {self._known.guest: PYTHON, self._known.broken: "/usr/bin/no-such-program"}
        if image not in programs:
            raise UpstreamUnreachable("No such image.", remedy="Build it.")
        command = (programs[image], "-u", "/app/guest.py")
        return ImageConfig(image=image, source="test:guest", command=command, env={})


def cluster_digest(image: str) -> str:
    """The image of the cluster that is like one of the contract's own."""
    known = known_cluster()
    return {IMAGE: known.guest, NO_PROGRAM: known.broken}.get(image, image)


def cluster_runtime(settings: HostingSettings, caches: Path) -> Runtime:
    """A gate's runtime in the cluster that runs; its mark is of the folder."""
    from gatelodge.adapters.runtime.kubernetes.runtime import kubernetes_runtime

    known = known_cluster()
    settings = structs.replace(
        settings, kubernetes_config=known.kubeconfig, kubernetes_images=known.repository
    )
    mark = hashlib.sha256(str(caches).encode()).hexdigest()[:16]
    return kubernetes_runtime(settings, KnownImages(known), mark)
