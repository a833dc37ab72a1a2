"""What an image is made of, one line for each package: for its bill of materials and for diffs."""

from collections.abc import Iterable

from msgspec import Struct


class ImageMaterial(Struct, frozen=True, kw_only=True, order=True):
    """One package of an image, or one file of the machine that it was built on.

    `purl` is its package URL, empty for a file; `digests` are `ALGORITHM:HEX` of what was fetched.
    """

    name: str
    version: str
    purl: str = ""
    digests: tuple[str, ...] = ()
    kind: str = "library"


class MaterialChange(Struct, frozen=True, kw_only=True):
    """A package that differs between two images: empty = it was, or is, not there."""

    name: str
    before: str
    after: str


def changed_materials(
    before: Iterable[ImageMaterial], after: Iterable[ImageMaterial]
) -> tuple[MaterialChange, ...]:
    """What of the packages was added, taken away or is of another version or content, by name."""
    old, new = _by_name(before), _by_name(after)
    return tuple(
        MaterialChange(
            name=name, before=_versions(old.get(name, ())), after=_versions(new.get(name, ()))
        )
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    )


def _by_name(materials: Iterable[ImageMaterial]) -> dict[str, tuple[ImageMaterial, ...]]:
    found: dict[str, tuple[ImageMaterial, ...]] = {}
    for each in sorted(materials):
        found[each.name] = (*found.get(each.name, ()), each)
    return found


def _versions(materials: Iterable[ImageMaterial]) -> str:
    return ", ".join(dict.fromkeys(each.version for each in materials))
