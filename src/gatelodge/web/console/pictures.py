"""Small pictures as numbers for SVG: templates draw them, without script and without style."""

from msgspec import Struct

from gatelodge.core.ids import Instant

WIDTH = 320


class TimelineBar(Struct, frozen=True, kw_only=True):
    """A bar of a timeline: where it begins and how long it is, of `WIDTH`."""

    x: float
    width: float


def timeline_bar(
    began: Instant, ended: Instant | None, first: Instant, last: Instant
) -> TimelineBar:
    """The bar of an interval in a timeline from `first` to `last`; one that lasts reaches its end.

    What was short is as wide as can be seen.
    """
    span = max(last - first, 1)
    x = WIDTH * (began - first) / span
    stop = WIDTH * ((last if ended is None else ended) - first) / span
    return TimelineBar(x=round(min(x, WIDTH - 2), 1), width=round(max(stop - x, 2), 1))
