"""The bill of materials of an image: CycloneDX 1.6 JSON (ECMA-424), the same for the same image.

It bears no time and no serial number, which would make each build another one.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from gatelodge.core.hosting.materials import ImageMaterial

MEDIA_TYPE = "application/vnd.cyclonedx+json"


class _BillHash(Struct):
    alg: str
    content: str


class _BillComponent(Struct):
    name: str
    type: str
    version: str = ""
    purl: str = ""
    hashes: list[_BillHash] = []


class _BillOfMaterials(Struct):
    components: list[_BillComponent] = []


def write_bill(source: str, materials: Iterable[ImageMaterial]) -> bytes:
    """The bill of an image that was built of this source."""
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    subject = Component(name=source, type=ComponentType.CONTAINER, bom_ref=source)
    bill = Bom(metadata=BomMetaData(component=subject))
    for each in sorted(set(materials)):
        bill.components.add(
            Component(
                name=each.name,
                version=each.version or None,
                purl=PackageURL.from_string(each.purl) if each.purl else None,
                type=ComponentType(each.kind),
                hashes=[_bill_hash(digest) for digest in each.digests],
                # Its own would be made by chance.
                bom_ref=each.purl or f"{each.name}@{each.version}",
            )
        )
    bill.register_dependency(subject, bill.components)
    document = msgspec.json.decode(JsonV1Dot6(bill).output_as_string())
    document.pop("serialNumber", None)
    document["metadata"].pop("timestamp", None)
    return msgspec.json.encode(document, order="deterministic")


def read_bill(octets: bytes) -> tuple[ImageMaterial, ...]:
    """The packages and files of a bill. Raises msgspec.DecodeError."""
    bill = msgspec.json.decode(octets, type=_BillOfMaterials)
    return tuple(
        ImageMaterial(
            name=each.name,
            version=each.version,
            purl=each.purl,
            digests=tuple(f"{h.alg.lower().replace('-', '')}:{h.content}" for h in each.hashes),
            kind=each.type,
        )
        for each in bill.components
    )


def _bill_hash(digest: str) -> Any:
    from cyclonedx.model import HashAlgorithm, HashType

    algorithm, _, content = digest.partition(":")
    return HashType(alg=HashAlgorithm(f"SHA-{algorithm[3:]}"), content=content)
