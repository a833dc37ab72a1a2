"""What an image is made of, in the forms of the OCI image specification 1.1 (manifest, config).

Only what is written or read here is named; fields that others add are passed over. A field's place
in a struct is its place in the file, so that the same image is always the same bytes.
"""

import platform
from typing import Final

import msgspec
from msgspec import Struct, field

from gatelodge.core.errors import Invalid

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
_DOCKER: Final = "application/vnd.docker.distribution."
DOCKER_MANIFEST: Final = _DOCKER + "manifest.v2+json"
INDEXES: Final = (INDEX, _DOCKER + "manifest.list.v2+json")
LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
OWN: Final = "dev.gatelodge/"
"""What the gate says of its own images stands under this prefix."""
SOURCE, WISH, LOCK, SBOM, BUILDER = (
    OWN + each for each in ("source", "wish", "lock", "sbom", "builder")
)
CREATED: Final = "org.opencontainers.image.created"


def machine_name() -> str:
    """This machine's architecture, as images have it."""
    found = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}.get(found, found)


class BlobDescriptor(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A blob by its type, digest (`sha256:HEX`) and size in bytes."""

    media_type: str = ""
    digest: str
    size: int
    annotations: dict[str, str] = {}


class ImagePlatform(Struct):
    """The machine that an image of an index is for; empty where nothing is said."""

    architecture: str = ""
    os: str = ""


class PlacedDescriptor(BlobDescriptor, frozen=True, kw_only=True, rename="camel"):
    """An image of an index, and the machine that it is for."""

    platform: ImagePlatform | None = None

    @property
    def fits_machine(self) -> bool:
        """True when nothing says that it is for another machine than this one."""
        at = self.platform
        return at is None or (at.os in ("", "linux") and at.architecture in ("", machine_name()))


class PlacedIndex(Struct, frozen=True, rename="camel"):
    """Images of one name for several machines."""

    manifests: tuple[PlacedDescriptor, ...] = ()


class ImageManifest(Struct, frozen=True, kw_only=True, rename="camel"):
    """What the digest of an image is the digest of."""

    schema_version: int = 2
    media_type: str = MANIFEST
    config: BlobDescriptor
    layers: tuple[BlobDescriptor, ...]
    annotations: dict[str, str] = {}


class ProcessDefaults(Struct, frozen=True, kw_only=True, rename="pascal", omit_defaults=True):
    """How the program of an image is started."""

    user: str = ""
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    env: tuple[str, ...] | None = None
    working_dir: str = ""


class LayerChain(Struct, frozen=True, kw_only=True):
    """The digests of the layers as plain tar files, the lowest first."""

    type: str = "layers"
    diff_ids: tuple[str, ...]


class HistoryLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which step made a layer; engines want one for each."""

    created_by: str = ""
    empty_layer: bool = False


class ImageConfiguration(Struct, frozen=True, kw_only=True):
    """The configuration of an image."""

    architecture: str
    os: str = "linux"
    config: ProcessDefaults = field(default_factory=ProcessDefaults)
    rootfs: LayerChain
    history: tuple[HistoryLine, ...] = ()


def check_machine(made: ImageConfiguration) -> None:
    """Refuse an image for another machine than this one. Raises Invalid."""
    if (made.os, made.architecture) != ("linux", machine_name()):
        raise Invalid(
            f"the image is for {made.os[:40]} on {made.architecture[:40]}, and this machine is "
            f"linux on {machine_name()}",
            remedy="Name an image that is made for it.",
        )


class ImageIndex(Struct, frozen=True, kw_only=True, rename="camel"):
    """The images of a layout (`index.json`)."""

    schema_version: int = 2
    manifests: tuple[BlobDescriptor, ...] = ()


def encode_document(document: Struct) -> bytes:
    """The one encoding of a document: maps sorted by their keys."""
    return msgspec.json.encode(document, order="deterministic")
