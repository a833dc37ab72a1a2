"""Recent activity as pictures: what pages and the command draw of the same numbers."""

from collections.abc import Sequence

from gatelodge.core.pictures.strip import Kind, StripCell

_SOME = 0.05
"""From which share of failures on a server was in trouble, and not only a call."""


def health_cell(at: str, ok: int, denied: int, failed: int) -> StripCell:
    """One hour of a server; a denial says nothing of its health."""
    kind: Kind = "none"
    if failed:
        kind = "bad" if failed >= _SOME * (ok + failed) and failed > 1 else "some"
    elif ok:
        kind = "good"
    return StripCell(
        kind, f"{at[:13].replace('T', ' ')}h: {ok} ok, {failed} failed, {denied} denied"
    )


def share(part: int, whole: int) -> str:
    """A share in per cent, as short as it says something; a dash for no calls."""
    if not whole:
        return "—"
    return f"{100 * part / whole:.1f} %"


def calls_title(values: Sequence[int | None]) -> str:
    """What a picture of calls an hour shows, in words."""
    known = [each for each in values if each is not None]
    most = max(known, default=0)
    return f"Calls in each of the last {len(values)} hours: {sum(known)}, at most {most} in one"
