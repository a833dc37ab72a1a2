"""Files fetched by URL, the guarded way: in portions to the disk, and what their digest says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from gatelodge.adapters.net.download import HashedFile
from gatelodge.adapters.net.fetch import GuardedClient, OutboundRequest
from gatelodge.adapters.runtime.packages.workshop import BuildLimits, build_folder
from gatelodge.core.errors import Invalid, OutsideFailed, UpstreamUnreachable
from gatelodge.core.hosting.source import ArtifactSource
from gatelodge.core.http.endpoint import read_url
from gatelodge.ports.packages import StageReport

OPENS: Final = "The operator names it in hosting.private_origins, such as https://HOST:PORT."
_REDIRECTS: Final = 4
_ATTEMPTS: Final = 3
_PAUSE: Final = 1.0
_LOOK_SECONDS: Final = 1.0
_TOLD_BYTES: Final = 16 << 20
_AGAIN: Final = "See that the gate's machine reaches it, then run the command again."


class FileDownloads:
    """Fetches files into folders below a directory; `private` are origins on own networks."""

    def __init__(
        self,
        directory: Path,
        limits: BuildLimits,
        client: GuardedClient,
        private: frozenset[str] = frozenset(),
    ) -> None:
        self._directory = directory
        self._limits = limits
        self._client = client
        self._private = private

    @asynccontextmanager
    async def fetched(self, source: ArtifactSource, report: StageReport) -> AsyncIterator[Path]:
        """The file (`FileFetcher`)."""
        async with build_folder(self._directory) as folder:
            path = folder / source.name.rpartition("/")[2]
            await report("fetch")
            try:
                digest = await self._fetch_into(path, source.name, report)
            except OSError as failed:
                raise UpstreamUnreachable(
                    f"The file could not be kept: {failed.strerror}.",
                    remedy="Make room on the disk of the data directory, or mend its permissions.",
                ) from failed
            if digest != source.version:
                raise Invalid(
                    f"what is there is not what the source says: its sha256 is {digest[7:]}",
                    remedy="Find out why before you name it so; nothing of it was kept.",
                )
            yield path

    async def _fetch_into(self, path: Path, url: str, report: StageReport) -> str:
        with path.open("xb") as file:
            taken = HashedFile(file)
            fetching = asyncio.ensure_future(self._fetch(url, taken))
            await self._tell_while(fetching, taken, report)
        return taken.digest

    async def _tell_while(
        self, fetching: "asyncio.Task[None]", taken: HashedFile, report: StageReport
    ) -> None:
        """Wait for its end, and tell now and then how much came."""
        said = 0
        try:
            while not fetching.done():
                await asyncio.wait((fetching,), timeout=_LOOK_SECONDS)
                if taken.size >= said + _TOLD_BYTES:
                    said = taken.size
                    await report(f"fetch {said >> 20} MiB")
            await fetching
        finally:
            fetching.cancel()
            await asyncio.wait((fetching,))

    async def _fetch(self, url: str, taken: HashedFile) -> None:
        ends = asyncio.get_running_loop().time() + self._limits.seconds
        for attempt in range(1, _ATTEMPTS + 1):
            taken.begin_anew()
            left = ends - asyncio.get_running_loop().time()
            asked = self._request(url, max(left, 0.1))
            try:
                reply = await self._client.download(asked, taken.write)
            except OutsideFailed as fault:
                if fault.final or attempt == _ATTEMPTS or left <= _PAUSE:
                    own = fault.remedy != OutsideFailed.default_remedy
                    raise UpstreamUnreachable(
                        f"The file could not be fetched: {fault.detail}",
                        remedy=fault.remedy if own else _AGAIN,
                    ) from None
            else:
                if reply.status == 200:
                    return
                if reply.status < 500 or attempt == _ATTEMPTS:
                    raise UpstreamUnreachable(
                        f"The file is not to be had there (HTTP {reply.status}).",
                        remedy="Check the URL: it has to open without a login.",
                    )
            await asyncio.sleep(_PAUSE * attempt)

    def _request(self, url: str, seconds: float) -> OutboundRequest:
        return OutboundRequest(
            url=url,
            accept="*/*",
            seconds=seconds,
            max_bytes=self._limits.bytes,
            ports=frozenset((443, read_url(url, private=True, opens="").port)),
            private_origins=self._private,
            opens=OPENS,
            redirects=_REDIRECTS,
        )
