"""Images pulled from registries: what their manifest says, no more, each byte under its digest.

A registry is as little trusted as the author of an image: counts and sizes are bounded by what the
manifest says before anything is fetched, and by what comes while it comes. A blob that is here is
not fetched again, so a pull that was cut off goes on with the next one.
"""

import asyncio
import hashlib
import re
from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from gatelodge.adapters.images import manifest as form
from gatelodge.adapters.images.layout import ImageLayout
from gatelodge.adapters.images.manifest import (
    BlobDescriptor,
    ImageConfiguration,
    ImageManifest,
    PlacedDescriptor,
    PlacedIndex,
)
from gatelodge.adapters.images.registry.session import (
    DOCUMENT_BYTES,
    RegistrySession,
    RegistryWays,
)
from gatelodge.adapters.images.store import OciImageStore, not_kept
from gatelodge.adapters.net.download import HashedFile
from gatelodge.core.errors import Invalid, LimitReached, UpstreamUnreachable
from gatelodge.core.hosting.source import ArtifactSource
from gatelodge.ports.images import KeptImage
from gatelodge.ports.packages import StageReport

MOST_LAYERS: Final = 128
_MIB: Final = 1 << 20
_LOOK_SECONDS: Final = 1.0
_TENTHS: Final = 10
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_NOTHING: Final = msgspec.Raw(b"")
_ONE: Final = "Name one image of it by its digest."
_ACCEPT: Final = ", ".join((form.MANIFEST, form.DOCKER_MANIFEST, *form.INDEXES))
_LAYERS: Final = frozenset((
    form.LAYER,
    form.LAYER.removesuffix("+gzip"),
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar",
))  # fmt: skip
T = TypeVar("T", bound=Struct)


class RegistryImages:
    """Pulls images into a store; `seconds` and `most` bytes are for each pull."""

    def __init__(self, store: OciImageStore, ways: RegistryWays, seconds: float, most: int) -> None:
        self._store = store
        self._ways = ways
        self._seconds = seconds
        self._most = most

    async def pull(self, source: ArtifactSource, wish: str, report: StageReport) -> KeptImage:
        """The image, kept (`ImagePuller`)."""
        ends = asyncio.get_running_loop().time() + self._seconds
        session = RegistrySession(self._ways, source.name, ends)
        try:
            async with self._store.filling():
                await report("resolve")
                await session.begin()
                digest, octets = await self._found(session, source)
                pinned = ArtifactSource("oci", source.name, digest)
                octets = await self._for_this_machine(session, octets)
                manifest = _read(octets, ImageManifest)
                self._check_manifest(manifest)
                await self._fetch_configuration(session, manifest.config)
                await _Fetching(session, self._store.layout, report).fetch(manifest.layers)
                await report("layers")
                image = await asyncio.to_thread(self._store.layout.put_bytes, octets)
                kept = await self._store.adopt(image, pinned.text, wish)
        except OSError as failed:
            raise not_kept(failed) from failed
        return kept

    async def _found(self, session: RegistrySession, source: ArtifactSource) -> tuple[str, bytes]:
        """What the source names, and its digest: a tag is looked up here, and never again."""
        octets = await session.document("manifests", source.version, _ACCEPT, DOCUMENT_BYTES)
        digest = _digest_of(octets)
        if source.pinned and digest != source.version:
            raise _another(session.host, source.version)
        return digest, octets

    async def _for_this_machine(self, session: RegistrySession, octets: bytes) -> bytes:
        """The manifest itself, where an index was named: one for this machine. Raises Invalid."""
        if not _is_index(octets):
            return octets
        found = _fitting(_read(octets, PlacedIndex))
        octets = await self._document(session, "manifests", found, _ACCEPT)
        if _is_index(octets):
            raise Invalid("the image is an index within an index", remedy=_ONE)
        return octets

    async def _fetch_configuration(self, session: RegistrySession, config: BlobDescriptor) -> None:
        octets = await self._document(session, "blobs", config, "*/*")
        form.check_machine(_read(octets, ImageConfiguration))
        await asyncio.to_thread(self._store.layout.put_bytes, octets)

    async def _document(
        self, session: RegistrySession, kind: str, named: BlobDescriptor, accept: str
    ) -> bytes:
        """A document that is what its digest says. Raises Invalid."""
        _check_digest(named)
        octets = await session.document(kind, named.digest, accept, DOCUMENT_BYTES)
        if _digest_of(octets) != named.digest:
            raise _another(session.host, named.digest)
        return octets

    def _check_manifest(self, manifest: ImageManifest) -> None:
        """Refuse what is not fetched, before anything of it is. Raises Invalid, LimitReached."""
        if not 0 < len(manifest.layers) <= MOST_LAYERS:
            raise LimitReached(
                f"The image has {len(manifest.layers)} layers, and may have 1 to {MOST_LAYERS}."
            )
        for each in manifest.layers:
            _check_digest(each)
            if each.media_type not in _LAYERS:
                packed = "zstd" if each.media_type.endswith("+zstd") else each.media_type[:100]
                raise Invalid(
                    f"a layer of the image is of a form that is not read here ({packed!r})",
                    remedy="Push the image with layers packed with gzip, such as by "
                    "`skopeo copy --dest-compress-format gzip`.",
                )
        told = sum(each.size for each in manifest.layers)
        if told > self._most:
            raise LimitReached(
                f"The image takes {told // _MIB} MiB, and {self._most // _MIB} MiB may be fetched.",
                remedy="Take a smaller one, or raise hosting.build_bytes.",
            )


class _Fetching:
    """The layers of one image on their way."""

    def __init__(self, session: RegistrySession, layout: ImageLayout, report: StageReport) -> None:
        self._session = session
        self._layout = layout
        self._report = report
        self._came = self._said = 0

    async def fetch(self, layers: Iterable[BlobDescriptor]) -> None:
        """Keep each that is not here. Raises what the session does, OSError."""
        wanted = {each.digest: each for each in layers}
        for digest in list(wanted):
            if await asyncio.to_thread(self._is_here, digest):
                del wanted[digest]
        total = sum(each.size for each in wanted.values())
        await self._report(f"fetch {_mib(total)} MiB")
        for each in wanted.values():
            await self._tell_while(asyncio.ensure_future(self._fetch_layer(each)), total)

    def _is_here(self, digest: str) -> bool:
        if not self._layout.blob_path(digest).exists():
            return False
        try:
            self._layout.checked_path(digest)
        except UpstreamUnreachable:
            return False  # it was changed, and is put in its place anew
        return True

    async def _tell_while(self, fetching: "asyncio.Task[None]", total: int) -> None:
        """Wait for its end, and tell about each tenth of what is fetched."""
        try:
            while not fetching.done():
                await asyncio.wait((fetching,), timeout=_LOOK_SECONDS)
                tenths = _TENTHS * self._came // max(total, 1)
                if tenths > self._said:
                    self._said = tenths
                    await self._report(f"fetch {_mib(self._came)} of {_mib(total)} MiB")
            await fetching
        finally:
            fetching.cancel()
            await asyncio.wait((fetching,))

    async def _fetch_layer(self, layer: BlobDescriptor) -> None:
        with self._layout.incoming() as path, path.open("xb") as file:
            writing = HashedFile(file)
            before = self._came

            def take(portion: bytes) -> None:
                writing.write(portion)
                self._came = before + writing.size

            await self._session.download(layer.digest, layer.size, take, writing.begin_anew)
            file.flush()
            if writing.digest != layer.digest:
                raise _another(self._session.host, layer.digest)
            await asyncio.to_thread(self._layout.keep_incoming, path, layer.digest)


class _AnyDocument(Struct):
    manifests: msgspec.Raw = _NOTHING
    layers: msgspec.Raw = _NOTHING


def _is_index(octets: bytes) -> bool:
    """True for an index; it is told by what it holds, not by how it was served. Raises Invalid."""
    found = _read(octets, _AnyDocument)
    has = [bytes(each) not in (b"", b"null") for each in (found.manifests, found.layers)]
    if sum(has) != 1:
        raise Invalid(
            "what the registry has there is no image", remedy="Push it anew, as an OCI image."
        )
    return has[0]


def _fitting(index: PlacedIndex) -> PlacedDescriptor:
    """The first that is for this machine, as the specification wants it. Raises Invalid."""
    for each in index.manifests:
        alone = each.platform is not None or len(index.manifests) == 1
        if each.fits_machine and alone:
            return each
    raise Invalid(
        f"none of the {len(index.manifests)} forms of the image is for this machine (linux on "
        f"{form.machine_name()})",
        remedy=_ONE,
    )


def _read(octets: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(octets, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise Invalid(f"the registry has no image there that can be read: {fault}") from None


def _check_digest(named: BlobDescriptor) -> None:
    """Refuse what is named by something else: it would be a path. Raises Invalid."""
    if _DIGEST.fullmatch(named.digest) is None or named.size < 0:
        raise Invalid(f"the image names a part of itself by no digest ({named.digest[:80]!r})")


def _digest_of(octets: bytes) -> str:
    return f"sha256:{hashlib.sha256(octets).hexdigest()}"


def _another(host: str, digest: str) -> Invalid:
    return Invalid(
        f"{host} gave something else than what the digest says ({digest[:19]})",
        remedy="Tell whoever runs the registry; nothing of it was kept.",
    )


def _mib(size: int) -> str:
    return f"{size / _MIB:.1f}"
