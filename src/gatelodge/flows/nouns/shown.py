"""The outer shape of a row: what of it is seen under the same name, and times as text."""

from typing import Any, TypeVar

from msgspec import Struct

from gatelodge.core.instant import rfc3339

S = TypeVar("S", bound=Struct)


def shown_as(kind: type[S], row: Struct, /, **beside: Any) -> S:
    """The row as the outside sees it: the fields of `kind` and no others.

    `beside` gives those that are not the row's own; its times (`..._at`) become RFC 3339.
    """
    told = {name: getattr(row, name) for name in kind.__struct_fields__ if name not in beside}
    times = {
        name: rfc3339(at) for name, at in told.items() if name.endswith("_at") and at is not None
    }
    return kind(**told | times | beside)
