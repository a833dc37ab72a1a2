"""Hosted servers without a sandbox: what stands behind the port starts plain processes."""

import sys
from pathlib import Path
from typing import Any

from msgspec import structs
from tests.upstreams.pools import HOSTING, STDIO, UPSTREAM, Secrets, server

from gatelodge.adapters.runtime.process.runtime import ProcessRuntime
from gatelodge.adapters.upstream.pool import UpstreamPool
from gatelodge.config.schema import LimitSettings
from gatelodge.core.catalog.server import ArtifactTransport, Server
from gatelodge.ports.runtime import LaunchSpec, Runtime, RuntimeInstance

IMAGE = "sha256:" + "a" * 64
BEGINNING = ("/usr/bin/env", sys.executable)


class UnpackedRuntime:
    """Implements `Runtime`: an image's own command is this machine's Python, isolated from nothing.

    `specs` is what was started.
    """

    def __init__(self) -> None:
        self._process = ProcessRuntime(HOSTING, uids=None, caches=None)
        self.specs: list[LaunchSpec] = []

    async def start(
        self, spec: LaunchSpec, output: Any, errors: Any, report: Any = None
    ) -> RuntimeInstance:
        self.specs.append(spec)
        command = (sys.executable, *spec.command)
        plain = structs.replace(spec, image="", tier="none", command=command, own_uid=False)
        return await self._process.start(plain, output, errors, report)

    def instances(self) -> tuple[RuntimeInstance, ...]:
        return self._process.instances()

    def keep(self, servers: frozenset[str]) -> None:
        self._process.keep(servers)

    async def close(self) -> None:
        await self._process.close()


def hosting_pool(runtime: Runtime, *, idle_seconds: float = 0.0, **settings: Any) -> UpstreamPool:
    return UpstreamPool(
        secrets=Secrets(),
        limits=LimitSettings(),
        upstream=structs.replace(UPSTREAM, **settings),
        version="9.9",
        runtime=runtime,
        idle_seconds=idle_seconds,
    )


def hosted(mode: str = "modern", name: str = "one", script: str | Path = STDIO, **f: Any) -> Server:
    wanted = {key: f.pop(key) for key in ("scope", "tier", "env", "limits") if key in f}
    transport = ArtifactTransport(
        source="pypi:stub@1.0", image=IMAGE, args=(str(script), mode), **wanted
    )
    return server(name, transport, **f)
