"""Images made by hand, as somebody hostile would: each layer is a list of archive headers."""

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

from gatelodge.adapters.images import manifest as form
from gatelodge.adapters.images.layout import ImageLayout
from gatelodge.adapters.images.store import OciImageStore
from gatelodge.adapters.keys.system import SystemClock


def entry(name: str, content: bytes | None = None, **fields) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type = tarfile.REGTYPE if content is not None else tarfile.DIRTYPE
    info.size = len(content or b"")
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content or b""


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=kind, linkname=target)


def layer(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def store_in(directory: Path) -> OciImageStore:
    return OciImageStore(directory / "images", directory / "cache" / "images", SystemClock())


def keep(
    directory: Path,
    *layers: bytes,
    annotations: dict[str, str] | None = None,
    configuration: bytes = b"",
) -> str:
    """The digest of an image of these plain layers, which stands in the store of `store_in`."""
    layout = ImageLayout(directory / "images")
    layout.prepare_directory()
    blobs = [
        layout.put_bytes(gzip.compress(each, mtime=0, compresslevel=1), form.LAYER)
        for each in layers
    ]
    diff_ids = tuple(f"sha256:{hashlib.sha256(each).hexdigest()}" for each in layers)
    chain = form.LayerChain(diff_ids=diff_ids)
    plain = form.ImageConfiguration(architecture=form.machine_name(), rootfs=chain)
    config = layout.put_bytes(configuration or form.encode_document(plain), form.CONFIG)
    manifest = form.ImageManifest(config=config, layers=tuple(blobs), annotations=annotations or {})
    image = layout.put_bytes(form.encode_document(manifest), form.MANIFEST)
    layout.add_image(image)
    return image.digest
