"""An engine of each kind, and a runtime on it whose containers run the guest."""

import secrets

import pytest
from tests.contract.runtimes.conftest import Guest, Heard
from tests.contract.runtimes.engines.image import EngineImages, digests
from tests.contract.runtimes.guest_image import IMAGE

from gatelodge.adapters.runtime.docker.runtime import DockerRuntime, docker_runtime
from gatelodge.config.schema import HostingSettings
from gatelodge.ports.runtime import LaunchSpec


@pytest.fixture(params=["dockerd", "podman"])
def engine(request, start_engine) -> str:
    return start_engine(f"docker {request.param}")


class Containers:
    """A runtime on an engine, and its guests."""

    def __init__(self, engine: str) -> None:
        self.images = EngineImages()
        self.mark = secrets.token_hex(6)
        self.settings = HostingSettings(stop_seconds=0.5, docker_url=engine)
        self.runtime = self.again()

    def again(self) -> DockerRuntime:
        """Another runtime in the same place, as a gate that is started again has."""
        return docker_runtime(self.settings, self.images, self.mark)

    async def start(self, way: str = "serve", *words: str, paused: bool = False, **fields) -> Guest:
        output, errors = Heard(paused=paused), Heard(paused=paused)
        given = {"server": "srv_one", "env": {}, "image": digests()[IMAGE], "tier": "standard"}
        spec = LaunchSpec(command=(self.mark, way, *words), **{**given, **fields})
        return Guest(await self.runtime.start(spec, output, errors), output, errors)


@pytest.fixture
async def containers(engine):
    made = Containers(engine)
    yield made
    for each in made.runtime.instances():
        await each.stop(0.0)
    left = await made.runtime._engine.labelled(f"dev.gatelodge.mark={made.mark}")
    await made.runtime.close()
    assert made.runtime.instances() == ()
    assert left == set()
