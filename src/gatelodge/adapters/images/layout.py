"""Blobs by their digest and the index of images, as an OCI image layout on this machine's disk.

A blob is read by its digest and hashed each time: what was changed on disk is not used. A blob is
written beside its place and renamed; the index is replaced whole. A crash leaves blobs that no
image has, which `remove_unused` removes, and folders `new-...`, which the first build removes.
"""

import hashlib
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from gatelodge.adapters.files import create_file, replace_file, sync_path
from gatelodge.adapters.images.layers import WrittenLayer
from gatelodge.adapters.images.manifest import BlobDescriptor, ImageIndex, ImageManifest
from gatelodge.core.errors import UpstreamUnreachable

_BUILD_IT: Final = "Build it again: gatelodge server upgrade ALIAS, or `server add`."
_DOCUMENT_BYTES: Final = 8 << 20
"""Of a manifest or a configuration: it is read whole."""
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
T = TypeVar("T", bound=Struct)


class ImageLayout:
    """The layout below one directory. Used from threads: the index changes under a lock."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._blobs = directory / "blobs" / "sha256"
        self._changing = threading.Lock()
        self._swept = False

    def prepare_directory(self) -> None:
        """Make the layout where it is not there yet. Raises OSError."""
        self._blobs.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._changing:
            if not self._swept:
                # Of a gate that was killed: this one has begun nothing yet.
                for each in self.directory.glob("new-*"):
                    shutil.rmtree(each, ignore_errors=True)
            self._swept = True
        marker = self.directory / "oci-layout"
        if not marker.exists():
            replace_file(marker, b'{"imageLayoutVersion":"1.0.0"}')

    def blob_path(self, digest: str) -> Path:
        """Where a blob is, or would be; what stands there is not looked at."""
        return self._blobs / digest.removeprefix("sha256:")

    def checked_path(self, digest: str) -> Path:
        """Where a blob is that is what its digest says. Raises UpstreamUnreachable."""
        # Digests also come from images that others made: anything else would be a path.
        if _DIGEST.fullmatch(digest) is None:
            raise UpstreamUnreachable(
                f"The image names a part of itself by no digest ({digest[:19]!r}).",
                remedy=_BUILD_IT,
            )
        path = self.blob_path(digest)
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as failed:
            raise UpstreamUnreachable(
                f"A part of the image is not here ({digest[:19]}): {failed.strerror}.",
                remedy=_BUILD_IT,
            ) from failed
        if found != path.name:
            raise UpstreamUnreachable(
                f"A part of the image was changed on this machine ({digest[:19]}).",
                remedy=f"Find out who did; then remove {path} and build the image again.",
            )
        return path

    def read_document(self, digest: str, form: type[T]) -> T:
        """A document by its digest. Raises UpstreamUnreachable."""
        path = self.checked_path(digest)
        if path.stat().st_size > _DOCUMENT_BYTES:
            raise UpstreamUnreachable("A document of the image is too large.", remedy=_BUILD_IT)
        octets = path.read_bytes()
        # Once more of what was read: the file may be another one by now.
        if hashlib.sha256(octets).hexdigest() != path.name:
            raise UpstreamUnreachable("A document of the image is changing.", remedy=_BUILD_IT)
        try:
            return msgspec.json.decode(octets, type=form)
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            raise UpstreamUnreachable(
                "A document of the image cannot be read.", remedy=_BUILD_IT
            ) from fault

    def put_bytes(self, octets: bytes, media_type: str = "") -> BlobDescriptor:
        """Keep a small blob. Raises OSError."""
        digest = hashlib.sha256(octets).hexdigest()
        new = Path(tempfile.mkdtemp(dir=self.directory, prefix="new-"))
        try:
            create_file(new / digest, octets)
            (new / digest).rename(self._blobs / digest)
        finally:
            new.rmdir()
        return BlobDescriptor(media_type=media_type, digest=f"sha256:{digest}", size=len(octets))

    def put_layer(self, write: Callable[[Path], WrittenLayer]) -> WrittenLayer:
        """Keep a layer that `write` writes to the path that it is given. Raises OSError."""
        with self.incoming() as path:
            layer = write(path)
            self.keep_incoming(path, layer.digest)
        return layer

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """A path for a blob that is still to come; what is there at the end goes.

        Raises OSError.
        """
        new = Path(tempfile.mkdtemp(dir=self.directory, prefix="new-"))
        try:
            yield new / "layer"
        finally:
            (new / "layer").unlink(missing_ok=True)
            new.rmdir()

    def keep_incoming(self, path: Path, digest: str) -> None:
        """Keep a blob that came whole, and whose digest was made of it. Raises OSError."""
        sync_path(path)
        path.rename(self.blob_path(digest))

    def index(self) -> ImageIndex:
        """The images that are kept, oldest first. Raises UpstreamUnreachable."""
        try:
            octets = (self.directory / "index.json").read_bytes()
        except FileNotFoundError:
            return ImageIndex()
        try:
            return msgspec.json.decode(octets, type=ImageIndex)
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            raise UpstreamUnreachable(
                "The index of the images cannot be read.",
                remedy=f"Restore {self.directory / 'index.json'}, or remove it and build anew.",
            ) from fault

    def add_image(self, image: BlobDescriptor) -> None:
        """Name an image in the index, its manifest kept before. Raises OSError."""
        with self._changing:
            others = [each for each in self.index().manifests if each.digest != image.digest]
            self._replace_index((*others, image))

    def drop_image(self, digest: str) -> bool:
        """Take an image out of the index; False when it was not there. Raises OSError."""
        with self._changing:
            all_of_them = self.index().manifests
            others = tuple(each for each in all_of_them if each.digest != digest)
            if len(others) == len(all_of_them):
                return False
            self._replace_index(others)
            return True

    def _replace_index(self, manifests: tuple[BlobDescriptor, ...]) -> None:
        index = ImageIndex(manifests=manifests)
        octets = msgspec.json.encode(index, order="deterministic")
        replace_file(self.directory / "index.json", octets)

    def remove_unused(self, also: frozenset[str]) -> int:
        """Remove blobs that no image of the index has, but for `also`; bytes freed.

        Raises OSError, UpstreamUnreachable (an image cannot be read: then nothing is removed).
        """
        with self._changing:
            used = set(also)
            for image in self.index().manifests:
                manifest = self.read_document(image.digest, ImageManifest)
                used |= {image.digest, manifest.config.digest}
                used |= {each.digest for each in manifest.layers}
                used |= {each for each in manifest.annotations.values() if each[:7] == "sha256:"}
            freed = 0
            for path in self._blobs.iterdir():
                if f"sha256:{path.name}" not in used:
                    freed += path.stat().st_size
                    path.unlink()
            return freed
