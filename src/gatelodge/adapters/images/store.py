"""The store of images: builds them, keeps them, and gives them out verified.

Everything that was read is hashed on the way; what differs is refused, never mended. A build that
is cut off leaves blobs that no image has.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from gatelodge.adapters.aside import opened_aside
from gatelodge.adapters.images import manifest as form
from gatelodge.adapters.images.archive import load_image, write_archive
from gatelodge.adapters.images.layers import WrittenLayer, directory_items, write_layer
from gatelodge.adapters.images.layout import ImageLayout
from gatelodge.adapters.images.manifest import (
    BlobDescriptor,
    HistoryLine,
    ImageConfiguration,
    ImageManifest,
    LayerChain,
    ProcessDefaults,
)
from gatelodge.adapters.images.members import LayerMember, LayerReader
from gatelodge.adapters.images.roots import ImageRoots, remove_root
from gatelodge.adapters.images.runtimes import HostLayers
from gatelodge.adapters.images.sbom import MEDIA_TYPE, read_bill, write_bill
from gatelodge.adapters.images.tree import TreeFolder, merge_layers
from gatelodge.core.errors import Invalid, UpstreamUnreachable
from gatelodge.core.hosting.materials import ImageMaterial
from gatelodge.core.ids import Instant
from gatelodge.ports.images import BytecodeCompiler, ImageConfig, ImageRecipe, KeptImage
from gatelodge.ports.world import Clock

BUILDER: Final = "gatelodge-images/1"
"""Another one whenever the same recipe would give another image."""
_USER: Final = "10001:10001"


_COMPARED_AT_ONCE: Final = 2
"""Images that are laid out or compared at a time. After a start of the gate all are due at once:
the first servers start sooner so, and threads are left for what else the gate does."""


class OciImageStore:
    """Shared by all tasks: `_turns` holds one lock for each image, `_checked` those looked at."""

    def __init__(self, directory: Path, caches: Path, clock: Clock) -> None:
        self.layout = ImageLayout(directory)
        self._roots = ImageRoots(caches)
        self._hosts = HostLayers(self.layout, BUILDER)
        self._clock = clock
        self._turns: dict[str, asyncio.Lock] = {}
        self._checked: set[str] = set()
        self._comparing = asyncio.Semaphore(_COMPARED_AT_ONCE)
        self._under_way = 0
        self._members: dict[str, tuple[LayerMember, ...]] = {}

    async def config(self, image: str) -> ImageConfig:
        """How it is started (`ImageStore`)."""
        return await asyncio.to_thread(self._read_config, image)

    async def root(self, image: str) -> Path:
        """Its files (`ImageStore`); the first time in a process they are compared, byte by byte."""
        async with self._turns.setdefault(image, asyncio.Lock()):
            if image in self._checked:
                return await opened_aside(lambda: self._ready_root(image), _nothing_to_close)
            async with self._comparing:
                return await opened_aside(lambda: self._ready_root(image), _nothing_to_close)

    async def archive(self, image: str) -> Path:
        """One file for container engines (`ImageStore`)."""
        async with self._turns.setdefault(image, asyncio.Lock()):
            return await opened_aside(lambda: self._ready_archive(image), _nothing_to_close)

    async def build(self, recipe: ImageRecipe, compiler: BytecodeCompiler) -> KeptImage:
        """Build it and keep it (`ImageKeeper`)."""
        try:
            async with self.filling():
                hosts = await self._hosts.layers(recipe.runtimes, compiler)
                own = await opened_aside(lambda: self._write_own(recipe), _nothing_to_close)
                layers = (*(each.layer for each in hosts), own)
                lines = (line for each in hosts for line in each.materials)
                materials = (*recipe.materials, *lines)
                return await opened_aside(
                    lambda: self._assemble_image(recipe, layers, materials), _nothing_to_close
                )
        except OSError as failed:
            raise not_kept(failed) from failed

    async def load(self, path: Path, source: str, wish: str) -> KeptImage:
        """Take an image from a file or a folder (`ImageKeeper`)."""
        try:
            async with self.filling():
                return await opened_aside(
                    lambda: self._take_image(path, (source, wish)), _nothing_to_close
                )
        except OSError as failed:
            raise Invalid(
                f"the image could not be taken from {path.name}: {failed.strerror}",
                remedy="Name a file or a folder on the gate's own machine by its whole path.",
            ) from failed

    async def adopt(self, image: BlobDescriptor, source: str, wish: str) -> KeptImage:
        """Name an image of others, all of whose blobs are in the layout. Raises OSError.

        Raises UpstreamUnreachable when they are no image.
        """
        return await opened_aside(
            lambda: self._adopt_image(image, (source, wish)), _nothing_to_close
        )

    @asynccontextmanager
    async def filling(self) -> AsyncIterator[None]:
        """While blobs come that no image has yet; none is removed meanwhile. Raises OSError."""
        self._under_way += 1
        try:
            await asyncio.to_thread(self.layout.prepare_directory)
            yield
        finally:
            self._under_way -= 1

    async def images(self) -> tuple[KeptImage, ...]:
        """All that are kept, newest first (`ImageKeeper`)."""
        return await asyncio.to_thread(self._list_images)

    async def document(self, digest: str) -> bytes:
        """A lock or a bill of materials (`ImageKeeper`)."""
        path = await asyncio.to_thread(self.layout.checked_path, digest)
        return await asyncio.to_thread(path.read_bytes)

    async def materials(self, image: str) -> tuple[ImageMaterial, ...]:
        """What it is made of (`ImageKeeper`)."""
        manifest, _ = await asyncio.to_thread(self._read_manifest, image)
        bill = self._said(image, manifest).get(form.SBOM)
        if bill is None:
            return ()
        try:
            return read_bill(await self.document(bill))
        except msgspec.DecodeError as fault:
            raise UpstreamUnreachable("The bill of materials cannot be read.") from fault

    async def remove(self, image: str) -> int:
        """Remove an image (`ImageKeeper`); not while one is built, whose parts no image has yet."""
        if self._under_way:
            raise UpstreamUnreachable(
                "An image is being built, and no other is removed meanwhile.",
                remedy="Try again when it is done: see `gatelodge job list`.",
            )
        async with self._turns.setdefault(image, asyncio.Lock()):
            return await opened_aside(lambda: self._remove_image(image), _nothing_to_close)

    def _read_manifest(self, image: str) -> tuple[ImageManifest, ImageConfiguration]:
        manifest = self.layout.read_document(image, ImageManifest)
        configuration = self.layout.read_document(manifest.config.digest, ImageConfiguration)
        if len(manifest.layers) != len(configuration.rootfs.diff_ids):
            raise UpstreamUnreachable("The manifest of the image does not fit its configuration.")
        return manifest, configuration

    def _read_config(self, image: str) -> ImageConfig:
        manifest, configuration = self._read_manifest(image)
        defaults = configuration.config
        pairs = (each.partition("=") for each in defaults.env or ())
        return ImageConfig(
            image=image,
            source=self._said(image, manifest).get(form.SOURCE, ""),
            command=(*(defaults.entrypoint or ()), *(defaults.cmd or ())),
            env={name: value for name, _, value in pairs},
            cwd=defaults.working_dir or "/",
            size=sum(each.size for each in manifest.layers),
        )

    def _said(self, image: str, manifest: ImageManifest) -> dict[str, str]:
        """What is known of where an image is from.

        The index says it of an image that was taken from elsewhere: what such a one says of itself
        could be that it was built here, of a package that somebody trusts.
        """
        every = self.layout.index().manifests
        named = next((each.annotations for each in every if each.digest == image), {})
        return named if form.SOURCE in named else {**manifest.annotations, **named}

    def _ready_root(self, image: str) -> Path:
        place = self._roots.path(image)
        if image in self._checked and place.exists():
            return place
        try:
            self._roots.prepare_directory()
            if place.exists():
                self._roots.check_root(image, self._read_tree(image, unpack=False))
            else:
                # One after the other: a file that is just being put in the place of an equal one
                # cannot be linked, and a layer that two of them share is read once.
                with self._roots.laying:
                    tree = self._read_tree(image, unpack=True)
                    self._roots.lay_root(image, tree)
                # Files that were there before for other images may have been changed since.
                self._roots.check_root(image, tree)
        except OSError as failed:
            raise UpstreamUnreachable(
                f"The image could not be unpacked: {failed.strerror}.",
                remedy=f"Make room for {self._roots.directory}, or mend its permissions.",
            ) from failed
        self._checked.add(image)
        return place

    def _read_tree(self, image: str, *, unpack: bool) -> TreeFolder:
        manifest, configuration = self._read_manifest(image)
        reader = LayerReader(self._roots.pool)
        chain = zip(manifest.layers, configuration.rootfs.diff_ids, strict=True)
        layers = []
        for layer, diff_id in chain:
            known = self._members.get(diff_id)
            if known is None or (unpack and not self._roots.pool.has_all(known)):
                path = self.layout.checked_path(layer.digest)
                self._members[diff_id] = reader.read_layer(path, diff_id)
            layers.append(self._members[diff_id])
        return merge_layers(layers)

    def _ready_archive(self, image: str) -> Path:
        manifest, _ = self._read_manifest(image)
        place = self.layout.directory / "archives" / f"{image.removeprefix('sha256:')}.tar"
        place.parent.mkdir(mode=0o700, exist_ok=True)
        if not place.exists():
            write_archive(self.layout, image, manifest, place)
        return place

    def _write_own(self, recipe: ImageRecipe) -> WrittenLayer:
        items = list(directory_items(recipe.folder, "app"))
        return self.layout.put_layer(lambda path: write_layer(items, path))

    def _assemble_image(
        self,
        recipe: ImageRecipe,
        layers: tuple[WrittenLayer, ...],
        materials: tuple[ImageMaterial, ...],
    ) -> KeptImage:
        lock = self.layout.put_bytes(recipe.lock, "text/plain")
        bill = self.layout.put_bytes(write_bill(recipe.source, materials), MEDIA_TYPE)
        env = tuple(f"{name}={value}" for name, value in sorted(recipe.env.items()))
        configuration = ImageConfiguration(
            architecture=form.machine_name(),
            config=ProcessDefaults(
                user=_USER, entrypoint=recipe.command, env=env, working_dir=recipe.cwd
            ),
            rootfs=LayerChain(diff_ids=tuple(each.diff_id for each in layers)),
            history=tuple(HistoryLine(created_by=BUILDER) for _ in layers),
        )
        kept = self.layout.put_bytes(form.encode_document(configuration), form.CONFIG)
        manifest = ImageManifest(
            config=kept,
            layers=tuple(
                BlobDescriptor(media_type=form.LAYER, digest=each.digest, size=each.size)
                for each in layers
            ),
            annotations={
                form.SOURCE: recipe.source,
                form.WISH: recipe.wish,
                form.LOCK: lock.digest,
                form.SBOM: bill.digest,
                form.BUILDER: BUILDER,
            },
        )
        image = self.layout.put_bytes(form.encode_document(manifest), form.MANIFEST)
        return self._add_image(image, {})

    def _take_image(self, path: Path, asked: tuple[str, str]) -> KeptImage:
        image, _ = load_image(self.layout, path)
        return self._adopt_image(image, asked)

    def _adopt_image(self, image: BlobDescriptor, asked: tuple[str, str]) -> KeptImage:
        # One that cannot be read would stand in the way of all that are listed.
        _, configuration = self._read_manifest(image.digest)
        form.check_machine(configuration)
        for each in self._list_images():
            if each.image == image.digest:
                return each  # byte by byte what is here, whoever brings it once more
        return self._add_image(image, {form.SOURCE: asked[0], form.WISH: asked[1]})

    def _add_image(self, image: BlobDescriptor, own: dict[str, str]) -> KeptImage:
        # Of the index, not of the image: the same image is the same, whenever it was built.
        named = {**own, form.CREATED: str(self._clock.now())}
        self.layout.add_image(
            BlobDescriptor(
                media_type=form.MANIFEST, digest=image.digest, size=image.size, annotations=named
            )
        )
        return next(each for each in self._list_images() if each.image == image.digest)

    def _list_images(self) -> tuple[KeptImage, ...]:
        listed = []
        for each in reversed(self.layout.index().manifests):
            config = self._read_config(each.digest)
            manifest, _ = self._read_manifest(each.digest)
            said = self._said(each.digest, manifest)
            listed.append(
                KeptImage(
                    image=each.digest,
                    source=config.source,
                    size=config.size,
                    built=Instant(int(each.annotations.get(form.CREATED, "0"))),
                    command=config.command,
                    lock=said.get(form.LOCK, ""),
                    sbom=said.get(form.SBOM, ""),
                    wish=said.get(form.WISH, ""),
                )
            )
        return tuple(listed)

    def _remove_image(self, image: str) -> int:
        if not self.layout.drop_image(image):
            raise UpstreamUnreachable("The image is not here.", remedy="See: gatelodge image list")
        remove_root(self._roots.path(image))
        (self.layout.directory / "archives" / f"{image[7:]}.tar").unlink(missing_ok=True)
        self._checked.discard(image)
        freed = self.layout.remove_unused(self._hosts.digests())
        return freed + self._roots.remove_unused()


def image_store(data_dir: Path, cache_dir: str, clock: Clock) -> OciImageStore:
    """The store of a data directory; where the gate is root, its roots are where others can pass.

    A data directory is its owner's alone, and programs run under other uids.
    """
    mark = hashlib.sha256(str(data_dir).encode()).hexdigest()[:16]
    if cache_dir:
        caches = Path(cache_dir).expanduser() / mark
    else:
        root = os.geteuid() == 0
        caches = Path("/var/cache/gatelodge") / mark if root else data_dir / "cache"
    return OciImageStore(data_dir / "images", caches / "images", clock)


def not_kept(failed: OSError) -> UpstreamUnreachable:
    """The error for an image that the disk does not take."""
    return UpstreamUnreachable(
        f"The image could not be kept: {failed.strerror}.",
        remedy="Make room on the disk of the data directory, or mend its permissions.",
    )


def _nothing_to_close(_: object) -> None:
    """What was made is a value, or stands on the disk."""
