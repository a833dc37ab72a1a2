"""Recent activity as pictures: what pages and the command draw of the same numbers."""

from collections.abc import Sequence

from gatelodge.core.pictures.strip import Kind, StripCell

_SOME = 0.05
"""From which share of failures on a server was in trouble, and not only a call."""


def health_cell(
    at: str, ok: int, denied: int, failed: int, *, ran: bool = False, troubles: int = 0
) -> StripCell:
    """One hour of a server: its calls, whether an instance of it ran, and how many went wrong.

    A denial says nothing of its health, and where no record says anything, nothing is known.
    """
    kind: Kind = "none"
    if (failed > 1 and failed >= _SOME * (ok + failed)) or troubles > 1:
        kind = "bad"
    elif failed or troubles:
        kind = "some" if ok or ran or failed else "bad"
    elif ok or ran:
        kind = "good"
    told = [f"{ok} ok, {failed} failed, {denied} denied"] if ok or failed or denied else []
    told += ["an instance ran"] if ran else []
    told += [f"instances refused or ended by themselves: {troubles}"] if troubles else []
    said = "; ".join(told) or "no record tells how it was"
    return StripCell(kind, f"{at[:13].replace('T', ' ')}h: {said}")


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
