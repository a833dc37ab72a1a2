"""The goals, each beside what was measured in this run."""

from collections.abc import Callable, Iterator

from msgspec import Struct

from bench.results import Results, middle

STRICT, ASYNC, LEGACY = "gatelodge-strict", "gatelodge-async", "gatelodge-legacy"
PROCESSING_MS = 0.5


class Goal(Struct, frozen=True):
    sentence: str
    limit: float | None  # None: what the limit is made of was not measured
    measured: float | None
    at_least: bool
    show: Callable[[float], str]

    def row(self) -> str:
        """Give the table's row; a goal without a measurement is neither met nor missed."""
        limit = "" if self.limit is None else self.show(self.limit)
        sign = "≥" if self.at_least else "≤"
        if self.limit is None or self.measured is None:
            return f"| {self.sentence} | {sign} {limit} | | not measured |"
        met = self.measured >= self.limit if self.at_least else self.measured <= self.limit
        shown = self.show(self.measured)
        return f"| {self.sentence} | {sign} {limit} | {shown} | {'met' if met else '**missed**'} |"


def _times(value: float) -> str:
    return f"{value:.2f} x" if value < 10 else f"{value:,.0f} x"


def _ms(value: float) -> str:
    return f"{value:.2f} ms"


def _added(results: Results, target: str) -> float | None:
    ours, bare = (results.middle(name, 1, "p50") for name in (target, "direct"))
    return None if ours is None or bare is None else ours - bare


def _evenness(results: Results, connections: int) -> float | None:
    """The slower era's calls a second by the faster's."""
    ratio = results.ratio(LEGACY, STRICT, connections)
    return None if ratio is None else min(ratio, 1 / ratio)


def goals(results: Results) -> Iterator[Goal]:
    """Give the goals in the order of the page."""
    for name, connections, limit in ((STRICT, 256, 0.3), (STRICT, 32, 0.15), (ASYNC, 32, 0.5)):
        yield Goal(
            f"`{name}` beside nginx, calls a second, {connections} connections",
            limit,
            results.ratio(name, "nginx", connections),
            at_least=True,
            show=_times,
        )
    yield Goal(
        f"`{STRICT}` beside ContextForge with its audit trail, calls a second, 32 connections",
        100,
        results.ratio(STRICT, "contextforge", 32),
        at_least=True,
        show=_times,
    )
    for connections in (32, 256):
        yield Goal(
            f"`{STRICT}` and `{LEGACY}`: the slower beside the faster, {connections} connections",
            0.8,
            _evenness(results, connections),
            at_least=True,
            show=_times,
        )
    commit = middle(c.p50 for c in results.commits)
    yield Goal(
        f"`{STRICT}`: added to the median answer at one connection, "
        f"two bare commits and {PROCESSING_MS} ms",
        None if commit is None else 2 * commit + PROCESSING_MS,
        _added(results, STRICT),
        at_least=False,
        show=_ms,
    )
    yield Goal(
        f"`{STRICT}`: memory, the most that was seen",
        150,
        results.memory(STRICT),
        at_least=False,
        show=lambda v: f"{v:.0f} MiB",
    )
    yield Goal(
        f"`{STRICT}`: memory for an idle listen stream",
        20,
        middle(s.kib_each for s in results.streams if s.target == STRICT),
        at_least=False,
        show=lambda v: f"{v:.1f} KiB",
    )
    yield Goal(
        f"`{STRICT}`: from start to the first good answer",
        2,
        results.cold_start(STRICT),
        at_least=False,
        show=lambda v: f"{v:.2f} s",
    )
