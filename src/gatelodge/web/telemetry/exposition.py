"""The text that Prometheus reads, made beside the event loop; the library is loaded by the first.

Source: Prometheus text format 0.0.4; OpenMetrics 1.0.0.
"""

import math
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import TYPE_CHECKING

from anyio import Lock, to_thread

from gatelodge.flows.counts import Histogram
from gatelodge.web.telemetry.gathering import MeasuredFamily

if TYPE_CHECKING:
    from prometheus_client.core import Metric

SHARED_SECONDS = 1.0
"""For so long strangers are shown the same text."""
_OPENMETRICS = "application/openmetrics-text"
PLAIN_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = f"{_OPENMETRICS}; version=1.0.0; charset=utf-8"


def wants_openmetrics(accept: str) -> bool:
    """Say whether an Accept header names OpenMetrics; whoever names nothing gets the plain text."""
    return any(part.split(";", 1)[0].strip() == _OPENMETRICS for part in accept.lower().split(","))


class MetricsScrapes:
    """Makes one text at a time; strangers share one, so that many of them cost what one does."""

    def __init__(self) -> None:
        self._turn = Lock()
        self._kept: dict[bool, tuple[float, bytes]] = {}

    async def made(self, measured: list[MeasuredFamily], *, openmetrics: bool) -> bytes:
        """The text of these numbers."""
        async with self._turn:
            return await to_thread.run_sync(rendered, measured, openmetrics)

    async def shared(
        self,
        gather: Callable[[], list[MeasuredFamily]],
        now: Callable[[], float],
        *,
        openmetrics: bool,
    ) -> bytes:
        """The text of the numbers that `gather` gives, or gave within the last second."""
        async with self._turn:
            # Looked up in turn: whoever waited is shown what the one before them made.
            at, text = self._kept.get(openmetrics, (-math.inf, b""))
            if now() - at >= SHARED_SECONDS:
                at = now()
                text = await to_thread.run_sync(rendered, gather(), openmetrics)
                self._kept[openmetrics] = (at, text)
            return text


def rendered(measured: list[MeasuredFamily], openmetrics: bool) -> bytes:  # noqa: FBT001 - in a thread
    """The text of these numbers and of the process' own (memory, CPU time, descriptors)."""
    from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
    from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

    # The library's own registry holds whatever other code put there, and lives on from scrape to
    # scrape.
    registry = CollectorRegistry()
    registry.register(_KeptText(measured))
    ProcessCollector(registry=registry)
    if openmetrics:
        return bytes(generate_openmetrics(registry))  # type: ignore[no-untyped-call]
    return generate_latest(registry)


class _KeptText:
    """A collector (`prometheus_client.registry.Collector`) of numbers that were taken before."""

    def __init__(self, measured: list[MeasuredFamily]) -> None:
        self._measured = measured

    def collect(self) -> "Iterable[Metric]":
        # This runs in a thread: only what was copied on the event loop may be read here.
        return [_build_metric(each) for each in self._measured]


def _build_metric(measured: MeasuredFamily) -> "Metric":
    from prometheus_client import core

    name, says, labels = measured.family.name, measured.family.says, measured.family.labels
    if measured.family.kind == "histogram":
        histogram = core.HistogramMetricFamily(name, says, labels=labels)
        for values, spread in measured.spread.items():
            histogram.add_metric(values, _cumulative_buckets(spread), spread.total / 1000)
        return histogram
    if measured.family.kind == "info":
        told = core.InfoMetricFamily(name, says)
        for values in measured.numbers:
            told.add_metric((), dict(zip(labels, values, strict=True)))
        return told
    counter = measured.family.kind == "counter"
    made = (core.CounterMetricFamily if counter else core.GaugeMetricFamily)(
        name, says, labels=labels
    )
    for values, number in measured.numbers.items():
        made.add_metric(values, number)
    return made


def _cumulative_buckets(spread: Histogram) -> list[tuple[str, float]]:
    """How many were at most so many seconds, as the format wants it: from milliseconds."""
    bounds = [*(f"{bound / 1000:g}" for bound in spread.bounds), "+Inf"]
    return list(zip(bounds, accumulate(spread.buckets), strict=True))
