"""What is asked of a container engine, and what it says of itself.

Docker's API has a version, which both engines tell; Podman answers in the same words, and differs
where `EngineTraits` says. Each request has its own connection, so that none lies open idle.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from msgspec import Struct

from gatelodge.adapters.runtime.docker.place import EnginePlace, read_place
from gatelodge.core.errors import UpstreamUnreachable

if TYPE_CHECKING:
    from aiodocker import Docker
    from aiodocker.containers import DockerContainer

_MEND = "See that the engine runs and that hosting.docker_url is its socket: gatelodge doctor."
_INSTALL = "Install the extra: pip install 'gatelodge[docker]'"
_SECONDS = 30.0
"""For one request; an engine that starts many instances at once takes seconds for each."""
_REMOVALS, _REMOVAL_SECONDS = 20, 0.1
_LOAD_SECONDS = 300.0
_STATS_BYTES = 1 << 20
_TOLD = 400
"""Characters of an error: engines repeat what they were asked."""
_LOOK = "See what this machine can isolate: gatelodge doctor."
_UNREACHABLE = 900
"""What the library tells as a status when it got no answer."""
_STRANGE = (ValueError, LookupError, TypeError, AttributeError)
"""What reading an answer fails of that is otherwise than the engine's documents say."""


class EngineTraits(Struct, frozen=True, kw_only=True):
    """What an engine is.

    `user_namespaces` = each of its containers has one, whatever is asked for (Docker with
    `userns-remap`, and every rootless engine).
    """

    kind: Literal["docker", "podman"]
    version: str
    api: str
    runtime: str = ""
    """The OCI runtime below it, with its version where it is told."""
    machine: str = ""
    rootless: bool = False
    cgroups: str = ""
    user_namespaces: bool = False
    seccomp: bool = False

    @property
    def words(self) -> str:
        """As facts and people name it."""
        return f"{self.kind} {self.version}"


class EngineImage(Struct, frozen=True):
    """An image as the engine has it: its id, and the places that it wants kept on disk."""

    id: str
    volumes: tuple[str, ...] = ()


class ContainerEngine:
    """One engine. Every method raises UpstreamUnreachable with what the engine said."""

    def __init__(self, url: str) -> None:
        """`url` is as the operator wrote it (`read_place`)."""
        self._url = url
        self._client: Docker | None = None
        self._traits: EngineTraits | None = None

    @property
    def place(self) -> EnginePlace:
        """Where it listens. Raises UpstreamUnreachable for what is no place."""
        return read_place(self._url)

    async def traits(self) -> EngineTraits:
        """What it is; asked once, as long as it answered."""
        if self._traits is None:
            async with self._told("tell its version") as docker:
                version, info = await docker.version(), await docker.system.info()
            with read_answer("tell its version"):
                self._traits = _read_traits(version, info)
        return self._traits

    async def create(self, name: str, body: dict[str, Any]) -> str:
        """Make a container that does not run yet; its id."""
        async with self._told("make a container") as docker:
            return (await docker.containers.create(body, name=name)).id

    async def start(self, container: str) -> None:
        """Run it."""
        async with self._asked("start the container", container) as made:
            await made.start()

    async def inspect(self, container: str) -> dict[str, Any]:
        """All that the engine knows of it, its environment included: to be kept nowhere."""
        async with self._asked("tell of the container", container) as made:
            return await made.show()

    async def wait(self, container: str) -> None:
        """Return once it does not run; may take as long as it lives."""
        async with self._asked("tell of its end", container, (404,), None) as made:
            await made.wait()

    async def signal(self, container: str, name: str) -> None:
        """Send a signal to its first process; one that does not run is left alone."""
        async with self._asked("signal the container", container, (404, 409, 500)) as made:
            await made.kill(signal=name)

    async def remove(self, container: str) -> None:
        """Leave nothing of it, and of its volumes; one that is not there is removed.

        Podman tidies up after a container that ended in another process of its own, and refuses
        while that is under way.
        """
        await self.traits()  # whether it answers at all
        for left in reversed(range(_REMOVALS)):
            try:
                async with self._asked("remove the container", container, (404,)) as made:
                    await made.delete(force=True, v=True)
                return
            except UpstreamUnreachable:
                if self._traits is None or not left:
                    raise
                await asyncio.sleep(_REMOVAL_SECONDS)

    async def labelled(self, label: str) -> set[str]:
        """The names of all containers with a label (`name=value`), whether they run or not."""
        async with self._told("list its containers") as docker:
            found = await docker.containers.list(all="1", filters=f'{{"label":["{label}"]}}')
            return {each["Names"][0].lstrip("/") for each in found}

    async def image(self, name: str) -> EngineImage | None:
        """The image of this name or digest, None when it is not there."""
        async with self._told("tell of the image", (404,)) as docker:
            found = await docker.images.inspect(name)
            volumes = (found.get("Config") or {}).get("Volumes") or {}
            return EngineImage(f"sha256:{found['Id'].removeprefix('sha256:')}", tuple(volumes))
        return None

    async def forget(self, image: str) -> None:
        """Remove an image of ours."""
        async with self._told("remove the image", (404, 409)) as docker:
            await docker.images.delete(image, force=True)

    async def load(self, archive: Path) -> None:
        """Take the images of an archive (docker-archive or OCI)."""
        with archive.open("rb") as file:
            await self.load_data(file)

    async def load_data(self, data: BinaryIO) -> None:
        """The same, of what is read as it goes."""
        async with self._told("load the image", seconds=_LOAD_SECONDS) as docker:
            said = [each async for each in docker.images.import_image(data, stream=True)]
        faults = [str(each["error"]) for each in said if each.get("error")]
        if faults:
            raise refused_by_engine("load the image", faults[0])

    async def stats(self, container: str) -> dict[str, Any]:
        """One sample of what it takes, at once: `one-shot` asks for no second one to compare."""
        async with self._told("tell what the container takes") as docker:
            url = f"{docker.docker_host}/{docker.api_version}/containers/{container}/stats"
            asked = docker.session.get(url, params={"stream": "false", "one-shot": "true"})
            async with asked as reply:
                # Podman names no type for it.
                text = await reply.content.read(_STATS_BYTES)
                return dict(json.loads(text)) if reply.status == 200 else {}

    async def api(self) -> str:
        """The version of its API as it stands in paths."""
        await self.traits()
        assert self._client is not None
        return self._client.api_version

    async def close(self) -> None:
        """Let go of the client."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()
            await client.connector.close()

    @contextlib.asynccontextmanager
    async def _asked(
        self,
        what: str,
        container: str,
        passed: tuple[int, ...] = (),
        seconds: float | None = _SECONDS,
    ) -> "AsyncIterator[DockerContainer]":
        async with self._told(what, passed, seconds) as docker:
            yield docker.containers.container(container)

    @contextlib.asynccontextmanager
    async def _told(
        self, what: str, passed: tuple[int, ...] = (), seconds: float | None = _SECONDS
    ) -> "AsyncIterator[Docker]":
        """The client. What goes wrong is told in our words; answers of `passed` go well."""
        docker = self._connected()
        import aiodocker
        import aiohttp

        try:
            async with asyncio.timeout(seconds):
                yield docker
        except aiodocker.DockerError as failed:
            if failed.status == _UNREACHABLE:
                raise self._unreachable(failed.message) from failed
            if failed.status not in passed:
                raise refused_by_engine(what, failed.message) from failed
        except TimeoutError as failed:
            # The system has one of its own, for a connection on which nothing is heard any more.
            within = "in time" if seconds is None else f"within {seconds:g} s"
            raise refused_by_engine(what, f"no answer {within}") from failed
        except (aiohttp.ClientError, OSError, EOFError, *_STRANGE) as failed:
            raise self._unreachable(str(failed) or type(failed).__name__) from failed
        except RuntimeError as failed:  # how aiohttp tells that its session is closed
            raise self._unreachable(str(failed)) from failed

    def _unreachable(self, why: str) -> UpstreamUnreachable:
        self._traits = None  # another engine may listen there later
        text = f"The container engine at {self.place.words} does not answer: {why}"
        return UpstreamUnreachable(text[:_TOLD], remedy=_MEND)

    def _connected(self) -> "Docker":
        if self._client is not None:
            return self._client
        try:
            import aiodocker
            import aiohttp
        except ImportError as missing:
            text = "Container engines are spoken to by a library that is not installed."
            raise UpstreamUnreachable(text, remedy=_INSTALL) from missing
        connector: aiohttp.BaseConnector
        if self.place.path:
            url = "unix://localhost"
            connector = aiohttp.UnixConnector(self.place.path, force_close=True)
        else:
            host = f"[{self.place.host}]" if ":" in self.place.host else self.place.host
            url = f"http://{host}:{self.place.port}"
            connector = aiohttp.TCPConnector(force_close=True)
        # Every wait is bounded by whoever asks; the library would count a whole stream.
        timeout = aiohttp.ClientTimeout(total=None)
        self._client = aiodocker.Docker(url=url, connector=connector, timeout=timeout)
        return self._client


@contextlib.contextmanager
def read_answer(what: str) -> Iterator[None]:
    """What an engine answered is read in the block; one that is otherwise than it has to be fails.

    Raises UpstreamUnreachable.
    """
    try:
        yield
    except _STRANGE as failed:
        raise refused_by_engine(what, f"its answer is no such ({type(failed).__name__})") from None


def refused_by_engine(what: str, why: str) -> UpstreamUnreachable:
    """What an engine refused, in its own words, which may be long."""
    return UpstreamUnreachable(f"The container engine did not {what}: {why}"[:_TOLD], remedy=_LOOK)


def _read_traits(version: dict[str, Any], info: Mapping[str, Any]) -> EngineTraits:
    parts = {str(each["Name"]): str(each["Version"]) for each in version.get("Components") or ()}
    podman = next((each for name, each in parts.items() if "Podman" in name), "")
    runtime = next((each for name, each in parts.items() if "Runtime" in name), "")
    below = runtime.splitlines()[0] if runtime else f"runc {parts.get('runc', '')}".strip()
    options = " ".join(info.get("SecurityOptions") or ())
    rootless = bool(info.get("Rootless")) or "name=rootless" in options
    return EngineTraits(
        kind="podman" if podman else "docker",
        version=podman or str(version["Version"]),
        api=str(version["ApiVersion"]),
        runtime=below,
        machine=str(info.get("Architecture", "")),
        rootless=rootless,
        cgroups=str(info.get("CgroupVersion") or "1"),
        user_namespaces=rootless or "name=userns" in options,
        seccomp="name=seccomp" in options,
    )
