"""Where keys come from: a URI scheme says which source is asked."""

from collections.abc import Callable
from pathlib import Path

from gatelodge.adapters.keys.disk import DiskKeys, open_disk_keys
from gatelodge.core.errors import Invalid


def _from_file(place: str, create: bool) -> DiskKeys:  # noqa: FBT001 - one shape for every source
    return open_disk_keys(Path(place), create=create)


SOURCES: dict[str, Callable[[str, bool], DiskKeys]] = {"file": _from_file}


def open_keys(uri: str, *, create: bool) -> DiskKeys:
    """The keys behind `file:DIRECTORY`.

    Raises Invalid on another scheme, KeyMismatch and KeyUnreachable.
    """
    scheme, _, place = uri.partition(":")
    source = SOURCES.get(scheme)
    if source is None or not place:
        raise Invalid(
            f"no key source is called {scheme!r}", remedy=f"Use one of {', '.join(SOURCES)}."
        )
    return source(place, create)
