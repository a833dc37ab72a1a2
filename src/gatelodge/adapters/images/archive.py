"""Images as files: written for container engines, and taken from files that others made.

An OCI layout (a folder, or one file of it) keeps the digest of its manifest; a docker-archive has
none, and gets one made of its configuration and layers. What is written is both at once: Podman,
Docker from 20.10 on and containerd load it. Every blob is hashed as it is taken; what
its layers hold is looked at when it is unpacked (`members`).
"""

import hashlib
import io
import tarfile
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path
from typing import IO, Final

import msgspec
from msgspec import Struct

from gatelodge.adapters.images import manifest as form
from gatelodge.adapters.images.layers import FIXED_TIME, WrittenLayer
from gatelodge.adapters.images.layout import ImageLayout
from gatelodge.adapters.images.manifest import (
    INDEXES,
    BlobDescriptor,
    ImageConfiguration,
    ImageIndex,
    ImageManifest,
    PlacedDescriptor,
    PlacedIndex,
)
from gatelodge.adapters.images.members import MOST_BYTES
from gatelodge.core.errors import Invalid, LimitReached

_DOCUMENT_BYTES: Final = 4 << 20
_PORTION: Final = 1 << 20


class _DockerImage(Struct, rename="pascal"):
    config: str
    layers: list[str]


class _ImageFiles:
    """The files of an image by their names, of a folder or in an archive; `closes` lets go."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self._folder = path if path.is_dir() else None
        self._archive: tarfile.TarFile | None = None
        self._members: dict[str, tarfile.TarInfo] = {}
        if self._folder is None:
            self._archive = stack.enter_context(closing(tarfile.open(path, "r:")))  # noqa: SIM115
            for info in self._archive:
                if len(self._members) > 10_000:
                    raise LimitReached("The archive has too many files for an image.")
                self._members[info.name.removeprefix("./")] = info

    def has(self, name: str) -> bool:
        """True when there is such a file."""
        if self._folder is not None:
            return (self._folder / name).is_file()
        return name in self._members

    def open(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """The file. Raises Invalid."""
        if self._folder is not None and self.has(name):
            return (self._folder / name).open("rb")
        info = self._members.get(name)
        # Some writers put a layer there once and links to it beside it.
        for _ in range(4):
            if info is not None and (info.issym() or info.islnk()):
                parent = name.rpartition("/")[0]
                info = self._members.get(info.linkname) or self._members.get(
                    _joined(parent, info.linkname)
                )
        file = self._archive.extractfile(info) if self._archive and info is not None else None
        if file is None:
            raise Invalid(f"the image lacks {name[:100]!r}", remedy="Write the file anew.")
        return file

    def document(self, name: str) -> bytes:
        """A small file whole. Raises Invalid."""
        with self.open(name) as file:
            octets = file.read(_DOCUMENT_BYTES + 1)
        if len(octets) > _DOCUMENT_BYTES:
            raise Invalid(f"{name[:100]!r} is too large for a document of an image")
        return octets


def _joined(parent: str, target: str) -> str:
    parts: list[str] = []
    for part in f"{parent}/{target}".split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part not in ("", ".", ".."):
            parts.append(part)
    return "/".join(parts)


def load_image(layout: ImageLayout, path: Path) -> tuple[BlobDescriptor, ImageManifest]:
    """Take an image into the layout; the index does not name it yet. Raises Invalid, OSError."""
    try:
        with ExitStack() as stack:
            files = _ImageFiles(path, stack)
            if files.has("index.json"):
                return _load_layout(layout, files)
            if files.has("manifest.json"):
                return _load_docker(layout, files)
    except (tarfile.TarError, msgspec.DecodeError, UnicodeDecodeError, EOFError) as fault:
        raise Invalid(f"{path.name} cannot be read as an image: {fault}") from fault
    raise Invalid(
        f"{path.name} is no image: neither index.json nor manifest.json is in it",
        remedy="Write one with `podman save --format oci-archive`, `docker save` or `skopeo copy`.",
    )


def _load_layout(layout: ImageLayout, files: _ImageFiles) -> tuple[BlobDescriptor, ImageManifest]:
    found = _fitting(msgspec.json.decode(files.document("index.json"), type=PlacedIndex))
    octets = _checked(files, found)
    if found.media_type in INDEXES:
        found = _fitting(msgspec.json.decode(octets, type=PlacedIndex))
        octets = _checked(files, found)
    manifest = msgspec.json.decode(octets, type=ImageManifest)
    layout.put_bytes(_checked(files, manifest.config), form.CONFIG)
    for each in manifest.layers:
        digest, _ = _take_blob(layout, files, _blob_name(each.digest))
        if digest != each.digest:
            raise Invalid(f"a layer of the image is not what its digest says ({each.digest[:19]})")
    return layout.put_bytes(octets, form.MANIFEST), manifest


def _load_docker(layout: ImageLayout, files: _ImageFiles) -> tuple[BlobDescriptor, ImageManifest]:
    images = msgspec.json.decode(files.document("manifest.json"), type=list[_DockerImage])
    if len(images) != 1:
        raise Invalid("the archive has more than one image", remedy="Save one alone.")
    octets = files.document(images[0].config)
    msgspec.json.decode(octets, type=ImageConfiguration)
    layers = []
    for name in images[0].layers:
        digest, size = _take_blob(layout, files, name)
        kind = form.LAYER if _is_packed(layout, digest) else form.LAYER.removesuffix("+gzip")
        layers.append(BlobDescriptor(media_type=kind, digest=digest, size=size))
    manifest = ImageManifest(config=layout.put_bytes(octets, form.CONFIG), layers=tuple(layers))
    return layout.put_bytes(form.encode_document(manifest), form.MANIFEST), manifest


def _fitting(index: PlacedIndex) -> PlacedDescriptor:
    """The one manifest that is for this machine. Raises Invalid."""
    fits = [each for each in index.manifests if each.fits_machine]
    if len(fits) != 1:
        raise Invalid(
            f"the image has {len(fits)} forms for this machine ({form.machine_name()}), "
            "and one is wanted",
            remedy="Write the file anew with one image in it.",
        )
    return fits[0]


def _blob_name(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    if algorithm != "sha256" or len(value) != 64 or not value.isalnum():
        raise Invalid(f"{digest[:40]!r} is no digest that is known here")
    return f"blobs/sha256/{value}"


def _checked(files: _ImageFiles, found: BlobDescriptor) -> bytes:
    octets = files.document(_blob_name(found.digest))
    if f"sha256:{hashlib.sha256(octets).hexdigest()}" != found.digest:
        raise Invalid(f"a document of the image is not what its digest says ({found.digest[:19]})")
    return octets


def _take_blob(layout: ImageLayout, files: _ImageFiles, name: str) -> tuple[str, int]:
    """Keep a layer as it is; its digest and size."""
    with files.open(name) as source:
        kept = layout.put_layer(lambda place: _copy_blob(source, place))
    return kept.digest, kept.size


def _copy_blob(source: IO[bytes], place: Path) -> WrittenLayer:
    digest, size = hashlib.sha256(), 0
    with place.open("xb") as into:
        while portion := source.read(_PORTION):
            size += len(portion)
            if size > MOST_BYTES:
                raise LimitReached("A layer of the image is too large.")
            digest.update(portion)
            into.write(portion)
    found = f"sha256:{digest.hexdigest()}"
    return WrittenLayer(digest=found, diff_id="", size=size, unpacked=0, files=0)


def _is_packed(layout: ImageLayout, digest: str) -> bool:
    with layout.blob_path(digest).open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def archive_name(image: str) -> str:
    """The name that an engine gets for an image: its digest says it, nothing else."""
    return f"localhost/gatelodge:{image.removeprefix('sha256:')[:32]}"


def write_archive(layout: ImageLayout, image: str, manifest: ImageManifest, place: Path) -> None:
    """Write the file of an image, each of its blobs verified. Raises UpstreamUnreachable, OSError.

    A crash leaves a file named `.new` that nobody reads.
    """
    name, new = archive_name(image), place.with_suffix(".new")
    blobs = {
        f"blobs/sha256/{digest[7:]}": layout.checked_path(digest)
        for digest in (image, manifest.config.digest, *(each.digest for each in manifest.layers))
    }
    annotations = {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name}
    one = BlobDescriptor(
        media_type=form.MANIFEST,
        digest=image,
        size=layout.blob_path(image).stat().st_size,
        annotations=annotations,
    )
    loads = {
        "Config": f"blobs/sha256/{manifest.config.digest[7:]}",
        "RepoTags": [name],
        "Layers": [f"blobs/sha256/{each.digest[7:]}" for each in manifest.layers],
    }
    texts = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": form.encode_document(ImageIndex(manifests=(one,))),
        "manifest.json": msgspec.json.encode([loads]),
    }
    with tarfile.open(new, "w", format=tarfile.PAX_FORMAT) as archive:
        for each, octets in texts.items():
            info = tarfile.TarInfo(each)
            info.size, info.mtime = len(octets), FIXED_TIME
            archive.addfile(info, io.BytesIO(octets))
        for each, path in sorted(blobs.items()):
            info = tarfile.TarInfo(each)
            info.size, info.mtime = path.stat().st_size, FIXED_TIME
            with path.open("rb") as blob:
                archive.addfile(info, blob)
    new.rename(place)
