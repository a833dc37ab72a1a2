"""The image that an engine has, against the one that was built.

An engine names images by the digest of their configuration, which covers all layers (Docker's own
store, Podman), or by that of the manifest (Docker with containerd's store). Both follow from the
archive, whose manifest is checked against the digest that was approved.
"""

import asyncio
import hashlib
import io
import json
import tarfile
from pathlib import Path

from gatelodge.core.errors import UpstreamUnreachable

_MANIFEST_BYTES = 4 << 20
_BUILD = "Build it again: gatelodge server upgrade ALIAS"


async def image_ids(image: str, archive: Path) -> frozenset[str]:
    """The ids by which an engine may name the image. Raises UpstreamUnreachable."""
    return await asyncio.to_thread(_read_ids, image, archive)


def _read_ids(image: str, archive: Path) -> frozenset[str]:
    kind, _, digest = image.partition(":")
    try:
        with tarfile.open(archive) as tar:
            file = tar.extractfile(f"blobs/{kind}/{digest}")
            manifest = file.read(_MANIFEST_BYTES) if file else b""
        if hashlib.sha256(manifest).hexdigest() != digest:
            raise _differs(image)
        return frozenset((image, str(json.loads(manifest)["config"]["digest"])))
    except (OSError, tarfile.TarError, LookupError, ValueError) as failed:
        raise _differs(image) from failed


def _differs(image: str) -> UpstreamUnreachable:
    return UpstreamUnreachable(
        f"The archive of the image {image[:19]} is not what was built.", remedy=_BUILD
    )


def empty_image() -> tuple[io.BytesIO, str]:
    """An archive of an image with nothing in it, and its id: for a trial."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w"):
        pass
    held = layer.getvalue()
    config = json.dumps(
        {
            "os": "linux",
            "architecture": "amd64",
            "config": {"Labels": {"dev.gatelodge.trial": "1"}},
            "rootfs": {"type": "layers", "diff_ids": [_digest(held)]},
        }
    ).encode()
    named = {"config.json": config, "layer.tar": held}
    listed = [{"Config": "config.json", "RepoTags": [], "Layers": ["layer.tar"]}]
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, data in {**named, "manifest.json": json.dumps(listed).encode()}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    archive.seek(0)
    return archive, _digest(config)


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
