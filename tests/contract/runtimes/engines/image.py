"""The guest's image as engines take it: one archive with all that the contract's tests start."""

import hashlib
import io
import json
import os
import platform
import tarfile
from pathlib import Path

from tests.contract.runtimes.guest_image import IMAGE, NO_PROGRAM, GuestImages

ARCHIVE = "GATELODGE_GUEST_ARCHIVE"
"""Where the archive is: made once for a run, also for the gates that it kills."""
_KIND = "application/vnd.oci.image"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


class EngineImages(GuestImages):
    """Implements `ImageStore` for engines, which know images by what they hold."""

    def __init__(self) -> None:
        self._archive = Path(os.environ[ARCHIVE])
        self._names = {digest: name for name, digest in digests().items()}

    async def config(self, image):
        return await super().config(self._names.get(image, image))

    async def archive(self, image):
        return self._archive


def digests() -> dict[str, str]:
    """The real digest of each image that the contract names."""
    return json.loads(Path(os.environ[ARCHIVE]).with_suffix(".json").read_text())


def make_archive(root: Path, archive: Path) -> None:
    """An OCI layout that is a docker-archive as well: one layer, a manifest for each."""
    layer = _layer(root)
    held = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', _blob(layer): layer}
    manifests, docker, known = [], [], {}
    for name in (IMAGE, NO_PROGRAM):
        config = _config(name, layer)
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": f"{_KIND}.manifest.v1+json",
                "config": _described("config.v1+json", config),
                "layers": [_described("layer.v1.tar", layer)],
            }
        ).encode()
        held |= {_blob(config): config, _blob(manifest): manifest}
        manifests.append(_described("manifest.v1+json", manifest))
        docker.append({"Config": _blob(config), "RepoTags": [], "Layers": [_blob(layer)]})
        known[name] = _digest(manifest)
    held["index.json"] = json.dumps({"schemaVersion": 2, "manifests": manifests}).encode()
    held["manifest.json"] = json.dumps(docker).encode()
    with tarfile.open(archive, "w") as tar:
        for name, data in held.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    archive.with_suffix(".json").write_text(json.dumps(known))


def _config(name: str, layer: bytes) -> bytes:
    return json.dumps(
        {
            "architecture": _MACHINES[platform.machine()],
            "os": "linux",
            "config": {"Entrypoint": ["/usr/bin/python3"], "Labels": {"name": name}},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
            "history": [{"created_by": "tests"}],
        }
    ).encode()


def _layer(root: Path) -> bytes:
    def owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        if entry.name == "tmp":  # as images have it: runc 1.1 keeps its mode below the tmpfs
            entry.mode = 0o1777
        return entry

    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        tar.add(root, "", filter=owned_by_root)
    return made.getvalue()


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _blob(data: bytes) -> str:
    return "blobs/" + _digest(data).replace(":", "/")


def _described(kind: str, data: bytes) -> dict[str, object]:
    return {"mediaType": f"{_KIND}.{kind}", "digest": _digest(data), "size": len(data)}
